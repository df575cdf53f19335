/*
 * Every op's gradient against finite differences: L = sum(y r) for a fixed random r; the derivative
 * along a random direction, by the gradient and by (L(x + h d) - L(x - h d)) / 2h. And the plan of
 * each graph is proved by plan_check.
 */
#include "tests/test.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/ir/build.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/grad.h"
#include "kernels/run/session.h"

#define MAX_VARS 6

struct bench {
	struct graph g;
	id var[MAX_VARS];       /* inputs that the op is differentiated by */
	float *value[MAX_VARS];
	int vars;
	uint32_t draws;
};

static void normals(float *v, int64_t n, uint32_t stream, float scale)
{
	struct rng r = rng_stream(7, "grad test", stream, 0);

	rng_normal(&r, v, n);
	for (int64_t i = 0; i < n; i++)
		v[i] *= scale;
}

static id var(struct bench *b, int64_t n, int64_t h, int64_t w, int64_t c)
{
	char name[20];
	int64_t count = n * h * w * c;

	snprintf(name, sizeof name, "v%d", b->vars);
	b->value[b->vars] = xmalloc((size_t)count * sizeof(float));
	normals(b->value[b->vars], count, ++b->draws, .7f);
	return b->var[b->vars++] = g_input(&b->g, name, DT_F32, n, h, w, c);
}

/* L, summed in double on the host from the kept y. */
struct world {
	struct backend *be;
	struct pool pool;
	struct arena arena;
	struct session s;
	float *r;
	id y, grad[MAX_VARS];
};

static int start(struct world *w, struct bench *b, id y, struct err *e)
{
	int64_t n = node_count(&b->g.node[y]);
	id rr = g_input(&b->g, "r", DT_F32, b->g.node[y].dim[0], b->g.node[y].dim[1],
			b->g.node[y].dim[2], b->g.node[y].dim[3]);
	id loss = g_sum_to(&b->g, g_mul(&b->g, y, rr), (int64_t[]){ 1, 1, 1, 1 });
	id *grad = grad_emit(&b->g, loss, b->var, b->vars), *map;

	graph_keep(&b->g, y);
	for (int i = 0; i < b->vars; i++)
		if (grad[b->var[i]] != NONE)
			graph_keep(&b->g, grad[b->var[i]]);
	map = graph_fuse(&b->g);
	w->y = map[y];
	for (int i = 0; i < b->vars; i++)
		w->grad[i] = grad[b->var[i]] == NONE ? NONE : map[grad[b->var[i]]];
	free(grad);
	free(map);
	w->r = xmalloc((size_t)n * sizeof *w->r);
	normals(w->r, n, 99, 1);
	if (cpu_open(&w->be, 2, NULL, e) < 0 || pool_declare(&w->pool, &b->g, e) < 0 ||
	    session_plan(&w->s, &b->g, w->be, e) < 0 || plan_check(&w->s.plan, w->s.g, e) < 0 ||
	    pool_place(&w->pool, w->be, e) < 0 ||
	    arena_place(&w->arena, w->be, w->s.plan.arena, e) < 0 ||
	    session_bind(&w->s, &w->pool, &w->arena, e) < 0)
		return -1;
	return session_put(&w->s, "r", w->r, e);
}

static int run(struct world *w, struct bench *b, double *loss, struct err *e)
{
	int64_t n = node_count(&w->s.g->node[w->y]);
	float *y = xmalloc((size_t)n * sizeof *y);
	char name[20];
	int ret = -1;

	*loss = 0;
	for (int i = 0; i < b->vars; i++) {
		snprintf(name, sizeof name, "v%d", i);
		if (session_put(&w->s, name, b->value[i], e) < 0)
			goto out;
	}
	if (session_run(&w->s, e) < 0 || session_get(&w->s, w->y, y, e) < 0)
		goto out;
	for (int64_t i = 0; i < n; i++)
		*loss += (double)y[i] * w->r[i];
	ret = 0;
out:
	free(y);
	return ret;
}

