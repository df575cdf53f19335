/*
 * Attention as products with a softmax between, a run of heads (or, where one head's scores are too many,
 * of queries) at a time. It works for every dtype and head; where cuDNN's fused kernels apply they need
 * neither the scores' memory nor the passes over it.
 *
 *	scratch   scores f32 | gradients of probabilities f32 (backward) | both in the tensors' type, if
 *	          that is not f32
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/sides.h"

#include <string.h>

#ifdef __CUDACC__
#define CHUNK ((int64_t)128 << 20)
#else
#define CHUNK ((int64_t)64 << 10)
#endif

struct attention {
	int64_t n, heads, tq, tk, d, wide;      /* wide = heads d: from token to token */
	int64_t run_heads, run_queries;         /* at a time: several heads only with all queries */
	enum dtype type;
	float scale;
	int causal, dx;
};

struct soft_args {
	struct span s, p;               /* scores f32; probabilities, s itself if f32 */
	struct span dp, ds, dy, y;      /* backward: ds may be dp itself */
	struct span lse;                /* forward: written, or at NULL */
	int64_t heads, queries, tk, tq; /* of this run; tq: all queries */
	int64_t q0, d, wide;            /* dy and y start at the run's first head and query */
	float scale;
	int causal;
};

#define ROWS (THREADS / WARP)

/* This warp's row: query q of head h of the run, and how many keys it sees. */
struct soft_row { int64_t row, h, q, keys, at; int lane; };

DEV struct soft_row soft_row_of(const struct soft_args *p)
{
	struct soft_row r;

	r.row = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
	r.lane = (int)threadIdx.x % WARP;
	r.h = quotient(r.row, p->queries);
	r.q = r.row - r.h * p->queries;
	r.keys = p->causal && p->q0 + r.q + 1 < p->tk ? p->q0 + r.q + 1 : p->tk;
	r.at = r.row * p->tk;
	return r;
}

KERNEL(softmax_rows, soft_args)
{
	struct soft_row r = soft_row_of(&p);
	float top = -INFINITY, sum = 0;

	if (r.row >= p.heads * p.queries)
		return;
	for (int64_t j = r.lane * VEC; j < r.keys; j += WARP * VEC) {
		struct vec s = get_v(p.s, r.at + j, r.keys - j);

		for (int k = 0; k < VEC && j + k < r.keys; k++)
			top = fmaxf(top, s.f[k]);
	}
	top = warp_max(top);
	for (int64_t j = r.lane * VEC; j < r.keys; j += WARP * VEC) {
		struct vec s = get_v(p.s, r.at + j, r.keys - j);

		for (int k = 0; k < VEC && j + k < r.keys; k++)
			sum += expf(s.f[k] - top);
	}
	sum = warp_sum(sum);
	for (int64_t j = r.lane * VEC; j < p.tk; j += WARP * VEC) {
		struct vec s = get_v(p.s, r.at + j, p.tk - j);

		for (int k = 0; k < VEC; k++)
			s.f[k] = j + k < r.keys ? expf(s.f[k] - top) / sum : 0;
		put_v(p.p, r.at + j, p.tk - j, s);
	}
	if (p.lse.at && r.lane == 0)
		put(p.lse, r.h * p.tq + r.q, top + logf(sum));
}

/* p = exp(s - lse);  ds = scale p (dp - sum of dy y over the head) */
KERNEL(softmax_rows_dx, soft_args)
{
	struct soft_row r = soft_row_of(&p);
	float delta = 0, lse;

	if (r.row >= p.heads * p.queries)
		return;
	for (int64_t i = r.lane; i < p.d; i += WARP) {
		int64_t at = r.q * p.wide + r.h * p.d + i;

		delta += get(p.dy, at) * get(p.y, at);
	}
	delta = warp_sum(delta);
	lse = get(p.lse, r.h * p.tq + r.q);
	for (int64_t j = r.lane * VEC; j < p.tk; j += WARP * VEC) {
		struct vec s = get_v(p.s, r.at + j, p.tk - j), dp = get_v(p.dp, r.at + j, p.tk - j);

		for (int k = 0; k < VEC; k++) {
			s.f[k] = j + k < r.keys ? expf(s.f[k] - lse) : 0;
			dp.f[k] = p.scale * s.f[k] * (dp.f[k] - delta);
		}
		put_v(p.p, r.at + j, p.tk - j, s);
		put_v(p.ds, r.at + j, p.tk - j, dp);
	}
}

