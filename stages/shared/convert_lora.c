/* A LoRA file: made fit for the model, written in a dialect, read back. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "stages/shared/convert.h"

struct lora_made {
	struct lora_module *at; /* views of the LoRA's modules, in their order */
	struct lora_module *want;       /* what the file is to say: B
					 * may be scaled, and owned then */
	size_t n;
	enum dtype type;
	enum lora_dialect dialect;
};

static void made_release(struct lora_made *d)
{
	for (size_t i = 0; i < d->n && d->want; i++)
		tensor_release(&d->want[i].b);
	free(d->want);
	free(d->at);
}

static enum lora_dialect dialect_of(enum convert_to to)
{
	return to == TO_KOHYA ? LORA_KOHYA : to == TO_PEFT ? LORA_PEFT : LORA_DIFFUSERS;
}

static enum dtype kept_type(const struct lora_set *s)
{
	enum dtype t = DT_NONE;

	for (size_t i = 0; i < s->n; i++)
		t = values_widest(values_widest(t, s->at[i].a.type), s->at[i].b.type);
	return t == DT_NONE ? DT_F32 : t;
}

/* Views, with rank and alpha said, in the shape of the model's weights where it is known. */
static int take_modules(struct lora_made *d, const struct lora_set *s, const struct weights *w,
			const struct checkpoint *m, struct err *e)
{
	d->at = xcalloc(s->n + 1, sizeof *d->at);
	for (; d->n < s->n; d->n++) {
		struct lora_module *x = &d->at[d->n];
		struct tensor weight = { 0 };
		char *name;
		int ret;

		*x = s->at[d->n];
		x->a.own = x->b.own = NULL;
		if (!x->a.rank || !x->b.rank)
			return fail(e, "the LoRA of '%s' has only one of its two weights", x->module);
		x->rank = x->a.side[0];
		x->alpha = x->alpha != 0 ? x->alpha : (float)x->rank;
		if (x->b.rank < 2 || x->b.side[1] != x->rank)
			return fail(e, "the two weights of the LoRA of '%s' have not the same rank", x->module);
		if (!m)
			continue;
		name = xasprintf("%s.weight", x->module);
		ret = weights_get(&(struct weights){ .base = w->base }, name, &weight, e);
		free(name);
		if (ret < 0)
			return err_prefix(e, "the LoRA is for another model");
		if (lora_fit(x, &weight, e) < 0)
			return -1;
	}
	return 0;
}

/* Only kohya's files keep alpha; the others have it in B, as B alpha / rank. */
static int scale_b(struct lora_module *x, struct err *e)
{
	float scale = x->alpha / (float)x->rank, *v;

	x->alpha = (float)x->rank;
	if (scale == 1)
		return 0;
	if (tensor_convert(&x->b, DT_F32, e) < 0)
		return -1;
	v = x->b.own;
	for (int64_t i = 0; i < tensor_count(&x->b); i++)
		v[i] *= scale;
	return 0;
}

static int check_alpha(struct lora_module *x, enum dtype type, struct err *e)
{
	struct tensor alpha = { .type = DT_F32, .at = &x->alpha };
	char *name = xasprintf("%s.alpha", x->module);
	unsigned char rounded[4];
	int ret = values_fit(name, &alpha, type, e);

	free(name);
	row_from_f32(rounded, type, &x->alpha, 1);
	row_to_f32(&x->alpha, rounded, type, 1);
	return ret;
}

static int expect(struct lora_made *d, struct err *e)
{
	d->want = xcalloc(d->n + 1, sizeof *d->want);
	memcpy(d->want, d->at, d->n * sizeof *d->want);
	for (size_t i = 0; i < d->n; i++) {
		struct lora_module *x = &d->want[i];

		if (d->dialect == LORA_KOHYA ? check_alpha(x, d->type, e) < 0 : scale_b(x, e) < 0)
			return -1;
		if (values_fit(x->module, &x->a, d->type, e) < 0 ||
		    values_fit(x->module, &x->b, d->type, e) < 0)
			return -1;
	}
	return 0;
}

