/*
 * One training step of Stable Diffusion 1.5's UNet at full size (859,520,964 weights, random), f32,
 * as a benchmark: forward and backward with all gradients, no optimizer.
 *
 *	bench_unet [--size 64] [--batch 1] [--threads 2] [--steps 1] [--lora RANK] [--plan | --touch]
 *
 * The first step is not counted (it touches fresh memory). With --lora only a LoRA on the attention
 * learns. With --plan nothing is run; with --touch all the memory is written to once, by all
 * threads, which a start cannot be faster than. Prints lines "NAME VALUE UNIT", and
 * "op NAME seconds GFLOP fraction-of-peak".
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/grad.h"
#include "kernels/model/model.h"
#include "kernels/run/session.h"
#include "tests/tools/flop.h"
#include "tests/tools/peak.h"

#define TOKENS 77
#define FORWARD_GFLOP 803.6     /* of 64x64 latents, counted by hand and by PyTorch's counter */

static const struct unet_config sd15 = {
	.levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
	.cross_width = 768, .attention = { 1, 1, 1, 0 }, .heads = { 8, 8, 8, 8 }, .layers = 2,
	.depth = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1,
};

struct bench {
	int64_t size, batch, steps, rank;
	int threads, plan, touch;
	struct backend *b;
	struct session s;
	struct pool pool;
	struct arena arena;
	id loss;
};

/* ---- the graph ---- */

static void build(struct bench *w, struct graph *g)
{
	struct lora lora = { .cover = LORA_ATTENTION, .rank = w->rank, .alpha = (float)w->rank };
	struct model m;
	id x, p, *grad, *map, n;

	model_begin(&m, g);
	m.train = !w->rank;
	m.lora = w->rank ? &lora : NULL;
	x = g_input(g, "x", DT_F32, w->batch, w->size, w->size, 4);
	p = unet(&m, &sd15, x, g_input(g, "t", DT_F32, 1, 1, 1, w->batch),
		 g_input(g, "text", DT_F32, w->batch, 1, TOKENS, 768));
	w->loss = g_mse(g, p, g_input(g, "target", DT_F32, w->batch, w->size, w->size, 4),
			g_input(g, "weight", DT_F32, 1, 1, 1, w->batch));
	graph_keep(g, w->loss);
	n = g->n;
	grad = grad_emit(g, w->loss, NULL, 0);
	for (id i = 0; i < n; i++)
		if (g->node[i].op == OP_WEIGHT && g->node[i].trainable && grad[i] != NONE)
			graph_keep(g, grad[i]);
	free(grad);
	map = graph_fuse(g);
	w->loss = map[w->loss];
	free(map);
	model_release(&m);
}

/* ---- values ---- */

static void noise(float *to, int64_t n, float base, float spread)
{
	static uint64_t s = 1;

	for (int64_t i = 0; i < n; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		to[i] = base + spread * ((float)(int32_t)(s >> 32) * 0x1p-31f);
	}
}

static void put_weights(struct bench *w)
{
	for (size_t i = 0; i < w->pool.n; i++) {
		struct pool_entry *p = &w->pool.entry[i];
		int64_t n = p->dim[0] * p->dim[1] * p->dim[2] * p->dim[3];
		int filter = p->dim[0] > 1, matrix = filter || p->dim[2] > 1;
		int64_t fan = filter ? n / p->dim[0] : p->dim[3];

		if (matrix)             /* on this backend the pool is plain memory */
			noise((float *)(void *)(w->pool.memory + p->at), n, 0,
			      sqrtf(3.f / (float)fan));
		else
			noise((float *)(void *)(w->pool.memory + p->at), n,
			      strstr(p->name, "norm") && strstr(p->name, ".weight"), .02f);
		p->set = 1;
	}
}

static int put_inputs(struct bench *w, struct err *e)
{
	int64_t n = w->batch * w->size * w->size * 4, text = w->batch * TOKENS * 768;
	float *v = xmalloc((size_t)(n > text ? n : text) * sizeof *v);
	int ret = -1;

	noise(v, n, 0, 1.7f);
	if (session_put(&w->s, "x", v, e) < 0)
		goto out;
	noise(v, n, 0, 1.7f);
	if (session_put(&w->s, "target", v, e) < 0)
		goto out;
	noise(v, text, 0, 1.7f);
	if (session_put(&w->s, "text", v, e) < 0)
		goto out;
	noise(v, w->batch, 500, 400);
	if (session_put(&w->s, "t", v, e) < 0)
		goto out;
	for (int64_t i = 0; i < w->batch; i++)
		v[i] = 1 / (float)w->batch;
	ret = session_put(&w->s, "weight", v, e);
out:
	free(v);
	return ret;
}

/* ---- what is printed ---- */

static double peak_flops(const struct bench *w)
{
	const char *isa = strrchr(w->b->device, ' ') + 1;
	const struct cpu_table *t = !strcmp(isa, "avx512") ? &cpu_table_avx512 :
		!strcmp(isa, "avx2") ? &cpu_table_avx2 : &cpu_table_plain;

	return t->peak(0.3);
}

