/*
 * Whole training steps in bf16 and fp16 by the CUDA backend's own kernels on the host, beside the
 * CPU's: operands of different types as lowering leaves them (kernels/ir/lower.h), casts, the loss' scale
 * and the optimizer. Both widen, compute in f32 and round once, but for attention's probabilities.
 */
#include "kernels/cuda/host/host.h"
#include "kernels/run/loss_scale.h"
#include "tests/small_step.h"

static void train(struct backend *b, enum dtype type, int lora, float loss[2], float norm[2])
{
	struct err e = { "" };
	struct small x;

	small_open(&x, b, type, lora, 0, &e);
	small_step(&x, 1, 0x1p100f, &loss[0], &norm[0], &e);    /* skipped in fp16 */
	small_step(&x, 2, LOSS_SCALE_BEGIN, &loss[1], &norm[1], &e);
	small_close(&x);
}

/* whole: with a library for convolutions and attention, whose place loops take. */
static void beside(enum dtype type, int lora, int whole, double tol)
{
	struct backend *cpu = NULL, *gpu = NULL;
	float want[2], got[2], want_norm[2], got_norm[2];
	struct err e = { "" };

	CHECK_OK(cpu_open(&cpu, 1, NULL, &e), e);
	CHECK_OK(host_cuda_open(&gpu, HOST_FORWARD, &e), e);
	if (whole)
		host_cuda_dnn(gpu, 0);
	train(cpu, type, lora, want, want_norm);
	train(gpu, type, lora, got, got_norm);
	CHECK(isfinite(want_norm[0]) == (type != DT_F16));
	CHECK(isfinite(got_norm[0]) == (type != DT_F16));
	for (int i = 0; i < 2; i++) {
		CHECK_NEAR(got[i], want[i], tol * (double)want[i]);
		if (isfinite(want_norm[i]))
			CHECK_NEAR(got_norm[i], want_norm[i], tol * (double)want_norm[i]);
	}
}

static void bf16(void) { beside(DT_BF16, 0, 0, 4e-3); }
static void f16_lora(void) { beside(DT_F16, 1, 0, 5e-4); }
static void bf16_whole(void) { beside(DT_BF16, 0, 1, 4e-3); }
static void f16_lora_whole(void) { beside(DT_F16, 1, 1, 5e-4); }

/* Three steps; with a tape what is next is known, and sums are made by the kernel before them. */
static void steps_of(enum dtype type, int tape, float loss[3], float norm[3])
{
	struct backend *b = NULL;
	struct err e = { "" };
	struct small x;

	setenv("BOOTH_TAPE", tape ? "1" : "0", 1);
	CHECK_OK(host_cuda_open(&b, HOST_MIXED, &e), e);
	small_open(&x, b, type, 0, 0, &e);
	for (int i = 0; i < 3; i++)
		small_step(&x, i + 1, LOSS_SCALE_BEGIN, &loss[i], &norm[i], &e);
	small_close(&x);
	unsetenv("BOOTH_TAPE");
}

static void tapes_make_the_same(void)
{
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
	float loss[2][3], norm[2][3];

	for (int t = 0; t < 3; t++) {
		for (int tape = 0; tape < 2; tape++)
			steps_of(types[t], tape, loss[tape], norm[tape]);
		CHECK(!memcmp(loss[0], loss[1], sizeof *loss) && !memcmp(norm[0], norm[1], sizeof *norm));
		CHECK(loss[0][2] != loss[0][1]);
	}
}

/* ---- what waits to be launched as one ---- */

#define TENSORS 70              /* more than two launches take */
#define MOST ((int64_t)1300000) /* more than a tensor's parts take at once */

static int64_t size_of(int i)
{
	return i == 40 ? MOST : i % 5 ? 1 + i * 37 % 900 : i * 1000;
}

/*
 * A chain of sums as a training makes it, and all that may break it: a number of the host's before it, a sum's own
 * square, twice the same square, an empty tensor, sums with what was not made last. kept: what is compared.
 */
