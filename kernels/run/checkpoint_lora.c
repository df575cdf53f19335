#include "kernels/run/checkpoint_lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* ---- reading ---- */

static int by_module(const void *a, const void *b)
{
	return strcmp(((const struct lora_module *)a)->module,
		      ((const struct lora_module *)b)->module);
}

static struct tensor borrow(const struct tensor *t)
{
	struct tensor view = *t;

	view.own = NULL;
	return view;
}

/* One key of the file; `row` gets a module with the one thing that this key says. */
static int read_key(const struct lora_names *names, const struct named *x, struct lora_module *row,
		    const char *path, struct err *e)
{
	enum lora_role role = LORA_OTHER;
	struct buf module = { 0 };
	struct tensor alpha;
	int known = lora_names_match(names, x->name, &module, &role);

	if (!known) {
		int xl = starts_with(x->name, "lora_te2_") ||
			 starts_with(x->name, "text_encoder_2.") ||
			 starts_with(x->name, "lora_unet_input_blocks_") ||
			 starts_with(x->name, "lora_unet_output_blocks_") ||
			 starts_with(x->name, "lora_unet_middle_block_");
		buf_release(&module);
		return fail(e,
			xl ? "'%s' is a LoRA for SDXL ('%s'); Stable Diffusion 1 and 2 are supported" :
			     "'%s' holds '%s', which belongs to no module of Stable Diffusion 1 or 2",
			path, x->name);
	}
	memset(row, 0, sizeof *row);
	row->alpha = NAN;
	row->module = buf_detach(&module);
	switch (role) {
	case LORA_A: row->a = borrow(&x->t); return 0;
	case LORA_B: row->b = borrow(&x->t); return 0;
	case LORA_ALPHA:
		alpha = borrow(&x->t);
		if (tensor_count(&alpha) != 1)
			return fail(e, "'%s': '%s' is not one number", path, x->name);
		row_to_f32(&row->alpha, alpha.at, alpha.type, 1);
		return isfinite(row->alpha) ? 0 :
					      fail(e, "'%s': '%s' is not finite", path, x->name);
	case LORA_OTHER: break;
	}
	return fail(e, "'%s' is not a plain LoRA: it holds '%s'", path, x->name);
}

/* Two rows of one module become one. */
static int join(struct lora_module *to, struct lora_module *from, const char *path, struct err *e)
{
	if ((to->a.at && from->a.at) || (to->b.at && from->b.at) ||
	    (!isnan(to->alpha) && !isnan(from->alpha)))
		return fail(e, "'%s' says two things about the module '%s'", path, to->module);
	if (from->a.at)
		to->a = from->a;
	if (from->b.at)
		to->b = from->b;
	if (!isnan(from->alpha))
		to->alpha = from->alpha;
	free(from->module);
	return 0;
}

static int join_all(struct lora_file *l, const char *path, struct err *e)
{
	size_t n = 0;

	if (l->n)
		qsort(l->at, l->n, sizeof *l->at, by_module);
	for (size_t i = 0; i < l->n; i++) {
		if (!n || strcmp(l->at[n - 1].module, l->at[i].module)) {
			l->at[n++] = l->at[i];
			continue;
		}
		if (join(&l->at[n - 1], &l->at[i], path, e) < 0) {
			memmove(l->at + n, l->at + i, (l->n - i) * sizeof *l->at);
			l->n -= i - n;
			return -1;
		}
	}
	l->n = n;
	return 0;
}

/* A [r][in]... and B [out][r]... must meet. */
static int check_module(struct lora_module *m, const char *path, struct err *e)
{
	char a[96], b[96];

	if (!m->a.at || !m->b.at)
		return fail(e, "'%s' has no %s matrix of the module '%s'", path,
			    m->a.at ? "up" : "down", m->module);
	m->rank = m->a.rank ? m->a.side[0] : 0;
	if (m->a.rank < 2 || m->b.rank < 2 || m->rank < 1 || m->b.side[1] != m->rank ||
	    !dtype_is_float(m->a.type) || !dtype_is_float(m->b.type) ||
	    tensor_count(&m->b) != m->b.side[0] * m->rank)
		return fail(e, "'%s': the matrices of '%s' do not fit: %s down, %s up", path,
			    m->module, tensor_shape_text(&m->a, a), tensor_shape_text(&m->b, b));
	return 0;
}

/* ---- what PEFT says beside the weights ---- */

