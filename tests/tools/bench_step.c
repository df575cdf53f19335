/*
 * Training steps as a run makes them (forward, backward, norm, AdamW), with a UNet of full size and random
 * weights, on any device:
 *
 *	bench_step [--kind sd15|sd2|tiny] [--size 64] [--batch 1] [--lora RANK] [--steps 10] [--warm 3]
 *	           [--device D] [--precision f32|tf32|bf16|fp16] [--threads 0] [--timing] [--ceilings]
 *
 * Prints lines "NAME VALUE UNIT": seconds of every step after the first ones, the memory predicted and
 * measured. On a GPU the latter is what the device has less at the end than when its context and libraries
 * were there, and what the backend had taken for itself by then; "kernels" is what went beside allocations:
 * code that is loaded when it is first used, and recorded steps. On the CPU: the process's peak.
 *
 * --timing waits for each op, which takes longer in all, and prints "op NAME seconds GFLOP TFLOP/s GB/s" of
 * one step. --ceilings measures what the device can do at most: a large product in the precision, and a
 * large tensor read and written.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "kernels/run/device.h"
#include "kernels/run/loss_scale.h"
#include "kernels/run/precision.h"
#include "kernels/run/trainer.h"
#include "kernels/run/trainer_graph.h"
#include "tests/tools/flop.h"
#include "tests/tools/peak.h"

#define TOKENS 77

static const struct { const char *name; struct unet_config c; } kinds[] = {
	{ "sd15", { .levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
		    .cross_width = 768, .attention = { 1, 1, 1, 0 }, .heads = { 8, 8, 8, 8 }, .layers = 2,
		    .depth = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1 } },
	{ "sd2", { .levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
		   .cross_width = 1024, .attention = { 1, 1, 1, 0 }, .heads = { 5, 10, 20, 20 }, .layers = 2,
		   .depth = 1, .linear_projection = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1 } },
	{ "tiny", { .levels = 2, .in_channels = 4, .out_channels = 4, .width = { 32, 64 },
		    .cross_width = 32, .attention = { 1, 1 }, .heads = { 2, 2 }, .layers = 1,
		    .depth = 1, .groups = 8, .eps = 1e-5f, .flip_sin_to_cos = 1 } },
};

struct bench {
	const struct unet_config *c;
	const char *device, *precision;
	enum dtype type;
	int64_t size, batch, rank, steps, warm, threads;
	int timing, ceilings;
	double unused[3];       /* of the device: before all, before the memory was taken, after that */
	struct backend *b;
	struct trainer t;
	int shape;
	float *x, *target, *text, *time, *weight;
};

/* ---- values ---- */

static void noise(float *to, int64_t n, float base, float spread)
{
	static uint64_t s = 1;

	for (int64_t i = 0; i < n; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		to[i] = base + spread * ((float)(int32_t)(s >> 32) * 0x1p-31f);
	}
}

static float *noise_new(int64_t n, float base, float spread)
{
	float *v = xmalloc((size_t)n * sizeof *v);

	noise(v, n, base, spread);
	return v;
}

