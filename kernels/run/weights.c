#include "kernels/run/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

void weights_begin(struct weights *w, const struct checkpoint *base)
{
	*w = (struct weights){ .base = base };
}

void weights_release(struct weights *w)
{
	for (size_t i = 0; i < w->n_trained; i++) {
		free(w->trained[i].name);
		tensor_release(&w->trained[i].t);
	}
	free(w->trained);
	for (size_t i = 0; i < w->n_lora; i++)
		lora_set_release(&w->lora[i]);
	free(w->lora);
	*w = (struct weights){ 0 };
}

/* ---- sets of LoRA modules ---- */

void lora_set_release(struct lora_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->at[i].module);
		tensor_release(&s->at[i].a);
		tensor_release(&s->at[i].b);
	}
	free(s->at);
	*s = (struct lora_set){ 0 };
}

struct lora_module *lora_set_add(struct lora_set *s, const char *module)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->at[i].module, module))
			return &s->at[i];
	s->at = grow(s->at, s->n, &s->cap, sizeof *s->at);
	s->at[s->n] = (struct lora_module){ .module = xstrdup(module) };
	return &s->at[s->n++];
}

static int by_module(const void *a, const void *b)
{
	return strcmp(((const struct lora_module *)a)->module,
		      ((const struct lora_module *)b)->module);
}

void lora_set_sort(struct lora_set *s)
{
	if (s->n)
		qsort(s->at, s->n, sizeof *s->at, by_module);
}

const struct lora_module *lora_set_find(const struct lora_set *s, const char *module)
{
	struct lora_module key = { .module = (char *)module };

	return s->n ? bsearch(&key, s->at, s->n, sizeof *s->at, by_module) : NULL;
}

/* ---- trained tables ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static const struct tensor *find_trained(const struct weights *w, const char *name)
{
	struct named key = { .name = (char *)name }, *found;

	found = w->n_trained ? bsearch(&key, w->trained, w->n_trained, sizeof *w->trained,
				       by_name) : NULL;
	return found ? &found->t : NULL;
}

static void add_trained(struct weights *w, const char *name, struct tensor *t)
{
	w->trained = grow(w->trained, w->n_trained, &w->cap_trained, sizeof *w->trained);
	w->trained[w->n_trained++] = (struct named){ xstrdup(name), *t };
	*t = (struct tensor){ 0 };
}

/* "lora.MODULE.lora_A.weight" -> the module's a or b. */
static int add_lora_row(struct lora_set *set, const char *item, const char *alpha, struct tensor *t,
			struct err *e)
{
	const char *tail = strstr(item, ".lora_A.weight");
	int is_a = tail != NULL;
	char *module;
	struct lora_module *l;
	double value = 0;

	tail = tail ? tail : strstr(item, ".lora_B.weight");
	if (!tail)
		return fail(e, "'%s' is not a LoRA weight", item);
	module = xstrndup(item + strlen("lora."), (size_t)(tail - item) - strlen("lora."));
	l = lora_set_add(set, module);
	free(module);
	if (*alpha && text_float(alpha, &value) < 0)
		return fail(e, "alpha of '%s' is '%s', not a number", item, alpha);
	/* B of a 3x3 module is 1x1 and looks like any other; A says whose alpha it is */
	if (*alpha && (is_a || l->alpha == 0))
		l->alpha = (float)value;
	*(is_a ? &l->a : &l->b) = *t;
	*t = (struct tensor){ 0 };
	return 0;
}

static int wanted(const struct table *t, size_t row, int item, int ema)
{
	const char *name = table_get(t, row, item);
	int is_ema = starts_with(name, "ema.");

	if (starts_with(name, "adam_") || starts_with(name, "grad.") || !strcmp(name, "log"))
		return 0;
	return ema ? is_ema : !is_ema;
}

static int has_averages(const struct table *t, int item)
{
	for (size_t i = 0; i < t->rows; i++)
		if (starts_with(table_get(t, i, item), "ema."))
			return 1;
	return 0;
}

static int add_row(struct weights *w, struct lora_set *set, struct stores *s, const struct table *t,
		   size_t row, struct err *e)
{
	const char *item = table_get(t, row, table_column(t, "item"));
	const char *text = table_get(t, row, table_column(t, "tensor"));
	struct tensor x = { 0 };
	struct ref r;
	int ret;

	if (starts_with(item, "ema."))
		item += 4;
	if (ref_parse(s, text, &r, e) < 0 || store_get_tensor(s, &r, &x, e) < 0)
		return err_prefix(e, "weight '%s'", item);
	if (starts_with(item, "lora."))
		ret = add_lora_row(set, item, table_get(t, row, table_column(t, "alpha")), &x, e);
	else {
		add_trained(w, item, &x);
		ret = 0;
	}
	tensor_release(&x);
	return ret;
}

int weights_add_table(struct weights *w, struct stores *s, const struct ref *table,
		      float multiplier, int ema, struct err *e)
{
	struct table t = { 0 };
	struct lora_set set = { .multiplier = multiplier };
	int item, ret = -1;

	if (store_get_table(s, table, &t, e) < 0)
		return -1;
	item = table_need(&t, "item", "weights", e);
	if (item < 0 || table_need(&t, "tensor", "weights", e) < 0)
		goto out;
	ema = ema && has_averages(&t, item);
	for (size_t i = 0; i < t.rows; i++)
		if (wanted(&t, i, item, ema) && add_row(w, &set, s, &t, i, e) < 0)
			goto out;
	if (w->n_trained)
		qsort(w->trained, w->n_trained, sizeof *w->trained, by_name);
	if (set.n)
		weights_add_lora(w, &set);
	ret = 0;
out:
	lora_set_release(&set);
	table_release(&t);
	return ret;
}

