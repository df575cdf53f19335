#include "common/data/pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/pickle_vm.h"
#include "common/data/pickle_zip.h"

#define DEPTH_LIMIT 32
/* nodes visited; a hostile tree shares branches without end (made-up bytes are to come there soon) */
#ifndef FUZZING
#define STEP_LIMIT 4000000
#else
#define STEP_LIMIT 300
#endif

/* ---- from the tree of values to the flat list ---- */

struct flat {
	struct pickle *p;
	const struct unpickler *u;
	const char *path;
	struct buf name;
	size_t cap;
	int64_t steps;
	int64_t spare;          /* bytes that names and values may still be copied to */
};

static int is_contiguous(const struct pickle_tensor *t)
{
	int64_t want = 1;

	for (int i = t->rank - 1; i >= 0; i--) {
		if (t->side[i] != 1 && t->stride[i] != want)
			return 0;
		want *= t->side[i];
	}
	return 1;
}

static void gather_strided(unsigned char *to, const unsigned char *from,
			   const struct pickle_tensor *t, size_t size, int64_t n)
{
	int64_t index[TENSOR_RANK] = { 0 }, at = t->offset;

	for (int64_t i = 0; i < n; i++) {
		memcpy(to + (size_t)i * size, from + (size_t)at * size, size);
		for (int a = t->rank - 1; a >= 0; a--) {
			if (++index[a] < t->side[a]) {
				at += t->stride[a];
				break;
			}
			/* never beyond the last: the stride of one element can be any number */
			at -= t->stride[a] * (t->side[a] - 1);
			index[a] = 0;
		}
	}
}

/* Borrow where the values lie row-major at an even address, copy otherwise. */
static int place(struct flat *f, struct tensor *out, const struct pickle_tensor *t, struct err *e)
{
	const struct pickle_storage *s = &f->u->storage[t->storage];
	size_t size = dtype_size(s->type);
	int64_t n = size_product(t->side, t->rank), bytes;

	out->type = s->type;
	out->rank = t->rank;
	memcpy(out->side, t->side, sizeof out->side);
	if (!s->at)
		return fail(e, "'%s' is damaged: '%s' has no values", f->path, buf_str(&f->name));
	if (!n) {
		out->at = s->at;
		return 0;
	}
	out->at = s->at + (size_t)t->offset * size;
	if (is_contiguous(t) && (uintptr_t)out->at % size == 0)
		return 0;
	if (__builtin_mul_overflow(n, (int64_t)size, &bytes) || bytes > f->spare)
		return fail(e, "'%s' is damaged: '%s' is stretched beyond all measure", f->path,
			    buf_str(&f->name));
	f->spare -= bytes;
	if (mem_try(&out->own, (size_t)bytes, "a tensor", e) < 0)
		return -1;
	gather_strided(out->own, s->at, t, size, n);
	out->at = out->own;
	return 0;
}

static int flatten(struct flat *f, const struct pickle_value *v, int depth, struct err *e);

static int flatten_named(struct flat *f, struct pickle_text name, const struct pickle_value *v,
			 int depth, struct err *e)
{
	size_t before = f->name.len;
	int ret;

	if (memchr(name.at, 0, name.len))
		return fail(e, "'%s' is damaged: a name holds a NUL", f->path);
	if (before)
		buf_addc(&f->name, '.');
	buf_add(&f->name, name.at, name.len);
	ret = flatten(f, v, depth + 1, e);
	f->name.len = before;
	if (f->name.at)
		f->name.at[before] = 0;
	return ret;
}

static int flatten_many(struct flat *f, const struct pickle_value *v, int depth, struct err *e)
{
	int pairs = v->kind == PV_DICT;
	char number[24];

	for (size_t i = 0; i < v->many.n; i += pairs ? 2 : 1) {
		const struct pickle_value *key = v->many.item[i],
					  *item = v->many.item[i + (size_t)pairs];
		struct pickle_text name = { number, 0 };
		if (pairs && key->kind == PV_TEXT)
			name = key->text;
		else if (!pairs || key->kind == PV_INT)
			name.len = (size_t)snprintf(number, sizeof number, "%lld",
						    pairs ? (long long)key->i : (long long)i);
		else
			continue;       /* such as Lightning's callbacks, whose keys are classes */
		if (flatten_named(f, name, item, depth, e) < 0)
			return -1;
	}
	return 0;
}