/* Uniform with variance 1 / fan-in, so that activations stay finite; norms are 1. */
static int put_weights(struct bench *w, struct err *e)
{
	for (size_t i = 0; i < w->t.pool.n; i++) {
		struct pool_entry *p = &w->t.pool.entry[i];
		int64_t n = p->dim[0] * p->dim[1] * p->dim[2] * p->dim[3];
		int filter = p->dim[0] > 1, matrix = filter || p->dim[2] > 1, ret;
		int64_t fan = filter ? n / p->dim[0] : p->dim[3];
		float *v;

		if (p->kind != OP_WEIGHT)
			continue;
		v = matrix ? noise_new(n, 0, sqrtf(3.f / (float)fan)) :
			noise_new(n, strstr(p->name, "norm") && strstr(p->name, ".weight"), .02f);
		ret = pool_put_raw(&w->t.pool, p, v, e);
		free(v);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static void make_inputs(struct bench *w)
{
	int64_t n = w->batch * w->size * w->size * 4;

	w->x = noise_new(n, 0, 1.7f);
	w->target = noise_new(n, 0, 1.7f);
	w->text = noise_new(w->batch * TOKENS * w->c->cross_width, 0, 1.7f);
	w->time = noise_new(w->batch, 500, 400);
	w->weight = noise_new(w->batch, 1 / (float)w->batch, 0);
}

/* ---- one step ---- */

static int step(struct bench *w, int64_t number, float *loss, struct err *e)
{
	struct microbatch m = { .noisy = w->x, .target = w->target, .timestep = w->time, .weight = w->weight,
				.hidden = w->text };
	struct hyper h = { .lr = { 1e-5f, 1e-5f, 1e-5f }, .beta1 = .9f, .beta2 = .999f, .eps = 1e-8f,
			   .weight_decay = .01f, .max_norm = 1, .step = number,
			   .scale = w->type == DT_F16 ? LOSS_SCALE_BEGIN : 1 };
	float norm;

	return trainer_run(&w->t, w->shape, &m, &h, loss, &norm, e);
}

static void report_ops(const struct bench *w)
{
	const struct session *s = &w->t.shape[w->shape].session;
	double flop[OP__COUNT] = { 0 }, bytes[OP__COUNT] = { 0 }, all = 0;

	for (id i = 0; i < s->g->n; i++) {
		const struct node *n = &s->g->node[i];

		flop[n->op] += flop_of(s->g, n);
		bytes[n->op] += bytes_of(s->g, n);
		all += flop_of(s->g, n);
	}
	for (int op = 0; op < OP__COUNT; op++)
		if (s->seconds[op] > 0)
			printf("op %-14s %9.6f s %9.1f GFLOP %8.2f TFLOP/s %8.1f GB/s\n", op_info[op].name,
			       s->seconds[op], flop[op] * 1e-9, flop[op] / s->seconds[op] * 1e-12,
			       bytes[op] / s->seconds[op] * 1e-9);
	printf("arithmetic %.1f GFLOP\n", all * 1e-9);
}

/* Bytes of the device that nobody holds; of the CPU 0. */
static double unused(const struct bench *w)
{
	struct room room = { 0 };
	struct err e;

	if (w->b->memory && w->b->memory(w->b, &room, &e) < 0)
		die(1, "%s", e.text);
	return (double)room.unused;
}

/* A report waits for the libraries, which threads of their own have begun to open. */
static void await_libraries(const struct bench *w)
{
	struct buf lines = { 0 };

	if (w->b->report)
		w->b->report(w->b, &lines);
	if (lines.len)
		fprintf(stderr, "%s", lines.at);
	buf_release(&lines);
}

static void report_memory(const struct bench *w)
{
	double predicted = (double)(trainer_pool_bytes(&w->t) + w->t.arena_bytes + w->b->overhead);
	double held = w->unused[0] - unused(w), arrays = w->unused[1] - w->unused[2];

	printf("predicted %.2f MB\n", predicted / 1e6);
	if (!w->b->memory)
		printf("memory %.2f MB measured\n", peak_memory(getpid()) / 1e6);
	else
		printf("memory %.2f MB measured\narrays %.2f MB\nkernels %.2f MB\n",
		       (held + (double)w->b->overhead) / 1e6, arrays / 1e6, (held - arrays) / 1e6);
}

static void run(struct bench *w)
{
	struct session *s = &w->t.shape[w->shape].session;
	float loss = 0;
	struct err e;

	for (int64_t i = 0; i < w->warm + w->steps; i++) {
		double start = clock_now();

		if (step(w, i + 1, &loss, &e) < 0)
			die(1, "%s", e.text);
		printf("%s %.6f s, loss %g\n", i == 0 ? "first-step" : i < w->warm ? "warm-step" : "step",
		       clock_now() - start, (double)loss);
		fflush(stdout);
	}
	if (w->timing) {
		s->timing = 1;
		memset(s->seconds, 0, OP__COUNT * sizeof *s->seconds);
		if (step(w, w->warm + w->steps + 1, &loss, &e) < 0)
			die(1, "%s", e.text);
		report_ops(w);
	}
	if (!isfinite(loss))
		die(1, "the loss is not finite");
}

/* ---- ceilings ---- */

/* Median seconds of a graph of one op, of nine. */
static double time_graph(struct bench *w, struct graph *g, struct err *e)
{
	struct session s = { 0 };
	struct pool p = { 0 };
	struct arena a = { 0 };
	double t[9], median = -1;

	if (pool_declare(&p, g, e) < 0 || session_plan(&s, g, w->b, e) < 0 || pool_place(&p, w->b, e) < 0 ||
	    arena_place(&a, w->b, s.plan.arena, e) < 0 || session_bind(&s, &p, &a, e) < 0)
		goto out;
	for (id i = 0; i < s.g->n; i++)
		if (s.g->node[i].op == OP_INPUT) {
			const struct node *n = &s.g->node[i];
			float *v = noise_new(node_count(n), 0, 1);
			void *as = xmalloc((size_t)node_bytes(n));
			int ret;

			row_from_f32(as, n->type, v, node_count(n));
			ret = session_put(&s, n->name, as, e);
			free(v);
			free(as);
			if (ret < 0)
				goto out;
		}
	for (int i = 0; i < 9; i++) {
		double start = clock_now();

		for (int k = 0; k < 5; k++)
			if (session_run(&s, e) < 0)
				goto out;
		t[i] = (clock_now() - start) / 5;
	}
	for (int i = 0; i < 9; i++) {
		int below = 0;

		for (int k = 0; k < 9; k++)
			below += t[k] < t[i] || (t[k] == t[i] && k < i);
		median = below == 4 ? t[i] : median;
	}
out:
	session_release(&s);
	pool_release(&p);
	arena_release(&a);
	return median;
}

static void ceilings(struct bench *w)
{
	int cpu = !strcmp(w->b->name, "cpu"), tiny = w->c->width[0] < 320;
	int64_t side = tiny ? 64 : cpu ? 2048 : 8192, n = (int64_t)(tiny ? 1 : cpu ? 64 : 1024) << 18;
	struct graph g = { 0 };
	struct err e;
	double s;

	graph_keep(&g, g_linear(&g, g_input(&g, "x", w->type, 1, 1, side, side),
				g_input(&g, "w", w->type, 1, 1, side, side), NONE));
	s = time_graph(w, &g, &e);
	if (s < 0)
		die(1, "%s", e.text);
	printf("peak %.3f TFLOP/s, %lld x %lld x %lld in %s\n", 2 * pow((double)side, 3) / s * 1e-12,
	       (long long)side, (long long)side, (long long)side, dtype_name(w->type));
	graph_keep(&g, g_scale(&g, g_input(&g, "x", DT_F32, 1, 1, 1, n), 2));
	s = time_graph(w, &g, &e);
	if (s < 0)
		die(1, "%s", e.text);
	printf("copy %.1f GB/s, %lld MB read and as many written\n", 8 * (double)n / s * 1e-9, (long long)n * 4 >> 20);
}

/* ---- main ---- */

static void numbers(struct bench *w, const char *name, int64_t value)
{
	int64_t *const to[] = { &w->size, &w->batch, &w->rank, &w->steps, &w->warm, &w->threads };
	static const char *const names[] = { "--size", "--batch", "--lora", "--steps", "--warm", "--threads" };

	for (size_t i = 0; i < sizeof to / sizeof *to; i++)
		if (!strcmp(name, names[i]) && value >= (i > 2 ? 0 : 1)) {
			*to[i] = value;
			return;
		}
	die(2, "'%s' is no option, or %lld no value of it", name, (long long)value);
}

static void words(struct bench *w, const char *name, const char *value)
{
	if (!strcmp(name, "--device")) {
		w->device = value;
		return;
	}
	if (!strcmp(name, "--precision")) {
		w->precision = value;
		return;
	}
	if (strcmp(name, "--kind")) {
		numbers(w, name, strtoll(value, NULL, 10));
		return;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(value, kinds[i].name)) {
			w->c = &kinds[i].c;
			return;
		}
	die(2, "--kind '%s', wanted sd15, sd2 or tiny", value);
}

static void options(struct bench *w, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--timing"))
			w->timing = 1;
		else if (!strcmp(argv[i], "--ceilings"))
			w->ceilings = 1;
		else if (i + 1 < argc)
			words(w, argv[i], argv[i + 1]), i++;
		else
			die(2, "'%s' wants a value", argv[i]);
	}
}

static int start(struct bench *w, struct err *e)
{
	static struct lora lora = { .cover = LORA_ATTENTION };
	struct trainer_config tc = { .unet = *w->c, .train[PART_UNET] = 1, .tokens = TOKENS, .chunks = 1,
				     .type = w->type };

	lora.rank = w->rank;
	lora.alpha = (float)w->rank;
	if (w->rank)
		tc.lora[PART_UNET] = &lora;
	trainer_begin(&w->t, &tc, w->b);
	w->shape = trainer_shape(&w->t, (struct trainer_key){ w->batch, w->size, w->size, 0, 1, 0 }, e);
	if (w->shape < 0 || trainer_plan(&w->t, e) < 0)
		return -1;
	printf("weights %.0f MB\nactivations %.0f MB\n", (double)trainer_pool_bytes(&w->t) / 1e6,
	       (double)w->t.arena_bytes / 1e6);
	w->unused[1] = unused(w);
	if (trainer_place(&w->t, e) < 0)
		return -1;
	w->unused[2] = unused(w);
	if (put_weights(w, e) < 0)
		return -1;
	make_inputs(w);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench w = { .c = &kinds[0].c, .device = "cpu", .precision = "f32", .size = 64, .batch = 1, .steps = 10,
			   .warm = 3 };
	struct err e;

	program_name = "bench_step";
	options(&w, argc, argv);
	if (device_open(&w.b, w.device, (int)w.threads, &e) < 0 ||
	    precision_use(w.b, w.precision, &w.type, &e) < 0)
		die(1, "%s", e.text);
	printf("device %s\n", w.b->device);
	if (w.ceilings) {
		ceilings(&w);
		w.b->close(w.b);
		return 0;
	}
	await_libraries(&w);
	w.unused[0] = unused(&w);
	if (start(&w, &e) < 0)
		die(1, "%s", e.text);
	run(&w);
	report_memory(&w);
	trainer_release(&w.t);
	w.b->close(w.b);
	free(w.x);
	free(w.target);
	free(w.text);
	free(w.time);
	free(w.weight);
	return 0;
}