/* The derivative by variable i along a random direction, both ways. */
static void compare(struct world *w, struct bench *b, int i, double tol)
{
	struct err e;
	int64_t n = node_count(&w->s.g->node[w->grad[i]]);
	float *d = xmalloc((size_t)n * sizeof *d), *old = xmalloc((size_t)n * sizeof *old),
		*g = xmalloc((size_t)n * sizeof *g);
	double by_grad = 0, up, down, size = 0, h = 4e-3;

	normals(d, n, 200 + (uint32_t)i, 1);
	memcpy(old, b->value[i], (size_t)n * sizeof *old);
	CHECK_OK(run(w, b, &up, &e), e);
	CHECK_OK(session_get(&w->s, w->grad[i], g, &e), e);
	for (int64_t k = 0; k < n; k++) {
		by_grad += (double)g[k] * d[k];
		size += (double)g[k] * g[k];
	}
	for (int64_t k = 0; k < n; k++)
		b->value[i][k] = old[k] + (float)h * d[k];
	CHECK_OK(run(w, b, &up, &e), e);
	for (int64_t k = 0; k < n; k++)
		b->value[i][k] = old[k] - (float)h * d[k];
	CHECK_OK(run(w, b, &down, &e), e);
	memcpy(b->value[i], old, (size_t)n * sizeof *old);
	CHECK_NEAR(by_grad, (up - down) / (2 * h), tol * (sqrt(size) + 1e-3));
	CHECK(size > 0);
	free(d);
	free(old);
	free(g);
}

static void release(struct world *w, struct bench *b)
{
	for (int i = 0; i < b->vars; i++)
		free(b->value[i]);
	session_release(&w->s);
	graph_release(&b->g);
	pool_release(&w->pool);
	arena_release(&w->arena);
	if (w->be)
		w->be->close(w->be);
	free(w->r);
	*b = (struct bench){ 0 };
}

static void finish(struct bench *b, id y, double tol)
{
	struct world w = { 0 };
	struct err e;

	CHECK_OK(start(&w, b, y, &e), e);
	for (int i = 0; !test_bad && i < b->vars; i++)
		if (w.grad[i] != NONE)
			compare(&w, b, i, tol);
	release(&w, b);
}

static void t_add(void)
{
	struct bench b = { 0 };
	id a = var(&b, 2, 3, 5, 7);

	finish(&b, g_add(&b.g, a, var(&b, 2, 1, 1, 7)), 1e-3);
}

static void t_mul(void)
{
	struct bench b = { 0 };
	id a = var(&b, 2, 3, 5, 7);

	finish(&b, g_mul(&b.g, a, var(&b, 1, 1, 1, 7)), 1e-3);
}

static void t_scale(void)
{
	struct bench b = { 0 };

	finish(&b, g_scale(&b.g, var(&b, 1, 1, 9, 5), -1.5f), 1e-3);
}

static void t_act(void)
{
	for (int kind = ACT_SILU; kind < ACT__COUNT; kind++) {
		struct bench b = { 0 };

		finish(&b, g_act(&b.g, var(&b, 1, 3, 5, 7), (enum act)kind), 2e-3);
	}
}

static void t_sum_to(void)
{
	struct bench b = { 0 };

	finish(&b, g_sum_to(&b.g, var(&b, 2, 3, 5, 7), (int64_t[]){ 2, 1, 1, 7 }), 1e-3);
}

/* f16 there and back: the steps of finite differences are rounded. */
static void t_cast(void)
{
	struct bench b = { 0 };

	finish(&b, g_cast(&b.g, g_cast(&b.g, var(&b, 2, 9, 5, 7), DT_F16), DT_F32), 5e-2);
}

static void t_linear(void)
{
	struct bench b = { 0 };
	id x = var(&b, 2, 1, 9, 13), w = var(&b, 1, 1, 7, 13), bias = var(&b, 1, 1, 1, 7);

	finish(&b, g_linear_add(&b.g, x, w, bias, var(&b, 2, 1, 9, 7)), 1e-3);
}