/* alpha of a module, by a configuration's alpha_pattern or its lora_alpha; NAN: it says nothing. */
static float config_alpha(const struct json *config, const char *prefix,
			  const struct lora_module *m)
{
	char *pattern = xasprintf("%salpha_pattern", prefix),
	     *all = xasprintf("%slora_alpha", prefix);
	char *stable = xasprintf("%suse_rslora", prefix);
	const struct json *list = json_get(config, pattern);
	double alpha = json_float(json_get(config, all), NAN);

	for (size_t i = 0; i < json_count(list); i++) {
		const char *end;
		const struct json *v = json_member(list, i, &end);
		if (ends_with(m->module, end))
			alpha = json_float(v, alpha);
	}
	/* rank-stabilized LoRA divides by the root of the rank */
	if (json_bool(json_get(config, stable), 0))
		alpha *= sqrt((double)m->rank);
	free(pattern);
	free(all);
	free(stable);
	return (float)alpha;
}

/* diffusers puts PEFT's configuration into the metadata, PEFT into a file beside the weights. */
static int read_configs(const struct lora_file *l, const char *path, struct json **meta,
			struct json **beside, struct err *e)
{
	char *slash = strrchr(path, '/'), *config;
	int ret = 0;

	for (size_t i = 0; i < l->n_meta; i++)
		if (!strcmp(l->meta[2 * i], "lora_adapter_metadata") && !*meta)
			ret = json_parse(meta, l->meta[2 * i + 1], strlen(l->meta[2 * i + 1]), path,
					 e);
	if (ret || strcmp(path_base(path), "adapter_model.safetensors"))
		return ret;
	config = xasprintf("%.*sadapter_config.json", slash ? (int)(slash + 1 - path) : 0, path);
	if (is_file(config))
		ret = json_read(beside, config, e);
	free(config);
	return ret;
}

static int finish_modules(struct lora_file *l, const char *path, struct err *e)
{
	struct json *meta = NULL, *beside = NULL;
	int ret = read_configs(l, path, &meta, &beside, e);

	for (size_t i = 0; !ret && i < l->n; i++) {
		struct lora_module *m = &l->at[i];
		ret = check_module(m, path, e);
		if (ret || !isnan(m->alpha))
			continue;
		m->alpha = config_alpha(meta, starts_with(m->module, "unet.") ? "unet." : "text_encoder.", m);
		if (isnan(m->alpha))
			m->alpha = config_alpha(beside, "", m);
		if (isnan(m->alpha))
			m->alpha = (float)m->rank;
	}
	json_free(meta);
	json_free(beside);
	return ret;
}

/* ---- the whole ---- */

static char *file_in(const char *path)
{
	static const char *const names[] = { "pytorch_lora_weights.safetensors",
					     "adapter_model.safetensors",
					     "pytorch_lora_weights.bin", "adapter_model.bin" };

	for (size_t i = 0; is_folder(path) && i < sizeof names / sizeof *names; i++) {
		char *file = path_join(path, names[i]);
		if (is_file(file))
			return file;
		free(file);
	}
	return xstrdup(path);
}

static void copy_meta(struct lora_file *l)
{
	const struct checkpoint_file *f = &l->hold.file[0];

	if (f->p)
		return;
	l->n_meta = f->s.n_meta;
	l->meta = xcalloc(2 * l->n_meta, sizeof *l->meta);
	for (size_t i = 0; i < 2 * l->n_meta; i++)
		l->meta[i] = xstrdup(f->s.meta[i]);
}

int lora_read(struct lora_file *l, const char *path, struct err *e)
{
	struct lora_names names = { 0 };
	const struct named *at;
	char *file = file_in(path);
	size_t n;
	int ret = -1;

	memset(l, 0, sizeof *l);
	if (checkpoint_load(&l->hold, file, &at, &n, e) < 0)
		goto out;
	copy_meta(l);
	lora_names_init(&names);
	l->at = xcalloc(n, sizeof *l->at);
	for (size_t i = 0; i < n; i++)
		if (read_key(&names, &at[i], &l->at[l->n++], file, e) < 0)
			goto out;
	if (!n)
		fail(e, "'%s' is empty", file);
	else if (join_all(l, file, e) == 0)
		ret = finish_modules(l, file, e);
out:
	lora_names_release(&names);
	free(file);
	if (ret < 0)
		lora_close(l);
	return ret;
}

void lora_close(struct lora_file *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->at[i].module);
		tensor_release(&l->at[i].a);
		tensor_release(&l->at[i].b);
	}
	free(l->at);
	for (size_t i = 0; i < 2 * l->n_meta; i++)
		free(l->meta[i]);
	free(l->meta);
	checkpoint_close(&l->hold);
	memset(l, 0, sizeof *l);
}

