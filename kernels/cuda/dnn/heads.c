/*
 * Attention as the graphs of operations that cuDNN's fused kernels recognise. Sides are picture, head,
 * token, number; a head's numbers lie next to each other, so no tensor is turned: keys that are read across
 * only have their steps exchanged.
 */
#include "kernels/cuda/dnn/parts.h"

#include <float.h>
#include <math.h>

enum { Q = 1, K, V, OUT, LSE, DY, DQ, DK, DV, DELTA, SCALE, MASKED, ONE, INSIDE };

#define OPS 24
#define WIDE 91000              /* before it, heads end at 256 on Hopper and at 128 elsewhere */
#define PADS 91501              /* before it, keys that are no multiple of 128 were wrong in the gradients */

struct flow {                   /* a graph as it grows */
	struct made *m;
	const struct heads *h;
	desc op[OPS];
	int n;
	int64_t uid;            /* of the next tensor inside */
	cudnnDataType_t type;
};

static struct shape tokens(const struct heads *h, int64_t t)
{
	int64_t wide = h->heads * h->d;

	return (struct shape){ { h->n, h->heads, t, h->d }, { t * wide, h->d, wide, 1 } };
}

static struct shape across(struct shape s)
{
	return (struct shape){ { s.dim[0], s.dim[1], s.dim[3], s.dim[2] },
			       { s.step[0], s.step[1], s.step[3], s.step[2] } };
}

static struct shape dense(int64_t n, int64_t a, int64_t t, int64_t d)
{
	return (struct shape){ { n, a, t, d }, { a * t * d, t * d, d, 1 } };
}

static struct shape square(const struct heads *h) { return dense(h->n, h->heads, h->tq, h->tk); }
static struct shape column(const struct heads *h) { return dense(h->n, h->heads, h->tq, 1); }

static desc outside(struct flow *f, int64_t uid, struct shape s, cudnnDataType_t type)
{
	return make_tensor(f->m, uid, s, type, REAL);
}

static desc inside(struct flow *f, struct shape s, cudnnDataType_t type)
{
	return make_tensor(f->m, f->uid++, s, type, VIRTUAL);
}

static desc scalar(struct flow *f, int64_t uid)
{
	return make_tensor(f->m, uid, dense(1, 1, 1, 1), CUDNN_DATA_FLOAT, BY_VALUE);
}

static void add_op(struct flow *f, desc op)
{
	if (f->n == OPS)
		BUG("more than %d operations in a graph", OPS);
	f->op[f->n++] = op;
}

/* y = x MODE b */
static desc point(struct flow *f, cudnnPointwiseMode_t mode, desc x, desc b, desc y)
{
	add_op(f, make_pointwise(f->m, mode, CUDNN_DATA_FLOAT, x, b, y));
	return y;
}

/* The same, into a tensor inside the graph that is like the scores. */
static desc score(struct flow *f, cudnnPointwiseMode_t mode, desc x, desc b)
{
	return point(f, mode, x, b, inside(f, square(f->h), CUDNN_DATA_FLOAT));
}

