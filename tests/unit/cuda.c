/*
 * The CUDA backend's own kernels, compiled for the host (kernels/cuda/host): on the cases that the CPU's
 * kernels have to pass and some more, threads and blocks in three orders, in f32, bf16 and f16; and
 * beside the CPU backend's results. What no test here can see is the device: its libraries and speed.
 */
#include "kernels/cuda/check.h"
#include "kernels/cuda/device.h"
#include "tests/kernels_run.h"
#include "tests/cuda_edges.h"

/* Ops that have no kernel yet: named here, so that they are not forgotten. OP_AUX never has one. */
static const enum op missing[] = { OP_AUX };

static int is_missing(enum op op)
{
	for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
		if (missing[i] == op)
			return 1;
	return 0;
}

/* Nothing runs before. */
static void wait_for(struct backend *b)
{
	struct err e = { "" };

	CHECK_OK(b->wait(b, &e), e);
}

struct backends { struct backend *by[3]; };

static struct backends backends_open(void)
{
	struct backends s = { { NULL } };
	struct err e;

	for (int i = 0; i < 3; i++)
		CHECK_OK(host_cuda_open(&s.by[i], (enum host_order)i, &e), e);
	return s;
}

static void backends_close(struct backends *s)
{
	for (int i = 0; i < 3; i++)
		s->by[i]->close(s->by[i]);
}

/* Mostly the library's work, whose place loops take here: they need not be run as often. */
static int is_product(enum op op)
{
	return op >= OP_LINEAR && op <= OP_CONV2D_DW;
}

static void run_one(const struct backends *s, const struct kcase *k, enum dtype type)
{
	static const char *const differs[3] = { "", "blocks and threads run backward change the result",
						"blocks and threads out of order change the result" };

	if (is_missing(k->op) || (type == DT_F16 && is_product(k->op)))
		return;
	if (type == DT_F32)
		run_case(s->by, differs, k, type);
	else
		run_case_once(s->by[0], k, type);
}

static void run_all(enum dtype type)
{
	struct backends s = backends_open();

	for (int i = 0; i < N_CASES; i++)
		run_one(&s, &cases[i], type);
	for (int i = 0; i < N_EDGES; i++)
		run_one(&s, &edges[i], type);
	backends_close(&s);
}

static int is_whole(const struct kcase *k)
{
	return (k->op >= OP_CONV2D && k->op <= OP_CONV2D_DW) || k->op == OP_ATTENTION || k->op == OP_ATTENTION_DX;
}

/* The same with a library for whole convolutions and attention, whose place loops take here; not the long ones. */
static void run_whole(const struct kcase *all, int n, enum dtype type, int strict)
{
	struct backend *b = NULL;
	struct err e;

	CHECK_OK(host_cuda_open(&b, HOST_FORWARD, &e), e);
	host_cuda_dnn(b, strict);
	for (int i = 0; i < n; i++)
		if (is_whole(&all[i]) && (all[i].op > OP_CONV2D_DW || all[i].tol < LONG))
			run_case_once(b, &all[i], type);
	b->close(b);
}

static void whole(void)
{
	run_whole(cases, N_CASES, DT_BF16, 0);
	run_whole(edges, N_EDGES, DT_BF16, 0);
	run_whole(cases, N_CASES, DT_F32, 0);
	run_whole(cases, N_CASES, DT_F32, 1);
}

#define FILTER_SIDE 8