const struct lora_module *lora_find(const struct lora_file *l, const char *module)
{
	struct lora_module key = { .module = (char *)(uintptr_t)module };

	return l->n ? bsearch(&key, l->at, l->n, sizeof key, by_module) : NULL;
}

int lora_fit(struct lora_module *m, const struct tensor *weight, struct err *e)
{
	int64_t in = 1;
	char a[96], b[96], w[96];

	for (int i = 1; i < weight->rank; i++)
		in *= weight->side[i];
	if ((weight->rank != 2 && weight->rank != 4) || m->b.side[0] != weight->side[0] ||
	    tensor_count(&m->a) != m->rank * in)
		return fail(e, "the LoRA of '%s' (%s down, %s up) does not fit its weight, which is %s",
			m->module, tensor_shape_text(&m->a, a), tensor_shape_text(&m->b, b),
			tensor_shape_text(weight, w));
	m->a.rank = m->b.rank = weight->rank;
	for (int i = 1; i < weight->rank; i++) {
		m->a.side[i] = weight->side[i];
		m->b.side[i] = i == 1 ? m->rank : 1;
	}
	return 0;
}

/* ---- writing ---- */

struct rows { struct named *at; size_t n, cap; };

static struct tensor *rows_add(struct rows *r, enum lora_dialect d, const char *module,
			       enum lora_role role)
{
	struct buf key = { 0 };

	name_lora_key(&key, d, module, role);
	r->at = grow(r->at, r->n, &r->cap, sizeof *r->at);
	memset(&r->at[r->n], 0, sizeof *r->at);
	r->at[r->n].name = buf_detach(&key);
	return &r->at[r->n++].t;
}

static int put_scaled(struct tensor *to, const struct tensor *from, float scale, enum dtype type,
		      struct err *e)
{
	*to = borrow(from);
	if (scale != 1) {
		float *x;
		/* to f32 even where it is f32: the values are changed */
		if (tensor_convert(to, DT_F32, e) < 0)
			return -1;
		x = to->own;
		for (int64_t i = 0; i < tensor_count(to); i++)
			x[i] *= scale;
	}
	return to->type == type ? 0 : tensor_convert(to, type, e);
}

static int put_module(struct rows *r, enum lora_dialect d, const struct lora_module *m,
		      enum dtype type, struct err *e)
{
	struct tensor *alpha;
	void *value;

	if (put_scaled(rows_add(r, d, m->module, LORA_A), &m->a, 1, type, e) < 0 ||
	    put_scaled(rows_add(r, d, m->module, LORA_B), &m->b,
		       d == LORA_KOHYA ? 1 : m->alpha / (float)m->rank, type, e) < 0)
		return -1;
	if (d != LORA_KOHYA)
		return 0;
	alpha = rows_add(r, d, m->module, LORA_ALPHA);
	if (tensor_new(alpha, DT_F32, 0, NULL, &value, e) < 0)
		return -1;
	*(float *)value = m->alpha;
	return alpha->type == type ? 0 : tensor_convert(alpha, type, e);
}

int lora_write(const char *path, enum lora_dialect d, const struct lora_module *at, size_t n,
	       enum dtype type, char *const *meta, size_t n_meta, struct err *e)
{
	static char format[] = "format", pt[] = "pt";
	char **pairs = xcalloc(2 * n_meta + 2, sizeof *pairs);
	size_t n_pairs = 1;
	struct rows r = { 0 };
	int ret = -1;

	pairs[0] = format;
	pairs[1] = pt;
	for (size_t i = 0; i < n_meta; i++)
		if (strcmp(meta[2 * i], format)) {
			pairs[2 * n_pairs] = meta[2 * i];
			pairs[2 * n_pairs++ + 1] = meta[2 * i + 1];
		}
	for (size_t i = 0; i < n; i++)
		if (d == LORA_DIFFUSERS && !name_lora_is_attention(at[i].module))
			d = LORA_PEFT;
	for (size_t i = 0; i < n; i++)
		if (put_module(&r, d, &at[i], type, e) < 0)
			goto out;
	ret = safetensors_write(path, r.at, r.n, pairs, n_pairs, e);
out:
	free(pairs);
	for (size_t i = 0; i < r.n; i++) {
		free(r.at[i].name);
		tensor_release(&r.at[i].t);
	}
	free(r.at);
	return ret;
}