static int squares_build(struct graph *g, id *kept)
{
	id from = g_input(g, "from", DT_F32, 1, 1, 1, 1), sum = from, first = NONE, q;
	int n = 0;

	for (int i = 0; i < TENSORS; i++) {
		char name[32];

		snprintf(name, sizeof name, "x %d", i);
		q = g_sumsq(g, g_input(g, name, DT_F32, 1, 1, 1, size_of(i)));
		sum = i % 2 ? g_add(g, sum, q) : g_add(g, q, sum);
		if (i == 3)
			first = sum;
		if (i % 6 == 0)
			kept[n++] = i % 12 ? q : sum;
	}
	q = g_sumsq(g, sum);
	kept[n++] = g_add(g, q, q);
	q = g_sumsq(g, first);
	kept[n++] = g_add(g, first, q);
	q = g_sumsq(g, kept[n - 1]);
	kept[n++] = g_add(g, q, g_sumsq(g, q));
	q = g_sumsq(g, g_input(g, "x 4", DT_F32, 1, 1, 1, size_of(4)));
	sum = g_sumsq(g, g_input(g, "x 6", DT_F32, 1, 1, 1, size_of(6)));
	kept[n++] = g_add(g, g_sumsq(g, g_input(g, "x 7", DT_F32, 1, 1, 1, size_of(7))), q);
	q = g_sumsq(g, g_input(g, "x 8", DT_F32, 1, 1, 1, size_of(8)));
	kept[n++] = g_add(g, g_sumsq(g, g_input(g, "x 9", DT_F32, 1, 1, 1, size_of(9))), from);
	kept[n++] = g_add(g, q, sum);
	for (int i = 0; i < n; i++)
		graph_keep(g, kept[i]);
	return n;
}

typedef int builder(struct graph *g, id *kept);

/* The first numbers of what is kept, of the second run: the tape's. How many. */
static int run_graph(struct backend *b, builder *build, float *out)
{
	struct session s = { 0 };
	struct pool p = { 0 };
	struct arena a = { 0 };
	struct graph g = { 0 };
	struct err e = { "" };
	float *x = xmalloc((size_t)MOST * sizeof *x);
	id kept[2 * TENSORS];
	int n = build(&g, kept);

	CHECK_OK(session_plan(&s, &g, b, &e), e);
	CHECK_OK(arena_place(&a, b, s.plan.arena, &e), e);
	CHECK_OK(session_bind(&s, &p, &a, &e), e);
	for (id i = 0; i < s.g->n; i++) {
		struct rng r = rng_stream(1, "squares", (uint32_t)i, 0);

		if (s.g->node[i].op != OP_INPUT)
			continue;
		rng_normal(&r, x, node_count(&s.g->node[i]));
		x[0] *= 1e-2f;
		CHECK_OK(session_put(&s, s.g->node[i].name, x, &e), e);
	}
	CHECK_OK(session_run(&s, &e), e);
	CHECK_OK(session_run(&s, &e), e);
	for (int i = 0; i < n; i++) {
		CHECK_OK(session_get(&s, kept[i], x, &e), e);
		out[i] = x[0];
		for (int64_t k = 1; k < node_count(&s.g->node[kept[i]]); k++)
			out[i] += x[k] * (float)(k % 7);
	}
	session_release(&s);
	arena_release(&a);
	b->close(b);
	free(x);
	return n;
}

/* The same in all orders of blocks and threads, and as the CPU's. */
static void beside_graph(builder *build)
{
	float want[2 * TENSORS], got[3][2 * TENSORS];
	struct backend *b = NULL;
	struct err e = { "" };
	int n;

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	n = run_graph(b, build, want);
	for (int order = 0; order < 3; order++) {
		CHECK_OK(host_cuda_open(&b, (enum host_order)order, &e), e);
		CHECK_INT(run_graph(b, build, got[order]), n);
		CHECK(!memcmp(got[order], got[0], (size_t)n * sizeof **got));
	}
	for (int i = 0; i < n; i++)
		CHECK_NEAR(got[0][i], want[i], 1e-6 * fabs((double)want[i]));
}