/* x reduced along its last side */
static desc reduce(struct flow *f, cudnnReduceTensorOp_t mode, desc x)
{
	desc how = made_new(f->m, CUDNN_BACKEND_REDUCTION_DESCRIPTOR), op, y;

	set_many(f->m, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
	set_type(f->m, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
	made_done(f->m, how);
	y = inside(f, column(f->h), CUDNN_DATA_FLOAT);
	op = made_new(f->m, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
	add_op(f, made_done(f->m, op));
	return y;
}

static desc multiply(struct flow *f, desc a, desc b, desc y)
{
	desc how = made_new(f->m, CUDNN_BACKEND_MATMUL_DESCRIPTOR), op;

	set_type(f->m, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
	made_done(f->m, how);
	op = made_new(f->m, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
	add_op(f, made_done(f->m, op));
	return y;
}

static desc reshape(struct flow *f, desc x, desc y)
{
	desc op = made_new(f->m, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);

	set_desc(f->m, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
	set_desc(f->m, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
	add_op(f, made_done(f->m, op));
	return y;
}

/* The number of each score's query (side 2) or key (side 3). */
static desc number(struct flow *f, desc s, int64_t side)
{
	struct point p = { .mode = CUDNN_POINTWISE_GEN_INDEX, .type = CUDNN_DATA_FLOAT, .axis = side, .x = s };

	p.y = inside(f, square(f->h), CUDNN_DATA_INT32);
	add_op(f, make_point(f->m, &p));
	return p.y;
}

/* s where the query is not before the key, else -infinity */
static desc mask(struct flow *f, desc s)
{
	struct point p = { .mode = CUDNN_POINTWISE_BINARY_SELECT, .type = CUDNN_DATA_FLOAT, .x = s };
	desc query = number(f, s, 2), key = number(f, s, 3);

	p.t = inside(f, square(f->h), CUDNN_DATA_BOOLEAN);
	add_op(f, make_pointwise(f->m, CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, query, key, p.t));
	p.y = inside(f, square(f->h), CUDNN_DATA_FLOAT);
	p.b = scalar(f, MASKED);
	add_op(f, make_point(f->m, &p));
	return p.y;
}

static void forward(struct flow *f)
{
	const struct heads *h = f->h;
	desc q = outside(f, Q, tokens(h, h->tq), f->type), k = outside(f, K, across(tokens(h, h->tk)), f->type);
	desc v = outside(f, V, tokens(h, h->tk), f->type), y = outside(f, OUT, tokens(h, h->tq), f->type);
	desc s = multiply(f, q, k, inside(f, square(h), CUDNN_DATA_FLOAT)), top, sum, log;

	s = score(f, CUDNN_POINTWISE_MUL, s, scalar(f, SCALE));
	if (h->causal)
		s = mask(f, s);
	top = reduce(f, CUDNN_REDUCE_TENSOR_MAX, s);
	s = score(f, CUDNN_POINTWISE_EXP, score(f, CUDNN_POINTWISE_SUB, s, top), NULL);
	sum = reduce(f, CUDNN_REDUCE_TENSOR_ADD, s);
	log = point(f, CUDNN_POINTWISE_LOG, sum, NULL, inside(f, column(h), CUDNN_DATA_FLOAT));
	point(f, CUDNN_POINTWISE_ADD, top, log, outside(f, LSE, column(h), CUDNN_DATA_FLOAT));
	s = point(f, CUDNN_POINTWISE_DIV, s, sum, inside(f, square(h), f->type));
	multiply(f, s, v, y);
}

/* x, its scores turned, in the tensors' type: what the gradients of keys and values are products of. */
static desc turned(struct flow *f, desc x)
{
	return reshape(f, x, inside(f, across(square(f->h)), f->type));
}

static void backward(struct flow *f)
{
	const struct heads *h = f->h;
	struct shape queries = tokens(h, h->tq), keys = tokens(h, h->tk);
	desc q = outside(f, Q, queries, f->type), k = outside(f, K, across(keys), f->type);
	desc v = outside(f, V, across(keys), f->type), y = outside(f, OUT, queries, f->type);
	desc dy = outside(f, DY, queries, f->type), lse = outside(f, LSE, column(h), CUDNN_DATA_FLOAT);
	desc delta, s, p, ds, scale = scalar(f, SCALE);

	delta = reduce(f, CUDNN_REDUCE_TENSOR_ADD,
		       point(f, CUDNN_POINTWISE_MUL, dy, y, inside(f, queries, CUDNN_DATA_FLOAT)));
	delta = point(f, CUDNN_POINTWISE_MUL, delta, scalar(f, ONE), outside(f, DELTA, column(h), CUDNN_DATA_FLOAT));
	s = multiply(f, q, k, inside(f, square(h), CUDNN_DATA_FLOAT));
	s = score(f, CUDNN_POINTWISE_SUB, score(f, CUDNN_POINTWISE_MUL, s, scale), lse);
	if (h->causal)
		s = mask(f, s);
	p = score(f, CUDNN_POINTWISE_EXP, s, NULL);
	multiply(f, turned(f, p), dy, outside(f, DV, keys, f->type));
	ds = multiply(f, dy, v, inside(f, square(h), CUDNN_DATA_FLOAT));
	ds = score(f, CUDNN_POINTWISE_MUL, score(f, CUDNN_POINTWISE_SUB, ds, delta), p);
	ds = score(f, CUDNN_POINTWISE_MUL, ds, scale);
	multiply(f, turned(f, ds), q, outside(f, DK, keys, f->type));
	k = reshape(f, k, inside(f, keys, f->type));
	multiply(f, ds, k, outside(f, DQ, queries, f->type));
}

/*
 * Engines don't say of themselves whether their gradients are the same every time. They are where each
 * score's gradient has its place in the workspace, so that none is added atomically: Hopper's, and those of
 * Ampere and Ada, of which cuDNN's manual says so since 9.18 (heads of at most 128; there is no atomic
 * instruction in them). Later cards' want an engine picked by hand.
 */
#define AMPERE 91800

static int is_sure(const struct cudnn *c)
{
	int card = c->with.capability;

	return card == 90 || (card >= 80 && card < 90 && c->version >= AMPERE);
}

static int64_t least(const struct heads *h)
{
	return h->dx ? h->n * h->heads * h->tq * h->tk * 2 : 0;
}

/* One picture's gradients may be larger than what several may take, but not much. */
static int64_t most(const struct cudnn *c)
{
	return c->dnn.scores * 5;
}

/* -1: cuDNN is not asked for it, and why. */
static int may_ask(const struct cudnn *c, const struct heads *h, struct err *why)
{
	int card = c->with.capability;

	if (card < 80)
		return fail(why, "cuDNN's attention wants compute capability 8.0");
	if (h->dx && !is_sure(c))
		return fail(why, "gradients of cuDNN %zu.%zu are not the same every time on compute capability %d.%d",
			    c->version / 10000, c->version / 100 % 100, card / 10, card % 10);
	if (h->dx && h->tk % 128 && c->version < PADS)
		return fail(why, "of cuDNN before 9.15.1 gradients of %lld keys are not to be trusted", (long long)h->tk);
	if (c->version == 91000 || c->version == 91001)
		return fail(why, "attention of cuDNN 9.10.0 and 9.10.1 is not to be trusted");
	if (h->dx && h->tq == 1 && h->tk == 1)
		return fail(why, "cuDNN has no gradients of one query and one key");
	if (least(h) > most(c))
		return fail(why, "cuDNN's gradients would want %lld MB of workspace", (long long)(least(h) >> 20));
	if (h->d > (card == 90 ? 256 : 128) && c->version < WIDE)
		return fail(why, "cuDNN before 9.10 is not asked for heads of %lld", (long long)h->d);
	return h->d % 8 ? fail(why, "cuDNN's heads are multiples of 8, not %lld", (long long)h->d) : 0;
}

int heads_plan(struct plan *p)
{
	const struct heads *h = &p->heads;
	struct flow f = { .m = &p->made, .h = h, .uid = INSIDE, .type = data_type(h->type) };
	struct wanted w = { .refused = NOTE(NONDETERMINISTIC) | NOTE(REDUCED_PRECISION_REDUCTION),
			    .compiled = 1, .least = least(h), .most = most(p->made.c) };

	if (may_ask(p->made.c, h, &p->made.why) < 0)
		return -1;
	if (h->dx)
		backward(&f);
	else
		forward(&f);
	return plan_choose(p, f.op, f.n, &w);
}

/* Behind the workspace, backward: the sums of dy y. */
static int64_t delta_at(const struct plan *p)
{
	return (p->bytes + 255) / 256 * 256;
}

int64_t heads_bytes(const struct plan *p)
{
	const struct heads *h = &p->heads;

	return h->dx ? delta_at(p) + h->n * h->heads * h->tq * 4 : p->bytes;
}

int heads_run(struct cudnn *c, struct plan *p, const struct heads *h, void *scratch, struct err *e)
{
	/* older ones want a number */
	float masked = c->version < 91000 ? -FLT_MAX : -INFINITY, scale = h->scale, one = 1;
	int64_t uid[13] = { Q, K, V, OUT, LSE, SCALE };
	void *at[13] = { h->q, h->k, h->v, h->y, h->lse, &scale };
	int n = 6;

	if (h->causal) {
		uid[n] = MASKED;
		at[n++] = &masked;
	}
	if (h->dx) {
		const int64_t more[] = { DY, DQ, DK, DV, DELTA, ONE };
		void *const places[] = { h->dy, h->dq, h->dk, h->dv, (char *)scratch + delta_at(p), &one };

		for (int i = 0; i < 6; i++, n++) {
			uid[n] = more[i];
			at[n] = places[i];
		}
	}
	return plan_run(c, p, n, uid, at, scratch, e);
}