static int flatten(struct flat *f, const struct pickle_value *v, int depth, struct err *e)
{
	struct named *to;

	if (depth > DEPTH_LIMIT || ++f->steps > STEP_LIMIT)
		return fail(e, "'%s' is damaged: its containers are nested without end", f->path);
	if (v->kind == PV_LIST || v->kind == PV_TUPLE || v->kind == PV_DICT)
		return flatten_many(f, v, depth, e);
	if (v->kind != PV_TENSOR)
		return 0;
	f->spare -= (int64_t)(sizeof *to + f->name.len);
	if (f->spare < 0)
		return fail(e, "'%s' is damaged: the names of its tensors are longer than all measure", f->path);
	f->p->at = grow(f->p->at, f->p->n, &f->cap, sizeof *f->p->at);
	to = &f->p->at[f->p->n];
	memset(to, 0, sizeof *to);
	if (place(f, &to->t, v->tensor, e) < 0)
		return -1;
	to->name = xstrdup(buf_str(&f->name));
	f->p->n++;
	return 0;
}

/* ---- the two containers ---- */

static int set_values(struct pickle_storage *s, const char *path, const unsigned char *at,
		      size_t len, struct err *e)
{
	int64_t want;

	if (__builtin_mul_overflow(s->root, (int64_t)dtype_size(s->type), &want) ||
	    (uint64_t)want > len)
		return fail(e,
			"'%s' is damaged: storage '%.*s' has %zu bytes, %lld elements of %s are wanted",
			path, (int)(s->key.len < 100 ? s->key.len : 100), s->key.at, len,
			(long long)s->root, dtype_name(s->type));
	s->at = at + s->begin * (int64_t)dtype_size(s->type);
	return 0;
}

static int read_zip(const struct map *map, struct unpickler *u, struct pickle_value **root,
		    struct err *e)
{
	struct pickle_zip z = { 0 };
	const unsigned char *at;
	size_t len;
	int ret = -1;

	if (pickle_zip_open(&z, map->at, map->len, u->path, e) < 0)
		return -1;
	if (pickle_zip_find(&z, "data.pkl", 8, &at, &len, e) < 0)
		goto out;
	u->at = at;
	u->len = len;
	if (unpickle(u, root, e) < 0)
		goto out;
	for (size_t i = 0; i < u->n_storage; i++) {
		struct pickle_storage *s = &u->storage[i];
		char name[128];
		int n = snprintf(name, sizeof name, "data/%.*s",
				 (int)(s->key.len < 100 ? s->key.len : 100), s->key.at);
		if (pickle_zip_find(&z, name, (size_t)n, &at, &len, e) < 0 ||
		    set_values(s, u->path, at, len, e) < 0)
			goto out;
	}
	ret = 0;
out:
	pickle_zip_close(&z);
	return ret;
}

