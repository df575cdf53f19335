#include "common/data/pickle_vm.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static int push_int(struct unpickler *u, enum pickle_kind kind, int64_t i, struct err *e)
{
	struct pickle_value *v = pickle_new(u, kind, e);

	if (!v)
		return -1;
	v->i = i;
	return 0;
}

static int push_text(struct unpickler *u, enum pickle_kind kind, int bytes, struct err *e)
{
	struct pickle_text t = { NULL, 0 };
	struct pickle_value *v;

	if (pickle_counted(u, bytes, &t, e) < 0 || !(v = pickle_new(u, kind, e)))
		return -1;
	v->text = t;
	return 0;
}

/* The last n values become one container. */
static int gather(struct unpickler *u, enum pickle_kind kind, size_t n, struct err *e)
{
	struct pickle_value *v, **item;

	if (n && !pickle_top(u, n - 1, e))
		return -1;
	if (kind == PV_DICT && n % 2)
		return pickle_damaged(u, e, "a key without value");
	item = pickle_alloc(u, n, sizeof *item);
	if (n)
		memcpy(item, u->stack + u->n_stack - n, n * sizeof *item);
	u->n_stack -= n;
	if (!(v = pickle_new(u, kind, e)))
		return -1;
	v->many.item = item;
	v->many.n = v->many.cap = n;
	return 0;
}

static int gather_marked(struct unpickler *u, enum pickle_kind kind, struct err *e)
{
	size_t from = 0;

	return pickle_mark(u, &from, e) < 0 ? -1 : gather(u, kind, u->n_stack - from, e);
}

/* The last n values go into the container below them. Opaque values swallow theirs. */
static int put_into(struct unpickler *u, enum pickle_kind kind, size_t n, struct err *e)
{
	struct pickle_value *to = pickle_top(u, n, e);

	if (!to)
		return -1;
	if (to->kind != kind && to->kind != PV_OPAQUE)
		return pickle_damaged(u, e, "items for something that is no container of them");
	if (kind == PV_DICT && n % 2)
		return pickle_damaged(u, e, "a key without value");
	for (size_t i = 0; i < n && to->kind == kind; i++)
		if (pickle_add(u, to, u->stack[u->n_stack - n + i], e) < 0)
			return -1;
	u->n_stack -= n;
	return 0;
}

static int put_marked(struct unpickler *u, enum pickle_kind kind, struct err *e)
{
	size_t from = 0;

	return pickle_mark(u, &from, e) < 0 ? -1 : put_into(u, kind, u->n_stack - from, e);
}

static int memo_put(struct unpickler *u, uint64_t at, struct err *e)
{
	struct pickle_value *v = pickle_top(u, 0, e);

	if (!v)
		return -1;
	if (at > u->len || at >= PICKLE_LIMIT)
		return pickle_damaged(u, e, "a memo of millions");
	while (u->n_memo <= at) {
		u->memo = grow(u->memo, u->n_memo, &u->cap_memo, sizeof *u->memo);
		u->memo[u->n_memo++] = NULL;
	}
	u->memo[at] = v;
	return 0;
}

static int memo_get(struct unpickler *u, uint64_t at, struct err *e)
{
	if (at >= u->n_memo || !u->memo[at])
		return pickle_damaged(u, e, "a memo that was never set");
	return pickle_push(u, u->memo[at], e);
}

static int line_int(struct unpickler *u, int64_t *out, struct err *e)
{
	struct pickle_text t = { NULL, 0 };
	char word[32];

	if (pickle_line(u, &t, e) < 0)
		return -1;
	if (t.len && t.at[t.len - 1] == 'L')
		t.len--;
	if (t.len >= sizeof word)
		return pickle_damaged(u, e, "a number that is too long");
	memcpy(word, t.at, t.len);
	word[t.len] = 0;
	return text_int(word, out) < 0 ? pickle_damaged(u, e, "a number that is none") : 0;
}

/* LONG1 and LONG4. Longer than 64 bits (the magic number of old files): kept as bytes. */
static int push_long(struct unpickler *u, int bytes, struct err *e)
{
	struct pickle_text t = { NULL, 0 };
	struct pickle_value *v;
	uint64_t n = 0;

	if (pickle_counted(u, bytes, &t, e) < 0)
		return -1;
	if (t.len > 8) {
		if (!(v = pickle_new(u, PV_BYTES, e)))
			return -1;
		v->text = t;
		return 0;
	}
	if (t.len && (t.at[t.len - 1] & 0x80))
		n = ~(uint64_t)0;
	for (size_t i = t.len; i-- > 0;)
		n = n << 8 | (unsigned char)t.at[i];
	return push_int(u, PV_INT, (int64_t)n, e);
}

static int push_float(struct unpickler *u, struct err *e)
{
	const unsigned char *p = NULL;
	struct pickle_value *v;
	uint64_t bits = 0;

	if (pickle_take(u, 8, &p, e) < 0 || !(v = pickle_new(u, PV_FLOAT, e)))
		return -1;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | p[i];
	memcpy(&v->f, &bits, 8);
	return 0;
}