int weights_add_tables(struct weights *w, struct stores *s, const struct opt_list *refs,
		       struct err *e)
{
	for (int i = 0; i < refs->n; i++) {
		struct ref r;

		if (ref_parse(s, refs->at[i], &r, e) < 0 ||
		    weights_add_table(w, s, &r, 1, 1, e) < 0)
			return -1;
	}
	return 0;
}

void weights_add_lora(struct weights *w, struct lora_set *set)
{
	lora_set_sort(set);
	w->lora = xrealloc(w->lora, (w->n_lora + 1) * sizeof *w->lora);
	w->lora[w->n_lora++] = *set;
	*set = (struct lora_set){ 0 };
}

/* ---- fetching ---- */

static int part_of_name(const char *name, const char **rest)
{
	for (int p = 0; p < PART__COUNT; p++) {
		size_t n = strlen(part_name((enum part)p));

		if (!strncmp(name, part_name((enum part)p), n) && name[n] == '.') {
			*rest = name + n + 1;
			return p;
		}
	}
	BUG("'%s' belongs to no part of a model", name);
}

static const struct tensor *find_base(const struct weights *w, const char *name)
{
	const char *rest;
	int p = part_of_name(name, &rest);

	return w->base ? checkpoint_find(w->base, (enum part)p, rest) : NULL;
}

static const struct tensor *find_any(const struct weights *w, const char *name)
{
	const struct tensor *t = find_trained(w, name);

	return t ? t : find_base(w, name);
}

static int merge_all(const struct weights *w, const char *name, struct tensor *out, struct err *e)
{
	size_t n = strlen(name), k = strlen(".weight");
	char *module;
	int ret = 0;

	if (!w->n_lora || !ends_with(name, ".weight"))
		return 0;
	module = xstrndup(name, n - k);
	for (size_t i = 0; ret == 0 && i < w->n_lora; i++) {
		const struct lora_module *l = lora_set_find(&w->lora[i], module);

		if (l && (tensor_to_f32(out, e) < 0 ||
			  lora_merge(out, l, w->lora[i].multiplier, e) < 0))
			ret = -1;
	}
	free(module);
	return ret;
}

int weights_get(void *weights, const char *name, struct tensor *out, struct err *e)
{
	const struct weights *w = weights;
	const struct tensor *t = find_any(w, name);

	if (!t)
		return fail(e, "weight '%s' is missing in '%s'", name, w->base ? w->base->path : "the table");
	*out = *t;
	out->own = NULL;
	return merge_all(w, name, out, e);
}

void weights_trim(void *weights)
{
	const struct weights *w = weights;

	if (w->base)
		checkpoint_trim(w->base);
}

int weights_check_loras(const struct weights *w, struct err *e)
{
	char name[320];

	for (size_t i = 0; i < w->n_lora; i++)
		for (size_t k = 0; k < w->lora[i].n; k++) {
			snprintf(name, sizeof name, "%s.weight", w->lora[i].at[k].module);
			if (!find_any(w, name))
				return fail(e, "the LoRA has weights for '%s', which the model has not", w->lora[i].at[k].module);
		}
	return 0;
}

/* ---- merging ---- */

/* delta[k][x] = sum_r b[k][r] a[r][x], x over c and filter; sums in the order of r. */
static void add_product(float *w, const float *a, const float *b, int64_t k, int64_t r, int64_t x,
			float scale)
{
	for (int64_t i = 0; i < k; i++)
		for (int64_t j = 0; j < r; j++) {
			float f = scale * b[i * r + j];

			for (int64_t c = 0; c < x; c++)
				w[i * x + c] += f * a[j * x + c];
		}
}

int lora_merge(struct tensor *t, const struct lora_module *l, float multiplier, struct err *e)
{
	int64_t k = t->side[0], r = l->a.side[0], x = k ? tensor_count(t) / k : 0;
	float scale = multiplier * (l->alpha != 0 ? l->alpha : (float)r) / (float)r;
	struct tensor a = l->a, b = l->b;
	char st[96], sa[96], sb[96];
	int ret = -1;

	a.own = b.own = NULL;
	if (!l->a.rank || !l->b.rank)
		return fail(e, "the LoRA of '%s' has only one of its two weights", l->module);
	if (tensor_count(&a) != r * x || tensor_count(&b) != k * r)
		return fail(e, "the LoRA of '%s' is %s and %s, the weight is %s", l->module,
			    tensor_shape_text(&a, sa), tensor_shape_text(&b, sb),
			    tensor_shape_text(t, st));
	if (tensor_to_f32(&a, e) < 0 || tensor_to_f32(&b, e) < 0)
		goto out;
	add_product((float *)t->at, a.at, b.at, k, r, x, scale);
	ret = 0;
out:
	tensor_release(&a);
	tensor_release(&b);
	return ret;
}
