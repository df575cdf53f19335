#include <string.h>

#include "common/base/mem.h"
#include "common/data/pickle_vm.h"

static const struct pickle_value *arg(const struct pickle_value *tuple, size_t i,
				      enum pickle_kind kind)
{
	if (tuple->kind != PV_TUPLE || i >= tuple->many.n || tuple->many.item[i]->kind != kind)
		return NULL;
	return tuple->many.item[i];
}

/* A tuple of integers, none below 0. */
static int read_sides(const struct pickle_value *v, int64_t *out, int *rank)
{
	if (!v || v->many.n > TENSOR_RANK)
		return -1;
	*rank = (int)v->many.n;
	for (int i = 0; i < *rank; i++) {
		out[i] = v->many.item[i]->i;
		if (v->many.item[i]->kind != PV_INT || out[i] < 0)
			return -1;
	}
	return 0;
}

/* Is every element of the tensor inside its storage? */
static int inside(const struct pickle_tensor *t, int64_t count)
{
	int64_t last = t->offset, n = size_product(t->side, t->rank);

	if (n <= 0)
		return n == 0;
	for (int i = 0; i < t->rank; i++) {
		int64_t span;
		if (__builtin_mul_overflow(t->side[i] - 1, t->stride[i], &span) ||
		    __builtin_add_overflow(last, span, &last))
			return 0;
	}
	return last < count;
}

static int build_tensor(struct unpickler *u, const struct pickle_value *args,
			struct pickle_value *out, struct err *e)
{
	const struct pickle_value *storage = arg(args, 0, PV_STORAGE),
				  *offset = arg(args, 1, PV_INT);
	struct pickle_tensor *t = pickle_alloc(u, 1, sizeof *t);
	int strides = 0;

	if (!storage || !offset || offset->i < 0)
		return pickle_damaged(u, e, "a tensor without storage");
	t->storage = storage->storage;
	t->offset = offset->i;
	if (read_sides(arg(args, 2, PV_TUPLE), t->side, &t->rank) < 0 ||
	    read_sides(arg(args, 3, PV_TUPLE), t->stride, &strides) < 0 || strides != t->rank)
		return pickle_damaged(u, e, "a tensor without valid shape and strides");
	if (!inside(t, u->storage[t->storage].count))
		return pickle_damaged(u, e, "a tensor that reaches beyond its storage");
	out->kind = PV_TENSOR;
	out->tensor = t;
	return 0;
}

/* OrderedDict(), or of one list of pairs. */
static int build_dict(struct unpickler *u, const struct pickle_value *args,
		      struct pickle_value *out, struct err *e)
{
	const struct pickle_value *list = arg(args, 0, PV_LIST);

	out->kind = PV_DICT;
	for (size_t i = 0; list && i < list->many.n; i++) {
		const struct pickle_value *pair = list->many.item[i];
		if ((pair->kind != PV_TUPLE && pair->kind != PV_LIST) || pair->many.n != 2)
			return pickle_damaged(u, e, "a dictionary of something else than pairs");
		if (pickle_add(u, out, pair->many.item[0], e) < 0 ||
		    pickle_add(u, out, pair->many.item[1], e) < 0)
			return -1;
	}
	return 0;
}

static int build_copy(struct unpickler *u, enum pickle_kind kind, const struct pickle_value *args,
		      struct pickle_value *out, struct err *e)
{
	const struct pickle_value *from = arg(args, 0, PV_LIST);

	if (!from)
		from = arg(args, 0, PV_TUPLE);
	out->kind = kind;
	for (size_t i = 0; from && i < from->many.n; i++)
		if (pickle_add(u, out, from->many.item[i], e) < 0)
			return -1;
	return 0;
}

int pickle_reduce(struct unpickler *u, const struct pickle_value *f,
		  const struct pickle_value *args, struct pickle_value *out, struct err *e)
{
	const struct pickle_value *inner;

	if (f->kind == PV_OPAQUE) {
		out->kind = PV_OPAQUE;
		return 0;
	}
	if (f->kind != PV_GLOBAL || args->kind != PV_TUPLE)
		return pickle_damaged(u, e, "a call of something that is no name");
	switch (f->global.builder) {
	case PB_DICT: return build_dict(u, args, out, e);
	case PB_SET: return build_copy(u, PV_SET, args, out, e);
	case PB_TUPLE: return build_copy(u, PV_TUPLE, args, out, e);
	case PB_TENSOR:
	case PB_TENSOR_OLD: return build_tensor(u, args, out, e);
	case PB_PARAMETER:
		if (!(inner = arg(args, 0, PV_TENSOR)))
			return pickle_damaged(u, e, "a parameter without tensor");
		*out = *inner;
		return 0;
	case PB_FROM_TYPE:      /* (function, type, arguments, state) */
		inner = arg(args, 0, PV_GLOBAL);
		if (!inner || inner->global.builder == PB_FROM_TYPE || !arg(args, 2, PV_TUPLE))
			return pickle_damaged(u, e, "a tensor of an unknown kind");
		return pickle_reduce(u, inner, arg(args, 2, PV_TUPLE), out, e);
	case PB_STORAGE_TYPE: return pickle_damaged(u, e, "a storage made by a call");
	case PB_OPAQUE: break;
	}
	out->kind = PV_OPAQUE;
	return 0;
}

/* ("storage", type, key, device, elements[, view]); a view is None or (key, offset, elements). */
int pickle_persistent(struct unpickler *u, const struct pickle_value *id, struct pickle_value *out,
		      struct err *e)
{
	const struct pickle_value *word = arg(id, 0, PV_TEXT), *type = arg(id, 1, PV_GLOBAL);
	const struct pickle_value *key = arg(id, 2, PV_TEXT), *count = arg(id, 4, PV_INT),
				  *view = arg(id, 5, PV_TUPLE);
	struct pickle_storage *s;
	int64_t end;

	if (!word || word->text.len != 7 || memcmp(word->text.at, "storage", 7) || !key || !count ||
	    count->i < 0)
		return pickle_damaged(u, e, "a reference to something else than a storage");
	if (!type || type->global.builder != PB_STORAGE_TYPE)
		return pickle_damaged(u, e, "a storage of an unknown type");
	u->storage = grow(u->storage, u->n_storage, &u->cap_storage, sizeof *u->storage);
	s = &u->storage[u->n_storage];
	*s = (struct pickle_storage){ key->text, type->global.type, count->i, count->i, 0, NULL };
	if (view) {
		const struct pickle_value *begin = arg(view, 1, PV_INT), *n = arg(view, 2, PV_INT);
		if (!begin || !n || begin->i < 0 || n->i < 0 ||
		    __builtin_add_overflow(begin->i, n->i, &end) || end > s->root)
			return pickle_damaged(u, e, "a view that reaches beyond its storage");
		s->begin = begin->i;
		s->count = n->i;
	}
	out->kind = PV_STORAGE;
	out->storage = u->n_storage++;
	return 0;
}