static int verify(const struct lora_made *d, const char *path, struct err *e)
{
	struct lora_file r = { 0 };
	int ret = lora_read(&r, path, e);

	if (ret == 0 && r.n != d->n)
		ret = fail(e, "read back, the LoRA has %zu modules, not %zu", r.n, d->n);
	for (size_t i = 0; ret == 0 && i < d->n; i++) {
		const struct lora_module *want = &d->want[i], *got = lora_find(&r, want->module);

		if (!got)
			ret = fail(e, "read back, the module '%s' is missing", want->module);
		else if (got->alpha != want->alpha)
			ret = fail(e, "read back, alpha of '%s' is %g, not %g", want->module, (double)got->alpha, (double)want->alpha);
		else if (values_same(want->module, &want->a, &got->a, d->type, e) < 0 ||
			 values_same(want->module, &want->b, &got->b, d->type, e) < 0)
			ret = -1;
	}
	lora_close(&r);
	return ret;
}

static int write_file(const struct lora_made *d, const char *path, const struct meta *m,
		      struct err *e)
{
	return lora_write(path, d->dialect, d->at, d->n, d->type, m->at, m->n, e);
}

/* Twice for kohya's: the hash of the values is among the metadata. */
static int write_lora(const struct lora_made *d, const char *path, struct meta *m, struct err *e)
{
	char *temp = beside(path, e), hash[65];
	int ret = temp ? write_file(d, temp, m, e) : -1;

	if (ret == 0 && d->dialect == LORA_KOHYA) {
		ret = meta_data_hash(temp, hash, e);
		if (ret == 0) {
			meta_add(m, "sshs_model_hash", hash);
			ret = write_file(d, temp, m, e);
		}
	}
	if (temp && ret < 0)
		err_prefix(e, "'%s' cannot be written", path);
	if (ret == 0)
		ret = verify(d, temp, e);
	if (ret == 0)
		ret = put_into_place(temp, path, e);
	if (temp && ret < 0)
		remove(temp);
	free(temp);
	return ret;
}

static int make_meta(struct meta *meta, struct job *j, const struct checkpoint *m,
		     const struct lora_made *d, struct err *e)
{
	const struct convert_options *o = j->params;
	struct buf training = { 0 };
	struct lora_file from = { 0 };
	int ret = meta_recipe(meta, j, &training, e);

	if (ret == 0 && d->dialect == LORA_KOHYA) {
		meta_kohya(meta, m, d->at, d->n, buf_str(&training));
		if (o->from_lora)
			ret = lora_read(&from, o->from_lora, e);
		meta_keep(meta, &from);
		lora_close(&from);
	}
	buf_release(&training);
	return ret;
}

int convert_lora(struct job *j, const struct checkpoint *m, struct weights *w, struct err *e)
{
	const struct convert_options *o = j->params;
	struct lora_made d = { .dialect = dialect_of(convert_to_of_name(o->to)) };
	struct meta meta = { 0 };
	int ret = -1;

	if (w->n_lora != 1 || w->n_trained)
		return fail(e, "the table holds weights beside its LoRA ('%s'), which a LoRA file cannot",
			    w->n_trained ? w->trained[0].name : "none");
	d.type = strcmp(o->dtype, "keep") ? dtype_of_name(o->dtype) : kept_type(&w->lora[0]);
	if (take_modules(&d, &w->lora[0], w, m, e) < 0 || expect(&d, e) < 0 ||
	    make_meta(&meta, j, m, &d, e) < 0)
		goto out;
	ret = write_lora(&d, o->out, &meta, e);
	if (ret == 0)
		talk("%zu modules written", d.n);
out:
	meta_release(&meta);
	made_release(&d);
	return ret;
}