static void conv_case(int64_t h, int64_t w, int64_t c, int64_t k, int64_t filter, struct conv at)
{
	struct bench b = { 0 };
	id x = var(&b, 2, h, w, c), f = var(&b, k, filter, filter, c), bias = var(&b, 1, 1, 1, k);

	finish(&b, g_conv2d(&b.g, x, f, bias, at), 1e-3);
}

static void t_conv2d(void)
{
	conv_case(9, 5, 3, 7, 3, (struct conv){ 1, 1, 1, 1, 1 });
	conv_case(9, 5, 5, 3, 1, (struct conv){ 1, 0, 0, 0, 0 });
	conv_case(8, 6, 4, 6, 3, (struct conv){ 2, 1, 1, 1, 1 });
	conv_case(9, 7, 4, 6, 3, (struct conv){ 2, 0, 0, 1, 1 });
	conv_case(32, 32, 32, 32, 3, (struct conv){ 1, 1, 1, 1, 1 });
}

static void t_upsample(void)
{
	struct bench b = { 0 };

	finish(&b, g_upsample(&b.g, var(&b, 2, 3, 4, 5), 5, 8), 1e-3);
}

static void t_concat(void)
{
	struct bench b = { 0 };
	id a = var(&b, 2, 3, 4, 5);

	finish(&b, g_concat(&b.g, a, var(&b, 2, 3, 4, 3)), 1e-3);
}

static void t_slice(void)
{
	struct bench b = { 0 };

	finish(&b, g_slice(&b.g, var(&b, 2, 3, 4, 9), 2, 5), 1e-3);
}

static void t_group_norm(void)
{
	for (int act = ACT_NONE; act <= ACT_SILU; act++) {
		struct bench b = { 0 };
		id x = var(&b, 2, 5, 3, 12), gamma = var(&b, 1, 1, 1, 12),
			beta = var(&b, 1, 1, 1, 12);

		finish(&b, g_group_norm(&b.g, x, gamma, beta, 4, 1e-5f, (enum act)act), 2e-3);
	}
}

static void t_layer_norm(void)
{
	struct bench b = { 0 };
	id x = var(&b, 2, 1, 7, 13), gamma = var(&b, 1, 1, 1, 13), beta = var(&b, 1, 1, 1, 13);

	finish(&b, g_layer_norm(&b.g, x, gamma, beta, 1e-5f), 2e-3);
}

static void t_geglu(void)
{
	struct bench b = { 0 };

	finish(&b, g_geglu(&b.g, var(&b, 2, 1, 7, 10)), 2e-3);
}

static void t_attention(void)
{
	for (int causal = 0; causal < 2; causal++) {
		struct bench b = { 0 };
		id q = var(&b, 2, 1, 9, 16), k = var(&b, 2, 1, causal ? 9 : 7, 16);

		finish(&b, g_attention(&b.g, q, k, var(&b, 2, 1, causal ? 9 : 7, 16), 2,
				       .35f, causal), 2e-3);
	}
}

/* The table is differentiated; ids are fixed. A table entry used twice gets both gradients. */
static void t_embed(void)
{
	struct bench b = { 0 };
	struct world w = { 0 };
	struct err e;
	int32_t ids[6] = { 3, 0, 3, 4, 1, 3 };
	id i = g_input(&b.g, "ids", DT_I32, 1, 1, 2, 3);

	CHECK_OK(start(&w, &b, g_embed(&b.g, i, var(&b, 1, 1, 5, 4)), &e), e);
	CHECK_OK(session_put(&w.s, "ids", ids, &e), e);
	if (!test_bad)
		compare(&w, &b, 0, 1e-3);
	release(&w, &b);
}

