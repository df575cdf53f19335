#include "common/data/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/json.h"

#define HEADER_LIMIT ((uint64_t)100 * 1000 * 1000)

/* ---- reading ---- */

struct span {                   /* bytes of the data section, for the check that they tile it */
	int64_t begin, end;
	size_t which;
};

static uint64_t get_u64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static int read_meta(struct safetensors *s, const struct json *meta, const char *path,
		     struct err *e)
{
	size_t n = json_count(meta);

	if (json_type(meta) != JSON_OBJECT)
		return fail(e, "'%s' is damaged: __metadata__ is not an object", path);
	s->meta = xcalloc(2 * n, sizeof *s->meta);
	for (size_t i = 0; i < n; i++) {
		const char *key, *value = json_text(json_member(meta, i, &key), NULL);
		if (!value)
			return fail(e, "'%s' is damaged: metadata '%s' is not a text", path, key);
		s->meta[2 * i] = xstrdup(key);
		s->meta[2 * i + 1] = xstrdup(value);
		s->n_meta++;
	}
	return 0;
}

static int read_shape(struct tensor *t, const struct json *shape)
{
	if (json_type(shape) != JSON_LIST || json_count(shape) > TENSOR_RANK)
		return -1;
	t->rank = (int)json_count(shape);
	for (int i = 0; i < t->rank; i++) {
		const struct json *side = json_at(shape, (size_t)i);
		t->side[i] = json_int(side, -1);
		if (json_type(side) != JSON_INT || t->side[i] < 0)
			return -1;
	}
	return 0;
}

/* Values that lie on an odd address (files whose header is not padded) are copied. */
static int place(struct tensor *t, const unsigned char *at, int64_t bytes, struct err *e)
{
	t->at = at;
	if (!bytes || (uintptr_t)at % dtype_size(t->type) == 0)
		return 0;
	if (mem_try(&t->own, (size_t)bytes, "a tensor", e) < 0)
		return -1;
	memcpy(t->own, at, (size_t)bytes);
	t->at = t->own;
	return 0;
}

static int read_entry(struct safetensors *s, const char *name, const struct json *v,
		      const unsigned char *data, int64_t data_len, struct span *span,
		      const char *path, struct err *e)
{
	struct named *to = &s->at[s->n];
	const struct json *offsets = json_get(v, "data_offsets");
	const char *type = json_text(json_get(v, "dtype"), "none");
	int64_t count, bytes;

	to->name = xstrdup(name);
	span->which = s->n++;
	to->t.type = dtype_of_name(type);
	if (to->t.type == DT_NONE)
		return fail(e, "'%s': tensor '%s' has the type '%s', which is not known", path,
			    name, type);
	if (read_shape(&to->t, json_get(v, "shape")) < 0)
		return fail(e, "'%s' is damaged: tensor '%s' has no valid shape", path, name);
	span->begin = json_int(json_at(offsets, 0), -1);
	span->end = json_int(json_at(offsets, 1), -1);
	if (json_count(offsets) != 2 || span->begin < 0 || span->end < span->begin)
		return fail(e, "'%s' is damaged: tensor '%s' has no valid offsets", path, name);
	if (span->end > data_len)
		return fail(e,
			"'%s' is damaged or cut off: tensor '%s' ends at byte %lld of the data, which has %lld",
			path, name, (long long)span->end, (long long)data_len);
	count = size_product(to->t.side, to->t.rank);
	if (count < 0 || __builtin_mul_overflow(count, (int64_t)dtype_size(to->t.type), &bytes) ||
	    bytes != span->end - span->begin) {
		char shape[96] = "";
		if (count >= 0)
			tensor_shape_text(&to->t, shape);
		return fail(e, "'%s' is damaged: tensor '%s' of %s %s has %lld bytes", path, name,
			    type, shape, (long long)(span->end - span->begin));
	}
	return place(&to->t, data + span->begin, bytes, e);
}

static int by_begin(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

static int check_tiling(const struct safetensors *s, struct span *span, int64_t data_len,
			const char *path, struct err *e)
{
	int64_t at = 0;

	qsort(span, s->n, sizeof *span, by_begin);
	for (size_t i = 0; i < s->n; i++) {
		if (span[i].begin != at)
			return fail(e,
				    "'%s' is damaged: tensor '%s' begins at byte %lld, %s at %lld",
				    path, s->at[span[i].which].name, (long long)span[i].begin,
				    span[i].begin < at ? "inside another one that ends" :
							 "after one that ends",
				    (long long)at);
		at = span[i].end;
	}
	if (at != data_len)
		return fail(e,
			"'%s' is damaged: its tensors end at byte %lld of the data, which has %lld",
			path, (long long)at, (long long)data_len);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int read_entries(struct safetensors *s, const struct json *doc, size_t header,
			const char *path, struct err *e)
{
	const unsigned char *data = s->map.at + 8 + header;
	int64_t data_len = (int64_t)(s->map.len - 8 - header);
	size_t n = json_count(doc);
	struct span *span = xcalloc(n, sizeof *span);
	int ret = -1;

	s->at = xcalloc(n, sizeof *s->at);
	for (size_t i = 0; i < n; i++) {
		const char *name;
		const struct json *v = json_member(doc, i, &name);
		if (!strcmp(name, "__metadata__") ? read_meta(s, v, path, e) :
		    read_entry(s, name, v, data, data_len, &span[s->n], path, e))
			goto out;
	}
	if (check_tiling(s, span, data_len, path, e) < 0)
		goto out;
	qsort(s->at, s->n, sizeof *s->at, by_name);
	ret = 0;
out:
	free(span);
	return ret;
}

int safetensors_open(struct safetensors *s, const char *path, struct err *e)
{
	struct json *doc = NULL;
	struct err why;
	uint64_t header;
	int ret = -1;

	memset(s, 0, sizeof *s);
	if (map_open(&s->map, path, e) < 0)
		return -1;
	if (s->map.len < 8) {
		fail(e, "'%s' is no safetensors file: %zu bytes", path, s->map.len);
		goto out;
	}
	header = get_u64(s->map.at);
	if (header > HEADER_LIMIT) {
		fail(e,
		     "'%s' is no safetensors file: its header would have %llu bytes, at most %llu are allowed",
		     path, (unsigned long long)header, (unsigned long long)HEADER_LIMIT);
		goto out;
	}
	if (header > s->map.len - 8) {
		fail(e, "'%s' is cut off: its header has %llu bytes, the file %zu", path,
		     (unsigned long long)header, s->map.len);
		goto out;
	}
	if (json_parse(&doc, (const char *)s->map.at + 8, (size_t)header, "header", &why) < 0) {
		fail(e, "'%s' is no safetensors file: %s", path, why.text);
		goto out;
	}
	if (json_type(doc) != JSON_OBJECT)
		fail(e, "'%s' is damaged: its header is not an object", path);
	else
		ret = read_entries(s, doc, (size_t)header, path, e);
out:
	json_free(doc);
	if (ret < 0)
		safetensors_close(s);
	return ret;
}

void safetensors_close(struct safetensors *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->at[i].name);
		tensor_release(&s->at[i].t);
	}
	for (size_t i = 0; i < 2 * s->n_meta; i++)
		free(s->meta[i]);
	free(s->at);
	free(s->meta);
	map_close(&s->map);
	memset(s, 0, sizeof *s);
}

