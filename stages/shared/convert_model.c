/* A whole model: composed, checked, written, read back. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/convert.h"

struct made {                   /* what is to be written */
	struct named *at[PART__COUNT];  /* names without the part, sorted; tensors may own */
	size_t n[PART__COUNT];
	struct checkpoint_out out;
};

static void made_release(struct made *d)
{
	for (int p = 0; p < PART__COUNT; p++) {
		for (size_t i = 0; i < d->n[p]; i++)
			tensor_release(&d->at[p][i].t);
		free(d->at[p]);
	}
}

/* ---- is everything there, and nothing else? ---- */

static int check_trained(const struct expectation *x, const struct weights *w, const char *model,
			 struct err *e)
{
	for (size_t i = 0; i < w->n_trained; i++) {
		if (i && !strcmp(w->trained[i].name, w->trained[i - 1].name))
			return fail(e, "two tables have the weight '%s'", w->trained[i].name);
		if (!expectation_find(x, w->trained[i].name))
			return fail(e, "the table has the weight '%s', which '%s' has not: was it trained on another model?",
				    w->trained[i].name, model);
	}
	return 0;
}

static int check_base(const struct expectation *x, const struct checkpoint *m, struct err *e)
{
	for (int p = 0; p < PART__COUNT; p++)
		for (size_t i = 0; i < m->part[p].n; i++) {
			char *name = xasprintf("%s.%s", part_name((enum part)p), m->part[p].at[i].name);
			int known = expectation_find(x, name) != NULL;

			if (!known)
				fail(e, "'%s' has the weight '%s', which its configuration does not call for", m->path, name);
			free(name);
			if (!known)
				return -1;
		}
	return 0;
}

/* The same sides, ones at the end aside: then the tensor gets the shape that diffusers writes. */
static int fit_shape(const struct expected *x, struct tensor *t, struct err *e)
{
	struct tensor want = { .type = t->type, .rank = x->rank };
	char a[96], b[96];
	int n = t->rank, m = x->rank;

	memcpy(want.side, x->side, sizeof want.side);
	while (n > 1 && t->side[n - 1] == 1)
		n--;
	while (m > 1 && x->side[m - 1] == 1)
		m--;
	if (n != m || memcmp(t->side, x->side, (size_t)n * sizeof *x->side))
		return fail(e, "weight '%s' is %s, the model wants %s", x->name, tensor_shape_text(t, a), tensor_shape_text(&want, b));
	t->rank = x->rank;
	memcpy(t->side, x->side, sizeof t->side);
	return 0;
}

static int compose(struct made *d, const struct expectation *x, struct weights *w, struct err *e)
{
	struct progress bar;

	progress_begin(&bar, "convert", "weights", (int64_t)x->n);
	for (int p = 0; p < PART__COUNT; p++)
		d->at[p] = xcalloc(x->n + 1, sizeof *d->at[p]);
	for (size_t i = 0; i < x->n; i++) {
		const struct expected *want = &x->at[i];
		struct named *to = &d->at[want->part][d->n[want->part]++];

		to->name = want->name + strlen(part_name(want->part)) + 1;
		if (stop_wanted())
			return fail(e, "stopped before anything was written");
		if (weights_get(w, want->name, &to->t, e) < 0 || fit_shape(want, &to->t, e) < 0 ||
		    values_fit(want->name, &to->t, d->out.type, e) < 0)
			return -1;
		progress_at(&bar, (int64_t)i + 1, NULL);
	}
	progress_end(&bar);
	return 0;
}

/* ---- reading back ---- */

static int same_texts(const char *a, const char *b, const char *what, struct err *e)
{
	if (!strcmp(a ? a : "", b ? b : ""))
		return 0;
	return fail(e, "read back, the configuration of '%s' is another one than was written", what);
}

static int same_part(const struct made *d, const struct checkpoint *r, enum part p, struct err *e)
{
	if (r->part[p].n != d->n[p])
		return fail(e, "read back, '%s' has %zu weights, not %zu", part_name(p), r->part[p].n, d->n[p]);
	for (size_t i = 0; i < d->n[p]; i++) {
		const struct tensor *got = checkpoint_find(r, p, d->at[p][i].name);

		if (!got)
			return fail(e, "read back, weight '%s.%s' is missing", part_name(p), d->at[p][i].name);
		if (values_same(d->at[p][i].name, &d->at[p][i].t, got, d->out.type, e) < 0)
			return -1;
	}
	return d->n[p] ? same_texts(d->out.part[p].config, r->part[p].config_text,
				    part_name(p), e) : 0;
}