static int push_global(struct unpickler *u, struct pickle_text module, struct pickle_text name,
		       struct err *e)
{
	struct pickle_value *v = pickle_new(u, PV_GLOBAL, e);

	return v ? pickle_global(v, u->path, module, name, e) : -1;
}

static int op_global(struct unpickler *u, struct err *e)
{
	struct pickle_text module = { NULL, 0 }, name = { NULL, 0 };

	return pickle_line(u, &module, e) < 0 || pickle_line(u, &name, e) < 0 ?
		       -1 :
		       push_global(u, module, name, e);
}

static int op_stack_global(struct unpickler *u, struct err *e)
{
	struct pickle_value *module, *name;

	if (pickle_pop(u, &name, e) < 0 || pickle_pop(u, &module, e) < 0)
		return -1;
	if (module->kind != PV_TEXT || name->kind != PV_TEXT)
		return pickle_damaged(u, e, "a name that is no text");
	return push_global(u, module->text, name->text, e);
}

/* REDUCE, NEWOBJ, and NEWOBJ_EX, whose last argument is a dictionary of no interest. */
static int op_reduce(struct unpickler *u, int extra, struct err *e)
{
	struct pickle_value *f, *args, *rest, *v;

	if ((extra && pickle_pop(u, &rest, e) < 0) || pickle_pop(u, &args, e) < 0 ||
	    pickle_pop(u, &f, e) < 0)
		return -1;
	if (!(v = pickle_new(u, PV_NONE, e)))
		return -1;
	return pickle_reduce(u, f, args, v, e);
}

/* INST and OBJ, of protocol 0: a class and what stands since the mark. */
static int op_instance(struct unpickler *u, int named, struct err *e)
{
	struct pickle_value *f, *args, *v;
	size_t from = 0;

	if (named) {    /* MARK args INST: the name comes last */
		if (op_global(u, e) < 0 || pickle_pop(u, &f, e) < 0 ||
		    gather_marked(u, PV_TUPLE, e) < 0 || pickle_pop(u, &args, e) < 0)
			return -1;
	} else {        /* MARK class args OBJ */
		if (pickle_mark(u, &from, e) < 0)
			return -1;
		if (u->n_stack <= from)
			return pickle_damaged(u, e, "an object without class");
		if (gather(u, PV_TUPLE, u->n_stack - from - 1, e) < 0 ||
		    pickle_pop(u, &args, e) < 0 || pickle_pop(u, &f, e) < 0)
			return -1;
	}
	if (!(v = pickle_new(u, PV_NONE, e)))
		return -1;
	return pickle_reduce(u, f, args, v, e);
}

static int op_persistent(struct unpickler *u, struct err *e)
{
	struct pickle_value *id, *v;

	if (pickle_pop(u, &id, e) < 0 || !(v = pickle_new(u, PV_NONE, e)))
		return -1;
	return pickle_persistent(u, id, v, e);
}

static int op_number(struct unpickler *u, int op, struct err *e)
{
	uint64_t n = 0;
	int64_t i;

	switch (op) {
	case 'J':
		return pickle_uint(u, 4, &n, e) < 0 ? -1 :
						      push_int(u, PV_INT, (int32_t)(uint32_t)n, e);
	case 'K': return pickle_uint(u, 1, &n, e) < 0 ? -1 : push_int(u, PV_INT, (int64_t)n, e);
	case 'M': return pickle_uint(u, 2, &n, e) < 0 ? -1 : push_int(u, PV_INT, (int64_t)n, e);
	case 'I':
	case 'L': return line_int(u, &i, e) < 0 ? -1 : push_int(u, PV_INT, i, e);
	case 'G': return push_float(u, e);
	case 0x8a: return push_long(u, 1, e);
	case 0x8b: return push_long(u, 4, e);
	case 0x88: return push_int(u, PV_BOOL, 1, e);
	case 0x89: return push_int(u, PV_BOOL, 0, e);
	default: return push_int(u, PV_NONE, 0, e);
	}
}

static int op_text(struct unpickler *u, int op, struct err *e)
{
	switch (op) {
	case 'X': return push_text(u, PV_TEXT, 4, e);
	case 'U': return push_text(u, PV_TEXT, 1, e);
	case 'T': return push_text(u, PV_TEXT, 4, e);
	case 0x8c: return push_text(u, PV_TEXT, 1, e);
	case 0x8d: return push_text(u, PV_TEXT, 8, e);
	case 'B': return push_text(u, PV_BYTES, 4, e);
	case 'C': return push_text(u, PV_BYTES, 1, e);
	default: return push_text(u, PV_BYTES, 8, e);
	}
}