const struct tensor *safetensors_find(const struct safetensors *s, const char *name)
{
	struct named key = { .name = (char *)(uintptr_t)name };
	const struct named *found = s->n ? bsearch(&key, s->at, s->n, sizeof key, by_name) : NULL;

	return found ? &found->t : NULL;
}

const char *safetensors_meta(const struct safetensors *s, const char *key)
{
	for (size_t i = 0; i < s->n_meta; i++)
		if (!strcmp(s->meta[2 * i], key))
			return s->meta[2 * i + 1];
	return NULL;
}

/* ---- writing ---- */

/* Places of the types in the format's own library, which sorts them from the last to the first. */
static int rank_of(enum dtype t)
{
	static const signed char rank[DT__COUNT] = {
		[DT_BOOL] = 1, [DT_U8] = 2, [DT_I8] = 3, [DT_I16] = 4, [DT_F16] = 5, [DT_BF16] = 6,
		[DT_I32] = 7, [DT_F32] = 8, [DT_F64] = 9, [DT_I64] = 10,
	};

	return rank[t];
}

static int by_layout(const void *a, const void *b)
{
	const struct named *x = *(const struct named *const *)a,
			   *y = *(const struct named *const *)b;

	if (x->t.type != y->t.type)
		return rank_of(y->t.type) - rank_of(x->t.type);
	return strcmp(x->name, y->name);
}

static int by_pointed_name(const void *a, const void *b)
{
	return by_name(*(const struct named *const *)a, *(const struct named *const *)b);
}

static void put_entry(struct buf *b, const struct named *x, int64_t *at)
{
	json_put_text(b, x->name);
	buf_addf(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(x->t.type));
	for (int i = 0; i < x->t.rank; i++)
		buf_addf(b, "%s%lld", i ? "," : "", (long long)x->t.side[i]);
	buf_addf(b, "],\"data_offsets\":[%lld,", (long long)*at);
	*at += tensor_bytes(&x->t);
	buf_addf(b, "%lld]}", (long long)*at);
}

static void put_header(struct buf *b, const struct named *const *order, size_t n, char *const *meta,
		       size_t n_meta)
{
	int64_t at = 0;

	buf_addc(b, '{');
	if (n_meta)
		buf_adds(b, "\"__metadata__\":{");
	for (size_t i = 0; i < n_meta; i++) {
		buf_adds(b, i ? "," : "");
		json_put_text(b, meta[2 * i]);
		buf_addc(b, ':');
		json_put_text(b, meta[2 * i + 1]);
	}
	if (n_meta)
		buf_adds(b, n ? "}," : "}");
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? "," : "");
		put_entry(b, order[i], &at);
	}
	buf_addc(b, '}');
	while (b->len % 8)
		buf_addc(b, ' ');
}

int safetensors_write(const char *path, const struct named *at, size_t n,
		      char *const *meta, size_t n_meta, struct err *e)
{
	const struct named **order = xcalloc(n, sizeof *order);
	struct file_new *f = NULL;
	struct buf header = { 0 };
	unsigned char len[8];
	int ret = -1;

	for (size_t i = 0; i < n; i++)
		order[i] = &at[i];
	qsort(order, n, sizeof *order, by_pointed_name);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(order[i - 1]->name, order[i]->name)) {
			fail(e, "'%s': two tensors have the name '%s'", path, order[i]->name);
			goto out;
		}
	qsort(order, n, sizeof *order, by_layout);
	put_header(&header, order, n, meta, n_meta);
	for (int i = 0; i < 8; i++)
		len[i] = (unsigned char)((uint64_t)header.len >> 8 * i);
	if (file_begin(&f, path, e) < 0)
		goto out;
	if (file_write(f, len, 8, e) < 0 || file_write(f, header.at, header.len, e) < 0)
		goto out;
	for (size_t i = 0; i < n; i++)
		if (file_write(f, order[i]->t.at, (size_t)tensor_bytes(&order[i]->t), e) < 0)
			goto out;
	ret = file_commit(f, e);
	f = NULL;
out:
	file_abort(f);
	buf_release(&header);
	free(order);
	return ret;
}