static struct attention attention_of(const struct node *n, const int64_t *q, const int64_t *k,
				     enum dtype type, int dx)
{
	struct attention a;
	int64_t one;

	a.n = q[0];
	a.heads = n->at.attention.heads;
	a.tq = q[1] * q[2];
	a.tk = k[1] * k[2];
	a.wide = q[3];
	a.d = q[3] / a.heads;
	a.scale = n->at.attention.scale;
	a.causal = n->at.attention.causal;
	a.type = type;
	a.dx = dx;
	one = max64(1, a.tq * a.tk * 4);
	a.run_heads = max64(1, min64(a.heads, CHUNK / one));
	a.run_queries = one <= CHUNK ? a.tq : max64(1, CHUNK / (a.tk * 4));
	return a;
}

/* Bytes of one of the four parts of scratch. */
static size_t part_bytes(const struct attention *a, enum dtype type)
{
	return ((size_t)(a->run_heads * a->run_queries * a->tk) * dtype_size(type) + 63) & ~(size_t)63;
}

static size_t attention_bytes(const struct attention *a)
{
	size_t each = part_bytes(a, DT_F32) + (a->type == DT_F32 ? 0 : part_bytes(a, a->type));

	return each * (a->dx ? 2 : 1);
}

size_t cuda_attention_scratch(const struct node *n, const struct graph *g)
{
	const struct node *q = &g->node[n->in[0]];
	struct attention a = attention_of(n, q->dim, g->node[n->in[1]].dim, q->type, 0);

	return attention_bytes(&a);
}

size_t cuda_attention_dx_scratch(const struct node *n, const struct graph *g)
{
	const struct node *q = &g->node[n->in[1]];
	struct attention a = attention_of(n, q->dim, g->node[n->in[2]].dim, q->type, 1);

	return attention_bytes(&a);
}

/* One run: heads h0 .. h0 + heads of picture n, queries q0 .. q0 + queries. */
struct run { int64_t n, h0, heads, q0, queries; };

/* Its part of a tensor of queries or keys. */
static struct operand of_queries(const struct attention *a, const struct view *v, const struct run *r)
{
	struct operand o = operand_of(v->at, v->type, a->wide);

	o.step = a->d;
	return operand_from(o, (r->n * a->tq + r->q0) * a->wide + r->h0 * a->d);
}

static struct operand of_keys(const struct attention *a, const struct view *v, const struct run *r)
{
	struct operand o = operand_of(v->at, v->type, a->wide);

	o.step = a->d;
	return operand_from(o, r->n * a->tk * a->wide + r->h0 * a->d);
}

static struct operand of_scores(const struct attention *a, struct span s, const struct run *r)
{
	struct operand o = operand_of(s.at, (enum dtype)s.type, a->tk);

	o.step = r->queries * a->tk;
	return o;
}

static void multiply(struct lane *l, const struct run *r, int64_t rows, int64_t cols, int64_t inner,
		     float alpha, struct operand x, struct operand w, struct operand y, int add)
{
	struct operand none = { NULL, DT_NONE, 0, 0, 0 };
	struct product p = { rows, cols, inner, r->heads, alpha, x, w, y, add ? y : none, none };

	product_run(l, &p);
}

static struct soft_args soft_of(const struct attention *a, const struct run *r, void *scratch,
				const struct view *lse)
{
	char *at = (char *)scratch;
	struct soft_args s;

	memset(&s, 0, sizeof s);
	s.s.at = at;
	s.s.type = s.dp.type = DT_F32;
	s.dp.at = at + part_bytes(a, DT_F32);
	s.p = s.s;
	s.ds = s.dp;
	if (a->type != DT_F32) {
		s.p.at = at + part_bytes(a, DT_F32) * (a->dx ? 2 : 1);
		s.ds.at = (char *)s.p.at + part_bytes(a, a->type);
		s.p.type = s.ds.type = (int)a->type;
	}
	s.heads = r->heads;
	s.queries = r->queries;
	s.tq = a->tq;
	s.tk = a->tk;
	s.q0 = r->q0;
	s.d = a->d;
	s.wide = a->wide;
	s.scale = a->scale;
	s.causal = a->causal;
	if (lse->at) {
		s.lse.type = (int)lse->type;
		s.lse.at = (char *)lse->at + ((r->n * a->heads + r->h0) * a->tq + r->q0) *
			(int64_t)dtype_size(lse->type);
	}
	return s;
}