static void t_dropout(void)
{
	struct bench b = { 0 };
	struct world w = { 0 };
	struct err e;
	int32_t key[4] = { 5, 0, 1, 2 };
	id k = g_input(&b.g, "key", DT_I32, 1, 1, 1, 4);

	CHECK_OK(start(&w, &b, g_dropout(&b.g, var(&b, 1, 1, 9, 16), k, .3f, 4), &e), e);
	CHECK_OK(session_put(&w.s, "key", key, &e), e);
	if (!test_bad)
		compare(&w, &b, 0, 1e-3);
	release(&w, &b);
}

static void t_mse(void)
{
	struct bench b = { 0 };
	id p = var(&b, 3, 4, 5, 2), target = var(&b, 3, 4, 5, 2);
	id weight = g_fill(&b.g, (int64_t[]){ 1, 1, 1, 3 }, .4f);

	finish(&b, g_mse(&b.g, p, target, weight), 2e-3);
}

/* A sum that meets in several ways: residuals fused into products, values used twice. */
static void t_residual(void)
{
	struct bench b = { 0 };
	id x = var(&b, 1, 6, 6, 8), w = var(&b, 8, 3, 3, 8), l = var(&b, 1, 1, 8, 8), h;

	h = g_add(&b.g, g_conv2d(&b.g, g_act(&b.g, x, ACT_SILU), w, NONE,
				 (struct conv){ 1, 1, 1, 1, 1 }), x);
	h = g_add(&b.g, x, g_linear(&b.g, h, l, NONE));
	finish(&b, g_add(&b.g, h, g_linear(&b.g, g_act(&b.g, h, ACT_GELU), l, NONE)), 2e-3);
}

/* Every op that networks are built of has a rule; the others appear in gradients only. */
static void rules_complete(void)
{
	static const enum op only_backward[] = {
		OP_INPUT, OP_WEIGHT, OP_STATE, OP_FILL, OP_AUX, OP_ACT_DX, OP_LINEAR_DX,
		OP_LINEAR_DW, OP_CONV2D_DX, OP_CONV2D_DW, OP_UPSAMPLE_DX, OP_PAD_SLICE,
		OP_GROUP_NORM_DX, OP_LAYER_NORM_DX, OP_GEGLU_DX, OP_ATTENTION_DX, OP_EMBED_DW,
		OP_MSE_DX, OP_SUMSQ, OP_ADAMW, OP_ACCUM, OP_EMA, OP_TIMESTEP,
	};

	for (int op = 0; op < OP__COUNT; op++) {
		int excused = 0;

		for (size_t i = 0; i < sizeof only_backward / sizeof *only_backward; i++)
			excused |= only_backward[i] == (enum op)op;
		if (grad_has_rule((enum op)op) == excused) {
			printf("# op '%s': rule %d, backward only %d\n", op_info[op].name, grad_has_rule((enum op)op), excused);
			test_bad = 1;
		}
	}
}

/* plan_check must see a plan that is wrong. */
static void plan_check_sees(void)
{
	struct graph g = { 0 };
	struct plan p;
	struct err e;
	size_t none[16] = { 0 };
	id x = g_input(&g, "x", DT_F32, 1, 1, 4, 64), a = g_act(&g, x, ACT_SILU),
		b = g_act(&g, x, ACT_GELU);

	graph_keep(&g, g_geglu(&g, g_add(&g, a, b)));
	plan_make(&p, &g, none);
	CHECK_OK(plan_check(&p, &g, &e), e);
	p.at[b] = p.at[a];
	CHECK(plan_check(&p, &g, &e) < 0);
	plan_release(&p);
	graph_release(&g);
}

int main(void)
{
	TEST(t_add); TEST(t_mul); TEST(t_scale); TEST(t_act); TEST(t_sum_to); TEST(t_cast);
	TEST(t_linear);
	TEST(t_conv2d);
	TEST(t_upsample); TEST(t_concat); TEST(t_slice); TEST(t_group_norm); TEST(t_layer_norm);
	TEST(t_geglu);
	TEST(t_attention); TEST(t_embed); TEST(t_dropout); TEST(t_mse); TEST(t_residual);
	TEST(rules_complete); TEST(plan_check_sees);
	return test_end();
}