static int op_memo(struct unpickler *u, int op, struct err *e)
{
	uint64_t n = 0;
	int64_t i = 0;

	switch (op) {
	case 'q': return pickle_uint(u, 1, &n, e) < 0 ? -1 : memo_put(u, n, e);
	case 'r': return pickle_uint(u, 4, &n, e) < 0 ? -1 : memo_put(u, n, e);
	case 'p': return line_int(u, &i, e) < 0 ? -1 : memo_put(u, (uint64_t)i, e);
	case 'h': return pickle_uint(u, 1, &n, e) < 0 ? -1 : memo_get(u, n, e);
	case 'j': return pickle_uint(u, 4, &n, e) < 0 ? -1 : memo_get(u, n, e);
	case 'g': return line_int(u, &i, e) < 0 ? -1 : memo_get(u, (uint64_t)i, e);
	default: return memo_put(u, u->n_memo, e);
	}
}

static int op_container(struct unpickler *u, int op, struct err *e)
{
	switch (op) {
	case ']': return gather(u, PV_LIST, 0, e);
	case ')': return gather(u, PV_TUPLE, 0, e);
	case '}': return gather(u, PV_DICT, 0, e);
	case 0x8f: return gather(u, PV_SET, 0, e);
	case 0x85: return gather(u, PV_TUPLE, 1, e);
	case 0x86: return gather(u, PV_TUPLE, 2, e);
	case 0x87: return gather(u, PV_TUPLE, 3, e);
	case 't': return gather_marked(u, PV_TUPLE, e);
	case 'l': return gather_marked(u, PV_LIST, e);
	case 'd': return gather_marked(u, PV_DICT, e);
	case 0x91: return gather_marked(u, PV_SET, e);
	case 'a': return put_into(u, PV_LIST, 1, e);
	case 's': return put_into(u, PV_DICT, 2, e);
	case 'e': return put_marked(u, PV_LIST, e);
	case 'u': return put_marked(u, PV_DICT, e);
	default: return put_marked(u, PV_SET, e);       /* 0x90 */
	}
}

static int op_stack(struct unpickler *u, int op, struct err *e)
{
	struct pickle_value *v;
	size_t from = 0;

	switch (op) {
	case '(':
		u->mark = grow(u->mark, u->n_mark, &u->cap_mark, sizeof *u->mark);
		u->mark[u->n_mark++] = u->n_stack;
		return u->n_mark > PICKLE_LIMIT ? pickle_damaged(u, e, "millions of marks") : 0;
	case '1':
		if (pickle_mark(u, &from, e) < 0)
			return -1;
		u->n_stack = from;
		return 0;
	case '2':
		v = pickle_top(u, 0, e);
		return v ? pickle_push(u, v, e) : -1;
	default:        /* '0': a mark, if nothing lies above it */
		if (u->n_mark && u->mark[u->n_mark - 1] == u->n_stack)
			return u->n_mark--, 0;
		return pickle_pop(u, &v, e);
	}
}

/* BUILD gives an object its state: OrderedDict's _metadata, or what an opaque value would hold. */
static int op_build(struct unpickler *u, struct err *e)
{
	struct pickle_value *state;

	return pickle_pop(u, &state, e) < 0 || !pickle_top(u, 0, e) ? -1 : 0;
}

static int is_one_of(int op, const char *set)
{
	return op && strchr(set, op) != NULL;
}

static int step(struct unpickler *u, int op, struct err *e)
{
	uint64_t n;

	if (op == 0x80)         /* PROTO */
		return pickle_uint(u, 1, &n, e);
	if (op == 0x95)         /* FRAME */
		return pickle_uint(u, 8, &n, e);
	if (is_one_of(op, "JKMILGN\x8a\x8b\x88\x89"))
		return op_number(u, op, e);
	if (is_one_of(op, "XUTBC\x8c\x8d\x8e\x96"))
		return op_text(u, op, e);
	if (is_one_of(op, "qrphjg\x94"))
		return op_memo(u, op, e);
	if (is_one_of(op, "])}tldaseu\x8f\x85\x86\x87\x91\x90"))
		return op_container(u, op, e);
	if (is_one_of(op, "(120"))
		return op_stack(u, op, e);
	switch (op) {
	case 'c': return op_global(u, e);
	case 0x93: return op_stack_global(u, e);
	case 'R':
	case 0x81: return op_reduce(u, 0, e);
	case 0x92: return op_reduce(u, 1, e);
	case 'i': return op_instance(u, 1, e);
	case 'o': return op_instance(u, 0, e);
	case 'Q': return op_persistent(u, e);
	case 'b': return op_build(u, e);
	}
	return fail(e, "'%s' is damaged: pickle opcode 0x%02x at byte %zu is not known", u->path,
		    op, u->pos - 1);
}

int unpickle(struct unpickler *u, struct pickle_value **out, struct err *e)
{
	const unsigned char *op = NULL;

	u->n_stack = u->n_mark = u->n_memo = 0;
	for (;;) {
		if (pickle_take(u, 1, &op, e) < 0)
			return -1;
		if (*op == '.')
			break;
		if (step(u, *op, e) < 0)
			return -1;
	}
	if (u->n_stack != 1 || u->n_mark)
		return pickle_damaged(u, e, "more or less than one result");
	*out = u->stack[0];
	return 0;
}