/* Gradients of a 3x3 filter and its bias in f32, of tensors of bf16; out: both, one after the other. */
static void run_dw(int whole, float *out)
{
	enum { C = FILTER_SIDE, PIXELS = 2 * 6 * 5 };
	static uint16_t x[PIXELS * C], dy[PIXELS * C];
	const struct conv at = { 1, 1, 1, 1, 1 };
	struct graph g = { 0 };
	struct backend *b = NULL;
	struct rng r = rng_stream(3, "dw", 0, 0);
	struct mem scratch;
	struct err e;
	float draw[PIXELS * C + 1];
	struct call c = { 0 };
	id dw, db;

	rng_normal(&r, draw, PIXELS * C + 1);
	row_from_f32(x, DT_BF16, draw, PIXELS * C);
	row_from_f32(dy, DT_BF16, draw + 1, PIXELS * C);
	dw = g_conv2d_dw(&g, g_input(&g, "x", DT_BF16, 2, 6, 5, C), g_input(&g, "dy", DT_BF16, 2, 6, 5, C),
			 DIM(C, 3, 3, C), at, &db);
	CHECK_OK(host_cuda_open(&b, HOST_FORWARD, &e), e);
	if (whole)
		host_cuda_dnn(b, 0);
	scratch = mem_new(b->scratch(b, &g, dw));
	c.n = &g.node[dw];
	c.in[0] = (struct view){ x, g.node[c.n->in[0]].dim, DT_BF16 };
	c.in[1] = (struct view){ dy, g.node[c.n->in[1]].dim, DT_BF16 };
	c.out[0] = (struct view){ out, c.n->dim, DT_F32 };
	c.out[1] = (struct view){ out + C * 9 * C, g.node[db].dim, DT_F32 };
	c.scratch = scratch.at;
	CHECK_OK(b->run(b, &c, &e), e);
	CHECK_OK(b->wait(b, &e), e);
	CHECK(mem_whole(&scratch));
	free(scratch.base);
	graph_release(&g);
	b->close(b);
}

/* The library makes them of 16 bits; that rounds them, and nothing else. */
static void gradients_of_filters(void)
{
	enum { N = FILTER_SIDE * 9 * FILTER_SIDE + FILTER_SIDE };
	float own[N], whole[N];
	int bad = 0;

	run_dw(0, own);
	run_dw(1, whole);
	for (int i = 0; i < N; i++)
		bad += !(fabsf(own[i] - whole[i]) <= 0x1p-8f * fabsf(own[i]) + 1e-4f);
	CHECK_INT(bad, 0);
	for (int i = N - FILTER_SIDE; i < N; i++)
		CHECK(own[i] == whole[i]);
}

static void f32(void) { run_all(DT_F32); }
static void bf16(void) { run_all(DT_BF16); }
static void f16(void) { run_all(DT_F16); }

/* ---- beside the CPU backend ---- */

/* Copies, and what the generator draws: the same bits. */
static int is_exact(const struct kcase *k)
{
	return k->tol == EXACT || k->op == OP_DROPOUT;
}

static void near(const struct bench *a, const struct bench *b, const struct way *w, id i)
{
	const float *x = (const float *)(void *)a->m[i].at, *y = (const float *)(void *)b->m[i].at;
	double top = 0, worst = 0;

	for (int64_t k = 0; k < node_count(&a->g.node[i]); k++) {
		top = fmax(top, fabs((double)x[k]));
		worst = fmax(worst, fabs((double)x[k] - (double)y[k]));
	}
	if (!(worst <= 2 * w->k->tol * top))
		complain(w, &a->g.node[i], "other numbers than the CPU's as the result");
}

static void beside_case(struct backend *cpu, struct backend *gpu, const struct kcase *k)
{
	struct way w = { .b = cpu, .k = k };
	struct bench a, b;

	bench_run(&a, &w);
	w.b = gpu;
	bench_run(&b, &w);
	if (is_exact(k))
		same_bits(&a, &b, &w, "other bits than the CPU's as the result");
	for (id i = 0; !is_exact(k) && i < a.g.n; i++)
		if (a.g.node[i].type == DT_F32 && op_info[a.g.node[i].op].outs)
			near(&a, &b, &w, i);
	bench_release(&a);
	bench_release(&b);
}

static void beside_cpu(void)
{
	struct backends s = backends_open();
	struct backend *cpu = NULL;
	struct err e;

	CHECK_OK(cpu_open(&cpu, 1, NULL, &e), e);
	for (int i = 0; i < N_CASES; i++)
		if (!is_missing(cases[i].op) && !is_product(cases[i].op))
			beside_case(cpu, s.by[0], &cases[i]);
	backends_close(&s);
	cpu->close(cpu);
}

/* ---- many tensors under one optimizer ---- */

#define TENSORS 75

static void build_many(struct graph *g)
{
	id hyper = g_input(g, "hyper clip", DT_F32, 1, 1, 1, HYPER), norm = g_input(g, "positive", DT_F32, 1, 1, 1, 1);

	for (int i = 0; i < TENSORS; i++) {
		int64_t dim[MAX_DIM] = { 1, 1, 1 + i % 7, i % 3 ? 1 + i * 37 % 900 : 2048 };
		char name[32];
		id w, grad, m, v;

		snprintf(name, sizeof name, "w %d", i);
		w = g_weight(g, name, dim, 1);
		name[0] = 'g';
		grad = g_input(g, name, DT_F32, 1, 1, dim[2], dim[3]);
		name[0] = 'm';
		m = g_state(g, name, dim);
		name[0] = 'v';
		v = g_state(g, name, dim);
		g_adamw(g, w, grad, m, v, hyper, norm);
	}
}