static int verify(void *data, const char *written, struct err *e)
{
	struct made *d = data;
	struct checkpoint r = { 0 };
	int ret = checkpoint_open(&r, written, NULL, e);

	for (int p = 0; ret == 0 && p < PART__COUNT; p++)
		ret = same_part(d, &r, (enum part)p, e);
	if (ret == 0)
		ret = same_texts(d->out.scheduler, r.scheduler_text, "scheduler", e);
	checkpoint_close(&r);
	return ret;
}

/* ---- writing ---- */

static int write_single(struct made *d, const char *path, struct err *e)
{
	char *temp = beside(path, e);
	int ret = temp ? 0 : -1;

	if (temp && checkpoint_write_single(temp, &d->out, e) < 0)
		ret = err_prefix(e, "'%s' cannot be written", path);
	if (ret == 0)
		ret = verify(d, temp, e);
	if (ret == 0)
		ret = put_into_place(temp, path, e);
	if (temp && ret < 0)
		remove(temp);
	free(temp);
	return ret;
}

static int write_model(struct made *d, const struct convert_options *o, struct err *e)
{
	if (convert_to_of_name(o->to) == TO_SINGLE)
		return write_single(d, o->out, e);
	d->out.verify = verify;
	d->out.verify_data = d;
	return checkpoint_write_diffusers(o->out, &d->out, e);
}

/* What would be found out only after all weights were composed. */
static int check_form(const struct made *d, const struct convert_options *o, struct err *e)
{
	char *temp;

	if (convert_to_of_name(o->to) == TO_SINGLE) {
		temp = beside(o->out, e);
		free(temp);
		return temp ? 0 : -1;
	}
	if (!d->out.part[PART_VAE].config)
		return fail(e, "'%s' has no autoencoder, which a diffusers folder needs: give --vae PATH", o->model);
	if (!d->out.part[PART_TEXT].config)
		return fail(e, "'%s' has no text encoder, which a diffusers folder needs; --to single can do without", o->model);
	if (!d->out.tokenizer)
		return pipeline_no_tokenizer(o->model, e);
	return checkpoint_can_be(o->out, e);
}

/* The type of the weights that the base model has. */
static enum dtype kept_type(const struct checkpoint *m)
{
	enum dtype t = DT_NONE;

	for (int p = 0; p < PART__COUNT; p++)
		for (size_t i = 0; i < m->part[p].n; i++)
			t = values_widest(t, m->part[p].at[i].t.type);
	return t == DT_NONE ? DT_F32 : t;
}

int convert_model(struct job *j, const struct checkpoint *m, struct weights *w,
		  const char *tokenizer, struct err *e)
{
	const struct convert_options *o = j->params;
	struct made d = { 0 };
	struct meta meta = { 0 };
	struct expectation x = { 0 };
	int ret = -1;

	checkpoint_out_from(&d.out, m);
	d.out.tokenizer = tokenizer;
	d.out.type = strcmp(o->dtype, "keep") ? dtype_of_name(o->dtype) : kept_type(m);
	if (check_form(&d, o, e) < 0 || expectation_make(&x, m, e) < 0 ||
	    check_trained(&x, w, m->path, e) < 0 || check_base(&x, m, e) < 0 ||
	    weights_check_loras(w, e) < 0 || meta_recipe(&meta, j, NULL, e) < 0 ||
	    compose(&d, &x, w, e) < 0)
		goto out;
	for (int p = 0; p < PART__COUNT; p++) {
		d.out.part[p].at = d.at[p];
		d.out.part[p].n = d.n[p];
	}
	d.out.meta = meta.at;
	d.out.n_meta = meta.n;
	ret = write_model(&d, o, e);
out:
	made_release(&d);
	meta_release(&meta);
	expectation_release(&x);
	return ret;
}