/*
 * More casts in a row than a launch takes, and such as read what the one before made, or lie where one was that
 * has been read.
 */
static int casts_build(struct graph *g, id *kept)
{
	id narrow[TENSORS];
	int n = 0;

	for (int i = 0; i < TENSORS; i++) {
		char name[32];

		snprintf(name, sizeof name, "x %d", i);
		narrow[i] = g_input(g, name, DT_F32, 1, 1, 1, 1 + i * 37 % 900);
	}
	for (int i = 0; i < TENSORS; i++)
		narrow[i] = g_cast(g, narrow[i], DT_BF16);
	for (int i = 0; i < TENSORS; i++)
		kept[n++] = i % 9 ? g_cast(g, narrow[i], DT_F32) :
			g_cast(g, g_cast(g, g_cast(g, narrow[i], DT_F32), DT_F16), DT_F32);
	for (int i = 0; i < n; i++)
		graph_keep(g, kept[i]);
	return n;
}

/* Gradients of norms, each added to another one in its place: of groups that a block holds, and larger ones. */
static int norms_build(struct graph *g, id *kept)
{
	static const int64_t sides[][5] = {
		{ 8, 8, 32, 4, 1 }, { 40, 40, 32, 2, 1 }, { 9, 7, 24, 4, 1 }, { 9, 7, 40, 0, 0 }
	};
	int n = 0;

	for (int i = 0; i < 4; i++) {
		const int64_t *s = sides[i];
		char name[3][32];
		id x, dy, other, gamma, beta, y, dx;

		for (int k = 0; k < 3; k++)
			snprintf(name[k], sizeof name[k], "%s %d", (const char *[]){ "x", "dy", "other" }[k], i);
		x = g_cast(g, g_input(g, name[0], DT_F32, 2, s[0], s[1], s[2]), DT_BF16);
		dy = g_cast(g, g_input(g, name[1], DT_F32, 2, s[0], s[1], s[2]), DT_BF16);
		other = g_cast(g, g_input(g, name[2], DT_F32, 2, s[0], s[1], s[2]), DT_BF16);
		gamma = g_slice(g, g_input(g, i % 2 ? "gamma" : "beta", DT_F32, 1, 1, 1, 64), 0, s[2]);
		beta = g_slice(g, g_input(g, "shift", DT_F32, 1, 1, 1, 64), 3, s[2]);
		y = s[3] ? g_group_norm(g, x, gamma, beta, (int)s[3], 1e-5f, s[4] ? ACT_SILU : ACT_NONE) :
			g_layer_norm(g, x, gamma, beta, 1e-5f);
		dx = s[3] ? g_group_norm_dx(g, dy, y, NULL, NULL) : g_layer_norm_dx(g, dy, y, NULL, NULL);
		kept[n++] = g_cast(g, g_add(g, dx, other), DT_F32);
		graph_keep(g, kept[n - 1]);
	}
	return n;
}

static void sums_behind_norms(void)
{
	float sum[2][2 * TENSORS];
	struct backend *b = NULL;
	struct err e = { "" };

	for (int tape = 0; tape < 2; tape++) {
		setenv("BOOTH_TAPE", tape ? "1" : "0", 1);
		CHECK_OK(host_cuda_open(&b, HOST_MIXED, &e), e);
		CHECK_INT(run_graph(b, norms_build, sum[tape]), 4);
	}
	unsetenv("BOOTH_TAPE");
	CHECK(!memcmp(sum[0], sum[1], 4 * sizeof **sum));
}

static void many_casts(void) { beside_graph(casts_build); }
static void sums_of_squares(void) { beside_graph(squares_build); }

int main(void)
{
	TEST(sums_of_squares);
	TEST(many_casts);
	TEST(sums_behind_norms);
	TEST(tapes_make_the_same);
	TEST(bf16);
	TEST(f16_lora);
	TEST(bf16_whole);
	TEST(f16_lora_whole);
	return test_end();
}