/* Every tensor after two steps, one after the other in `out`. */
static size_t run_many(struct backend *b, float *out, size_t most)
{
	struct graph g = { 0 };
	void **at;
	float *values;
	size_t n = 0;
	struct err e;

	build_many(&g);
	at = xcalloc((size_t)g.n, sizeof *at);
	for (id i = 0; i < g.n; i++) {
		CHECK_OK(b->alloc(b, (size_t)node_bytes(&g.node[i]), &at[i], &e), e);
		if (!op_info[g.node[i].op].source)
			continue;
		values = xmalloc((size_t)node_bytes(&g.node[i]));
		kernels_data(&g.node[i], values, (uint64_t)i + 1);
		for (int64_t k = 0; g.node[i].name[0] == 'v' && k < node_count(&g.node[i]); k++)
			values[k] = fabsf(values[k]);
		CHECK_OK(b->put(b, at[i], values, (size_t)node_bytes(&g.node[i]), &e), e);
		free(values);
	}
	for (int step = 0; step < 2; step++)
		for (id i = 0; i < g.n; i++) {
			struct call c = { .n = &g.node[i] };

			for (int k = 0; k < MAX_IN && c.n->in[k] != NONE; k++)
				c.in[k] = (struct view){ at[c.n->in[k]], g.node[c.n->in[k]].dim, DT_F32 };
			if (c.n->op == OP_ADAMW)
				CHECK_OK(b->run(b, &c, &e), e);
		}
	for (id i = 0; i < g.n; i++) {
		size_t count = (size_t)node_count(&g.node[i]);

		if (op_info[g.node[i].op].source && n + count <= most) {
			CHECK_OK(b->get(b, out + n, at[i], count * sizeof *out, &e), e);
			n += count;
		}
		b->release(b, at[i], (size_t)node_bytes(&g.node[i]));
	}
	free(at);
	graph_release(&g);
	return n;
}

static void many_tensors(void)
{
	size_t most = (size_t)4 << 20, n;
	float *want = xcalloc(most, sizeof *want), *got = xcalloc(most, sizeof *got);
	struct backends s = backends_open();
	struct backend *cpu = NULL;
	int64_t bad = 0;
	struct err e;

	CHECK_OK(cpu_open(&cpu, 1, NULL, &e), e);
	n = run_many(cpu, want, most);
	CHECK(n > 100000 && run_many(s.by[0], got, most) == n);
	for (size_t i = 0; i < n; i++)
		bad += !(fabsf(want[i] - got[i]) <= 2e-6f * fmaxf(1, fabsf(want[i])));
	CHECK_INT(bad, 0);
	cpu->close(cpu);
	backends_close(&s);
	free(want);
	free(got);
}

/* ---- what is no op ---- */

#define LONG_ROW 70003

static struct view view_as(void *at, enum dtype t, const int64_t dim[MAX_DIM])
{
	return (struct view){ at, dim, t };
}

static void noise(void)
{
	struct backends s = backends_open();
	struct rng r = rng_stream(0x123456789abcdefu, "noise", 7, 3);
	float *want = xcalloc(LONG_ROW, sizeof *want), *got = xcalloc(LONG_ROW, sizeof *got);

	rng_normal(&r, want, LONG_ROW);
	cuda_normal(host_cuda_lane(s.by[1]), view_as(got, DT_F32, DIM(1, 1, 1, LONG_ROW)), r, LONG_ROW);
	wait_for(s.by[1]);
	CHECK(!memcmp(want, got, LONG_ROW * sizeof *want));
	backends_close(&s);
	free(want);
	free(got);
}

