#include "kernels/run/claim.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* The smallest graphs: names and shapes of weights do not depend on the picture's size. */
#define SIDE 64

static void emit(struct model *m, const struct pipeline *p, enum part part)
{
	struct graph *g = m->g;

	if (part == PART_UNET) {
		pipeline_unet_graph(m, &p->unet, (int64_t[SHAPE_SIDES]){ 1, SIDE, SIDE, 77 });
	} else if (part == PART_TEXT) {
		text_encoder(m, &p->text, g_input(g, "ids", DT_I32, 1, 1, 1, 77), 0, NULL);
	} else {
		int64_t f = vae_factor(&p->vae);

		vae_encode(m, &p->vae,
			   g_input(g, "image", DT_F32, 1, SIDE * f, SIDE * f, p->vae.in_channels));
		vae_decode(m, &p->vae, g_input(g, "z", DT_F32, 1, SIDE, SIDE, p->vae.latent));
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct pool_entry *)a)->name, ((const struct pool_entry *)b)->name);
}

/* What the networks of a part want: a pool that is never placed, sorted. */
static int wanted(struct pool *out, const struct pipeline *p, enum part part, struct err *e)
{
	struct graph g = { 0 };
	struct model m;
	int ret;

	model_begin(&m, &g);
	emit(&m, p, part);
	ret = pool_declare(out, &g, e);
	model_release(&m);
	graph_release(&g);
	if (ret == 0 && out->n)
		qsort(out->entry, out->n, sizeof *out->entry, by_name);
	return ret;
}

static int check_part(const struct pipeline *p, enum part part, const struct pool *pool,
		      struct err *e)
{
	const struct part_weights *w = &p->model.part[part];
	size_t skip = strlen(part_name(part)) + 1;

	for (size_t i = 0; i < pool->n; i++) {
		const char *name = pool->entry[i].name + skip;
		const struct tensor *t = part_find(w, name);

		if (!t)
			return fail(e, "weight '%s' of the %s is missing", name, part_name(part));
		if (pool_check_shape(&pool->entry[i], t, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < w->n; i++) {
		char *full = xasprintf("%s.%s", part_name(part), w->at[i].name);
		int known = pool_find(pool, full) != NULL;

		free(full);
		if (!known)
			return fail(e, "weight '%s' is unexpected: no %s of this configuration has it", w->at[i].name, part_name(part));
	}
	return 0;
}

int claim_check(const struct pipeline *p, struct err *e)
{
	int ret = 0;

	for (int part = 0; ret == 0 && part < PART__COUNT; part++) {
		struct pool pool = { 0 };

		if (!p->model.part[part].n)
			continue;
		if (wanted(&pool, p, (enum part)part, e) < 0 ||
		    check_part(p, (enum part)part, &pool, e) < 0)
			ret = -1;
		pool_release(&pool);
	}
	return ret;
}