static struct grid soft_grid(const struct run *r)
{
	struct grid g = { blocks_of(r->heads * r->queries, ROWS), 1, THREADS, 1 };

	return g;
}

static void attend(const struct call *c, struct lane *l, const struct attention *a, const struct run *r)
{
	struct soft_args s = soft_of(a, r, c->scratch, &c->out[1]);

	multiply(l, r, r->queries, a->tk, a->d, a->scale, of_queries(a, &c->in[0], r),
		 operand_turned(of_keys(a, &c->in[1], r)), of_scores(a, s.s, r), 0);
	LAUNCH(l, softmax_rows, soft_grid(r), s);
	multiply(l, r, r->queries, a->d, a->tk, 1, of_scores(a, s.p, r), of_keys(a, &c->in[2], r),
		 of_queries(a, &c->out[0], r), 0);
}

/* in: dy, q, k, v, y, lse; out: dq, dk, dv */
static void attend_dx(const struct call *c, struct lane *l, const struct attention *a, const struct run *r)
{
	struct soft_args s = soft_of(a, r, c->scratch, &c->in[5]);
	struct operand dy = of_queries(a, &c->in[0], r), q = of_queries(a, &c->in[1], r);

	multiply(l, r, r->queries, a->tk, a->d, a->scale, q, operand_turned(of_keys(a, &c->in[2], r)),
		 of_scores(a, s.s, r), 0);
	multiply(l, r, r->queries, a->tk, a->d, 1, dy, operand_turned(of_keys(a, &c->in[3], r)),
		 of_scores(a, s.dp, r), 0);
	s.dy.at = dy.at;
	s.dy.type = (int)dy.type;
	s.y.at = of_queries(a, &c->in[4], r).at;
	s.y.type = (int)c->in[4].type;
	LAUNCH(l, softmax_rows_dx, soft_grid(r), s);
	multiply(l, r, r->queries, a->d, a->tk, 1, of_scores(a, s.ds, r), of_keys(a, &c->in[2], r),
		 of_queries(a, &c->out[0], r), 0);
	if (c->out[1].at)
		multiply(l, r, a->tk, a->d, r->queries, 1, operand_turned(of_scores(a, s.ds, r)), q,
			 of_keys(a, &c->out[1], r), r->q0 > 0);
	if (c->out[2].at)
		multiply(l, r, a->tk, a->d, r->queries, 1, operand_turned(of_scores(a, s.p, r)), dy,
			 of_keys(a, &c->out[2], r), r->q0 > 0);
}

static void each_run(const struct call *c, struct lane *l, const struct attention *a)
{
	struct run r;

	for (r.n = 0; r.n < a->n; r.n++)
		for (r.h0 = 0; r.h0 < a->heads; r.h0 += a->run_heads)
			for (r.q0 = 0; r.q0 < a->tq; r.q0 += a->run_queries) {
				r.heads = min64(a->run_heads, a->heads - r.h0);
				r.queries = min64(a->run_queries, a->tq - r.q0);
				if (a->dx)
					attend_dx(c, l, a, &r);
				else
					attend(c, l, a, &r);
			}
}

void cuda_attention(const struct call *c, struct lane *l)
{
	struct attention a = attention_of(c->n, c->in[0].dim, c->in[1].dim, c->in[0].type, 0);

	each_run(c, l, &a);
}

void cuda_attention_dx(const struct call *c, struct lane *l)
{
	struct attention a = attention_of(c->n, c->in[1].dim, c->in[2].dim, c->in[1].type, 1);

	each_run(c, l, &a);
}