static void casts(void)
{
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
	struct backends s = backends_open();
	float *x = xcalloc(LONG_ROW, sizeof *x);
	uint16_t *y = xcalloc(LONG_ROW * 2, sizeof *y), *want = xcalloc(LONG_ROW * 2, sizeof *want);
	struct rng r = rng_stream(1, "cast", 0, 0);

	rng_normal(&r, x, LONG_ROW);
	x[5] = 1e30f;
	x[6] = 1e-30f;
	for (int i = 0; i < 3; i++) {
		const int64_t *dim = DIM(1, 1, 1, LONG_ROW);

		row_from_f32(want, types[i], x, LONG_ROW);
		cuda_cast(host_cuda_lane(s.by[0]), view_as(y, types[i], dim), view_as(x, DT_F32, dim));
		wait_for(s.by[0]);
		CHECK(!memcmp(want, y, LONG_ROW * dtype_size(types[i])));
	}
	backends_close(&s);
	free(x);
	free(y);
	free(want);
}

/* 3 pictures of 37 x 70 turned. */
static void layouts(void)
{
	struct backends s = backends_open();
	enum { N = 3, R = 37, C = 70 };
	static float x[N * R * C], y[N * R * C];
	int bad = 0;

	for (int i = 0; i < N * R * C; i++)
		x[i] = (float)i;
	for (int o = 0; o < 3; o++) {
		cuda_turn(host_cuda_lane(s.by[o]), view_as(y, DT_F32, DIM(N, 1, C, R)),
			  view_as(x, DT_F32, DIM(N, 1, R, C)), N, R, C);
		wait_for(s.by[o]);
		for (int i = 0; i < N * R * C; i++)
			bad += y[i / (R * C) * R * C + i % C * R + i / C % R] != x[i];
	}
	CHECK_INT(bad, 0);
	backends_close(&s);
}

/* The gradient of a bias: what the matrix products' aux result will be. */
static void bias(void)
{
	struct backends s = backends_open();
	enum { ROWS = 4099, K = 77 };
	float *dy = xcalloc(ROWS * K, sizeof *dy), db[2][K];
	void *scratch = xmalloc(cuda_bias_scratch(ROWS, K));
	struct rng r = rng_stream(2, "bias", 0, 0);
	double worst = 0;

	rng_normal(&r, dy, ROWS * K);
	for (int o = 0; o < 2; o++) {
		cuda_bias(host_cuda_lane(s.by[o]), view_as(db[o], DT_F32, DIM(1, 1, 1, K)),
			  view_as(dy, DT_F32, DIM(1, 1, ROWS, K)), ROWS, K, scratch);
		wait_for(s.by[o]);
	}
	CHECK(!memcmp(db[0], db[1], sizeof db[0]));
	for (int k = 0; k < K; k++) {
		double sum = 0;

		for (int i = 0; i < ROWS; i++)
			sum += (double)dy[i * K + k];
		worst = fmax(worst, fabs(sum - (double)db[0][k]));
	}
	CHECK(worst < 1e-4);
	backends_close(&s);
	free(dy);
	free(scratch);
}

/* ---- the layer itself ---- */

struct probe_args { float *y; int barrier; };

/* y[t] = what the neighbour wrote: wrong without the barrier, whatever the order. */
KERNEL(neighbours, probe_args)
{
	SHARED(float, s, THREADS);
	int t = (int)threadIdx.x;

	s[t] = (float)t;
	if (p.barrier)
		__syncthreads();
	p.y[t] = s[t ^ 1];
}

static int neighbours_right(struct backend *b, int barrier)
{
	float y[THREADS];
	struct probe_args a = { y, barrier };
	struct grid g = { 1, 1, THREADS, 1 };
	int right = 1;

	LAUNCH(host_cuda_lane(b), neighbours, g, a);
	wait_for(b);
	for (int t = 0; t < THREADS; t++)
		right &= y[t] == (float)(t ^ 1);
	return right;
}

/* Sums and maxima of warps, by one wait, and as the device makes them. */
struct folds_args { const float *x; float *sum, *max; int shuffled; };

KERNEL(folds, folds_args)
{
	int t = (int)threadIdx.x;
	float a = p.x[t], b = a;

	if (p.shuffled)
		for (int step = WARP / 2; step; step /= 2) {
			a += __shfl_xor_sync(0xffffffffu, a, step);
			b = fmaxf(b, __shfl_xor_sync(0xffffffffu, b, step));
		}
	p.sum[t] = p.shuffled ? a : warp_sum(a);
	p.max[t] = p.shuffled ? b : warp_max(b);
}

