/*
 * Which weights a model has is what its networks ask for: the graphs are built (nothing is placed
 * or run) and their weights listed.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/config.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/convert.h"

#define TOKENS 77

static id unet_graph(struct model *m, const struct json *config, struct err *e)
{
	struct unet_config c;
	int64_t side;

	if (config_unet(&c, config, e) < 0)
		return -1;
	side = (int64_t)1 << c.levels;
	return pipeline_unet_graph(m, &c, (int64_t[SHAPE_SIDES]){ 1, side, side, TOKENS });
}

static id text_graph(struct model *m, const struct json *config, struct err *e)
{
	struct text_config c;

	if (config_text(&c, config, e) < 0)
		return -1;
	return text_encoder(m, &c, g_input(m->g, "ids", DT_I32, 1, 1, 1, TOKENS), 0, NULL);
}

static id vae_graph(struct model *m, const struct json *config, struct err *e)
{
	struct vae_config c;
	int64_t side;

	if (config_vae(&c, config, e) < 0)
		return -1;
	side = 2 * vae_factor(&c);
	vae_encode(m, &c, g_input(m->g, "image", DT_F32, 1, side, side, c.in_channels));
	return vae_decode(m, &c, g_input(m->g, "z", DT_F32, 1, 2, 2, c.latent));
}

/* All weights of a part, into the pool. */
static int declare_part(struct pool *p, enum part part, const struct json *config, struct err *e)
{
	struct graph g = { 0 };
	struct model m;
	id last;
	int ret = -1;

	model_begin(&m, &g);
	last = part == PART_UNET ? unet_graph(&m, config, e) :
		part == PART_TEXT ? text_graph(&m, config, e) :
	       vae_graph(&m, config, e);
	if (last >= 0)
		ret = pool_declare(p, &g, e);
	model_release(&m);
	graph_release(&g);
	return ret;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct expected *)a)->name, ((const struct expected *)b)->name);
}

int expectation_make(struct expectation *x, const struct checkpoint *m, struct err *e)
{
	*x = (struct expectation){ 0 };
	for (int part = 0; part < PART__COUNT; part++) {
		struct pool p = { 0 };
		int ret = m->part[part].config ?
			declare_part(&p, (enum part)part, m->part[part].config, e) : 0;

		x->at = xrealloc(x->at, (x->n + p.n + 1) * sizeof *x->at);
		for (size_t i = 0; ret == 0 && i < p.n; i++) {
			struct expected *to = &x->at[x->n++];

			*to = (struct expected){ .name = xstrdup(p.entry[i].name),
						 .part = (enum part)part };
			to->rank = pool_file_shape(&p.entry[i], to->side);
		}
		pool_release(&p);
		if (ret < 0) {
			expectation_release(x);
			return err_prefix(e, "'%s'", m->path);
		}
	}
	qsort(x->at, x->n, sizeof *x->at, by_name);
	return 0;
}

void expectation_release(struct expectation *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->at[i].name);
	free(x->at);
	*x = (struct expectation){ 0 };
}

const struct expected *expectation_find(const struct expectation *x, const char *name)
{
	struct expected key = { .name = (char *)(uintptr_t)name };

	return x->n ? bsearch(&key, x->at, x->n, sizeof *x->at, by_name) : NULL;
}