static int by_key(const void *a, const void *b)
{
	const struct pickle_storage *x = *(struct pickle_storage *const *)a,
				    *y = *(struct pickle_storage *const *)b;
	size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
	int c = memcmp(x->key.at, y->key.at, n);

	return c ? c : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

/* One of the raw storages behind the pickles: its number of elements, then these. */
static int read_raw(struct unpickler *u, struct pickle_storage **order,
		    const struct pickle_value *key, struct err *e)
{
	struct pickle_storage want, *w = &want;
	struct pickle_storage **found, **end = order + u->n_storage;
	const unsigned char *at;
	uint64_t count = 0;
	size_t bytes;

	if (key->kind != PV_TEXT)
		return pickle_damaged(u, e, "a storage without key");
	want.key = key->text;
	found = u->n_storage ? bsearch(&w, order, u->n_storage, sizeof *order, by_key) : NULL;
	if (!found)
		return pickle_damaged(u, e, "a storage that no tensor uses");
	while (found > order && !by_key(found - 1, &w))
		found--;
	if (u->len - u->pos < 8)
		return fail(e, "'%s' is cut off: %zu bytes", u->path, u->len);
	at = u->at + u->pos;
	for (int i = 7; i >= 0; i--)
		count = count << 8 | at[i];
	if (__builtin_mul_overflow(count, dtype_size((*found)->type), &bytes) ||
	    bytes > u->len - u->pos - 8)
		return fail(e, "'%s' is cut off: storage '%.*s' would have %llu elements", u->path,
			    (int)(key->text.len < 100 ? key->text.len : 100), key->text.at,
			    (unsigned long long)count);
	u->pos += 8 + bytes;
	for (; found < end && !by_key(found, &w); found++)
		if (set_values(*found, u->path, at + 8, bytes, e) < 0)
			return -1;
	return 0;
}

/*
 * magic, protocol, what the machine was, the object, the
 * storages' keys: five pickles; then the storages.
 */
static int read_legacy(const struct map *map, struct unpickler *u, struct pickle_value **root,
		       struct err *e)
{
	static const char magic[10] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
	struct pickle_storage **order = NULL;
	struct pickle_value *v, *keys;
	int ret = -1;

	u->at = map->at;
	u->len = map->len;
	if (unpickle(u, &v, e) < 0)
		return -1;
	if (v->kind != PV_BYTES || v->text.len != sizeof magic ||
	    memcmp(v->text.at, magic, sizeof magic))
		return fail(e, "'%s' is a pickle, but not one of torch's", u->path);
	if (unpickle(u, &v, e) < 0 || unpickle(u, &v, e) < 0 || unpickle(u, root, e) < 0 ||
	    unpickle(u, &keys, e) < 0)
		return -1;
	if (keys->kind != PV_LIST)
		return pickle_damaged(u, e, "no list of storages");
	order = xcalloc(u->n_storage, sizeof *order);
	for (size_t i = 0; i < u->n_storage; i++)
		order[i] = &u->storage[i];
	qsort(order, u->n_storage, sizeof *order, by_key);
	for (size_t i = 0; i < keys->many.n; i++)
		if (read_raw(u, order, keys->many.item[i], e) < 0)
			goto out;
	ret = 0;
out:
	free(order);
	return ret;
}

/* ---- the interface ---- */

int pickle_open(struct pickle *p, const char *path, struct err *e)
{
	struct unpickler u = { .path = path };
	struct flat f = { .p = p, .u = &u, .path = path };
	struct pickle_value *root = NULL;
	int ret = -1;

	memset(p, 0, sizeof *p);
	if (map_open(&p->map, path, e) < 0)
		return -1;
	f.spare = (int64_t)p->map.len * 4 + (1 << 24);
	if (p->map.len < 4 || (memcmp(p->map.at, "PK", 2) && p->map.at[0] != 0x80)) {
		fail(e,
		     "'%s' is no checkpoint of torch's: it begins neither as a zip nor as a pickle",
		     path);
		goto out;
	}
	if ((p->map.at[0] == 'P' ? read_zip : read_legacy)(&p->map, &u, &root, e) < 0)
		goto out;
	ret = flatten(&f, root, 0, e);
out:
	buf_release(&f.name);
	unpickler_release(&u);
	if (ret < 0)
		pickle_close(p);
	return ret;
}

void pickle_close(struct pickle *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].name);
		tensor_release(&p->at[i].t);
	}
	free(p->at);
	map_close(&p->map);
	memset(p, 0, sizeof *p);
}

int pickle_is(const char *path)
{
	static const unsigned char zeros[4];
	unsigned char head[9] = { 0 };
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return 0;
	n = fread(head, 1, sizeof head, f);
	fclose(f);
	/* a safetensors file whose header is 640 bytes long begins like a pickle too */
	if (n == sizeof head && !memcmp(head + 4, zeros, 4) && head[8] == '{')
		return 0;
	return n >= 4 &&
	       (!memcmp(head, "PK\3\4", 4) || (head[0] == 0x80 && head[1] >= 2 && head[1] <= 5));
}