static void warps(void)
{
	struct backends s = backends_open();
	float x[THREADS], y[2][2][THREADS];
	struct rng r = rng_stream(3, "warps", 0, 0);
	struct grid g = { 1, 1, THREADS, 1 };

	rng_normal(&r, x, THREADS);
	for (int o = 0; o < 3; o++) {
		for (int i = 0; i < 2; i++) {
			struct folds_args a = { x, y[i][0], y[i][1], i };

			LAUNCH(host_cuda_lane(s.by[o]), folds, g, a);
			wait_for(s.by[o]);
		}
		CHECK(!memcmp(y[0], y[1], sizeof y[0]));
	}
	backends_close(&s);
}

static void layer(void)
{
	struct backends s = backends_open();

	for (int o = 0; o < 3; o++) {
		CHECK(neighbours_right(s.by[o], 1));
		CHECK(!neighbours_right(s.by[o], 0));
	}
	backends_close(&s);
}

/* Every op has a kernel or stands in the list above, and then fails with a sentence that names it. */
static void complete(void)
{
	struct backends s = backends_open();

	for (int op = 0; op < OP__COUNT; op++) {
		struct node n = { .op = (enum op)op };
		struct call c = { .n = &n };
		struct err e = { "" };

		if (op_info[op].source && op != OP_FILL)
			continue;
		if (op == OP_AUX || is_missing((enum op)op) == !cuda_table[op].run) {
			if (!cuda_table[op].run) {
				CHECK_INT(s.by[0]->run(s.by[0], &c, &e), -1);
				CHECK(strstr(e.text, op_info[op].name) != NULL);
			}
			continue;
		}
		printf("# '%s' %s\n", op_info[op].name, cuda_table[op].run ?
		       "has a kernel and is still listed as missing" : "has no CUDA kernel");
		test_bad = 1;
	}
	backends_close(&s);
}

/* A type that no kernel takes is refused before anything runs. */
static void types(void)
{
	struct backends s = backends_open();
	struct node n = { .op = OP_ADD, .dim = { 1, 1, 1, 1 } };
	double x = 0;
	struct call c = { .n = &n };
	struct err e = { "" };

	c.in[0] = c.in[1] = c.out[0] = (struct view){ &x, n.dim, DT_F64 };
	CHECK_INT(s.by[0]->run(s.by[0], &c, &e), -1);
	CHECK_STR(e.text, "the CUDA kernel of 'add' does not take F64 at input 0");
	backends_close(&s);
}

/* Why a GPU can't be used, in words. */
static void refusals(void)
{
	struct cuda_report r = { .runtime = 13000 };
	struct err e = { "" };
	char ops[1024];

	CHECK_INT(cuda_check_device(&r, 0, &e), -1);
	CHECK_STR(e.text, "there is no NVIDIA driver on this machine");
	r.driver = 12080;
	CHECK_INT(cuda_check_device(&r, 0, &e), -1);
	CHECK(strstr(e.text, "is for CUDA 12.8, this program needs CUDA 13.0") != NULL);
	r.driver = 13000;
	CHECK_INT(cuda_check_device(&r, 0, &e), -1);
	CHECK_STR(e.text, "the NVIDIA driver sees no GPU");
	r.n = 2;
	r.device[0] = (struct cuda_device){ "Old", 6, 1, 1 };
	r.device[1] = (struct cuda_device){ "New", 7, 5, 1 };
	CHECK_INT(cuda_check_device(&r, 2, &e), -1);
	CHECK(strstr(e.text, "there is no GPU cuda:2: this machine has 2") != NULL);
	CHECK_INT(cuda_check_device(&r, 0, &e), -1);
	CHECK_STR(e.text, "cuda:0, Old, has compute capability 6.1 and 7.5 is the oldest that will do");
	CHECK_OK(cuda_check_device(&r, 1, &e), e);
	CHECK_INT(cuda_check_shape(CUDA_SHAPE + 1, &e), -1);
	CHECK_OK(cuda_check_shape(CUDA_SHAPE, &e), e);
	cuda_missing(ops, sizeof ops);
	CHECK_STR(ops, "");
}

int main(void)
{
	TEST(layer);
	TEST(warps);
	TEST(complete);
	TEST(types);
	TEST(refusals);
	TEST(f32);
	TEST(bf16);
	TEST(f16);
	TEST(whole);
	TEST(gradients_of_filters);
	TEST(beside_cpu);
	TEST(many_tensors);
	TEST(noise);
	TEST(casts);
	TEST(layouts);
	TEST(bias);
	return test_end();
}