static void report_ops(const struct bench *w, double peak)
{
	const struct graph *g = w->s.g;
	double flop[OP__COUNT] = { 0 }, all = 0;

	for (id i = 0; i < g->n; i++)
		flop[g->node[i].op] += flop_of(g, &g->node[i]);
	for (int op = 0; op < OP__COUNT; op++) {
		double s = w->s.seconds[op];

		all += flop[op];
		if (s > 0)
			printf("op %-14s %8.3f s %8.1f GFLOP %5.1f %%\n", op_info[op].name, s, flop[op] * 1e-9, 100 * flop[op] / s / peak);
	}
	printf("arithmetic %.1f GFLOP\n", all * 1e-9);
}

static void touch(const struct bench *w)
{
	double start = clock_now();

#pragma omp parallel for schedule(static)
	for (size_t at = 0; at < w->pool.bytes; at += 4096)
		w->pool.memory[at] = 1;
#pragma omp parallel for schedule(static)
	for (size_t at = 0; at < w->arena.bytes; at += 4096)
		w->arena.memory[at] = 1;
	printf("touch %.2f s, %.0f MB\n", clock_now() - start, (double)(w->pool.bytes + w->arena.bytes) / 1e6);
}

static void run(struct bench *w)
{
	double scale = (double)(w->batch * w->size * w->size) / (64 * 64), last = 0, peak = 0;
	struct err e;
	float loss = 0;

	w->s.timing = 1;
	if (put_inputs(w, &e) < 0)
		die(1, "%s", e.text);
	for (int64_t i = 0; i <= w->steps; i++) {
		double start;

		peak = peak_flops(w);
		memset(w->s.seconds, 0, OP__COUNT * sizeof *w->s.seconds);
		start = clock_now();
		if (session_run(&w->s, &e) < 0 || session_get(&w->s, w->loss, &loss, &e) < 0)
			die(1, "%s", e.text);
		last = clock_now() - start;
		printf("%s %.3f s, loss %g\n", i ? "step" : "first-step", last, loss);
		fflush(stdout);
	}
	report_ops(w, peak);
	printf("peak %.1f GFLOP/s\n", peak * 1e-9);
	if (!w->rank)
		printf("fraction %.1f %% of the peak, counting 3 x %.1f GFLOP\n", 300 * FORWARD_GFLOP * scale * 1e9 / last / peak, FORWARD_GFLOP * scale);
	printf("memory %.0f MB measured\n", peak_memory(getpid()) / 1e6);
	if (!isfinite(loss))
		die(1, "the loss is not finite");
}

int main(int argc, char **argv)
{
	struct bench w = { .size = 64, .batch = 1, .steps = 1, .threads = 2 };
	struct graph g = { 0 };
	struct err e;

	program_name = "bench_unet";
	for (int i = 1; i < argc; i++) {
		int64_t v = i + 1 < argc ? strtoll(argv[i + 1], NULL, 10) : 0;

		if (!strcmp(argv[i], "--plan") || !strcmp(argv[i], "--touch")) {
			*(argv[i][2] == 'p' ? &w.plan : &w.touch) = 1;
			continue;
		}
		if (!strcmp(argv[i], "--size"))
			w.size = v;
		else if (!strcmp(argv[i], "--batch"))
			w.batch = v;
		else if (!strcmp(argv[i], "--threads"))
			w.threads = (int)v;
		else if (!strcmp(argv[i], "--steps"))
			w.steps = v;
		else if (!strcmp(argv[i], "--lora"))
			w.rank = v;
		else
			die(2, "'%s' is not an option", argv[i]);
		if (v < 1)
			die(2, "'%s' wants a number from 1 on", argv[i]);
		i++;
	}
	if (cpu_open(&w.b, w.threads, NULL, &e) < 0)
		die(1, "%s", e.text);
	printf("device %s\n", w.b->device);
	build(&w, &g);
	if (pool_declare(&w.pool, &g, &e) < 0 || session_plan(&w.s, &g, w.b, &e) < 0)
		die(1, "%s", e.text);
	printf("weights %.0f MB\nactivations %.0f MB\npredicted %.0f MB\n", (double)pool_bytes(&w.pool) / 1e6,
	       (double)w.s.plan.arena / 1e6, (double)(pool_bytes(&w.pool) + w.s.plan.arena) / 1e6);
	fflush(stdout);
	if (w.plan)
		return 0;
	if (pool_place(&w.pool, w.b, &e) < 0 ||
	    arena_place(&w.arena, w.b, w.s.plan.arena, &e) < 0 ||
	    session_bind(&w.s, &w.pool, &w.arena, &e) < 0)
		die(1, "%s", e.text);
	if (w.touch) {
		touch(&w);
	} else {
		put_weights(&w);
		run(&w);
	}
	session_release(&w.s);
	pool_release(&w.pool);
	arena_release(&w.arena);
	w.b->close(w.b);
	return 0;
}
