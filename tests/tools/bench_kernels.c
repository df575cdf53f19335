/*
 * How fast the matrix and convolution kernels are, against the peak of the arithmetic units
 * measured in the same rounds:
 *
 *	bench_kernels [--threads N] [--isa NAME] [--rounds N] [--best] [PART OF A NAME]
 *
 * Medians of the rounds; --best takes the best round instead, for a machine that is shared.
 * Convolutions count the multiplications of the direct way, so Winograd's can exceed 100 %.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "kernels/cpu/cpu.h"

#define MAX_ROUNDS 101

struct shape {
	enum op op;
	int64_t n, h, w, c, k;          /* linear: n h w rows */
	int filter, stride, in_unet;    /* in_unet: of SD 1.5 at 512x512 */
};

static const struct shape shapes[] = {
	{ OP_LINEAR, 1, 64, 64, 320, 320, 1, 1, 1 },
	{ OP_LINEAR, 1, 64, 64, 320, 2560, 1, 1, 1 },
	{ OP_LINEAR, 1, 32, 32, 640, 640, 1, 1, 1 },
	{ OP_LINEAR, 1, 32, 32, 640, 5120, 1, 1, 1 },
	{ OP_LINEAR, 1, 16, 16, 1280, 1280, 1, 1, 1 },
	{ OP_LINEAR, 1, 16, 16, 1280, 10240, 1, 1, 1 },
	{ OP_LINEAR, 1, 1, 77, 768, 320, 1, 1, 1 },
	{ OP_LINEAR, 1, 1, 1, 1280, 1280, 1, 1, 1 },
	{ OP_CONV2D, 1, 64, 64, 320, 320, 3, 1, 1 },
	{ OP_CONV2D, 1, 64, 64, 960, 320, 3, 1, 1 },
	{ OP_CONV2D, 1, 32, 32, 640, 640, 3, 1, 1 },
	{ OP_CONV2D, 1, 32, 32, 1920, 640, 3, 1, 1 },
	{ OP_CONV2D, 1, 16, 16, 1280, 1280, 3, 1, 1 },
	{ OP_CONV2D, 1, 16, 16, 2560, 1280, 3, 1, 1 },
	{ OP_CONV2D, 1, 8, 8, 1280, 1280, 3, 1, 1 },
	{ OP_CONV2D, 1, 64, 64, 320, 320, 3, 2, 1 },
	{ OP_CONV2D, 1, 64, 64, 4, 320, 3, 1, 1 },
	{ OP_CONV2D, 1, 64, 64, 320, 4, 3, 1, 1 },
	{ OP_CONV2D, 1, 512, 512, 128, 128, 3, 1, 0 },
	{ OP_LINEAR, 16, 16, 16, 32, 32, 1, 1, 0 },
	{ OP_LINEAR, 16, 16, 16, 64, 256, 1, 1, 0 },
	{ OP_LINEAR, 16, 8, 8, 96, 96, 1, 1, 0 },
	{ OP_CONV2D, 16, 16, 16, 32, 32, 3, 1, 0 },
	{ OP_CONV2D, 16, 16, 16, 64, 32, 3, 1, 0 },
	{ OP_CONV2D, 16, 8, 8, 64, 64, 3, 1, 0 },
	{ OP_CONV2D, 16, 4, 4, 96, 96, 3, 1, 0 },
	{ OP_CONV2D, 16, 32, 32, 32, 32, 3, 1, 0 },
	{ OP_CONV2D, 16, 64, 64, 16, 16, 3, 1, 0 },
};

static const char *const direction[] = { "", "_dx", "_dw" };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The value of `rank` (0 smallest, 0.5 median) */
static double ranked(double *at, int n, double rank)
{
	qsort(at, (size_t)n, sizeof *at, by_value);
	return at[(int)(rank * (n - 1) + 0.5)];
}

static const struct cpu_table *table_of(const struct backend *b)
{
	const char *isa = strrchr(b->device, ' ') + 1;

	return !strcmp(isa, "avx512") ? &cpu_table_avx512 :
		!strcmp(isa, "avx2")  ? &cpu_table_avx2 :
					&cpu_table_plain;
}

static float *filled(struct backend *b, int64_t n)
{
	struct err e;
	void *p;

	if (b->alloc(b, (size_t)n * 4, &p, &e))
		die(1, "%s", e.text);
	for (int64_t i = 0; i < n; i++)
		((float *)p)[i] = (float)(i * 7919 % 2003) / 1000 - 1;
	return p;
}

struct result { double flop, seconds, peak; };

static struct result measure(struct backend *b, const struct shape *s, int way, int rounds,
			     double rank)
{
	const int conv = s->op == OP_CONV2D, pad = s->filter / 2;
	const int64_t x[4] = { s->n, s->h, s->w, s->c },
		      y[4] = { s->n, s->h / s->stride, s->w / s->stride, s->k };
	const int64_t w[4] = { conv ? s->k : 1, conv ? s->filter : 1, conv ? s->filter : s->k,
			       s->c };
	const int64_t *dims[3][3] = { { x, w, y }, { y, w, x }, { x, y, w } };
	struct node nodes[3] = { [2] = { .op = (enum op)(s->op + way) } };
	struct graph g = { .node = nodes, .n = 3 };
	struct call c = { .n = &nodes[2] };
	double times[MAX_ROUNDS], peaks[MAX_ROUNDS];
	struct err e;

	for (int i = 0; i < 3; i++) {
		struct view *v = i < 2 ? &c.in[i] : &c.out[0];

		memcpy(nodes[i].dim, dims[way][i], sizeof x);
		*v = (struct view){ filled(b, node_count(&nodes[i])), nodes[i].dim, DT_F32 };
	}
	memset(nodes[2].in, 0xff, sizeof nodes[2].in);
	nodes[2].in[0] = 0;
	nodes[2].in[1] = 1;
	nodes[2].at.conv.stride = s->stride;
	nodes[2].at.conv.top = nodes[2].at.conv.left = nodes[2].at.conv.bottom =
		nodes[2].at.conv.right = pad;
	c.scratch = filled(b, (int64_t)(b->scratch(b, &g, 2) / 4));
	for (int r = -1; r < rounds; r++) {
		double start, peak = table_of(b)->peak(0.02);
		int n = 0;

		start = clock_now();
		do {
			if (b->run(b, &c, &e))
				die(1, "%s", e.text);
			n++;
		} while (clock_now() - start < 0.02);
		if (r < 0)
			continue;
		times[r] = (clock_now() - start) / n;
		peaks[r] = peak;
	}
	for (int i = 0; i < 3; i++)
		b->release(b, i < 2 ? c.in[i].at : c.out[0].at, 0);
	b->release(b, c.scratch, 0);
	return (struct result){
		2.0 * (double)(y[0] * y[1] * y[2] * y[3] * s->c * s->filter * s->filter),
		ranked(times, rounds, rank),
		ranked(peaks, rounds, 1 - rank),
	};
}

int main(int argc, char **argv)
{
	const char *isa = NULL, *part = "";
	int threads = 0, rounds = 7;
	double rank = 0.5, flop = 0, seconds = 0, peak = 0;
	struct backend *b;
	struct err e;

	program_name = "bench_kernels";
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--threads") && i + 1 < argc)
			threads = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--isa") && i + 1 < argc)
			isa = argv[++i];
		else if (!strcmp(argv[i], "--best"))
			rank = 0;
		else
			part = argv[i];
	}
	if (rounds < 1 || rounds > MAX_ROUNDS)
		die(2, "%d rounds wanted, 1 to %d expected", rounds, MAX_ROUNDS);
	if (cpu_open(&b, threads, isa, &e))
		die(1, "%s", e.text);
	printf("%s\n", b->device);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int way = 0; way < 3; way++) {
			const struct shape *s = &shapes[i];
			struct result r;
			char name[96];

			snprintf(name, sizeof name, "%s%s %dx%d/%d %lldx%lldx%lld %lld->%lld",
				 s->op == OP_LINEAR ? "linear" : "conv2d", direction[way],
				 s->filter, s->filter, s->stride, (long long)s->n, (long long)s->h,
				 (long long)s->w, (long long)s->c, (long long)s->k);
			if (!strstr(name, part))
				continue;
			r = measure(b, s, way, rounds, rank);
			printf("%-44s %9.3f ms %8.1f GF/s  %5.1f %% of peak %.0f\n", name,
			       r.seconds * 1e3, r.flop / r.seconds * 1e-9,
			       100 * r.flop / r.seconds / r.peak, r.peak * 1e-9);
			fflush(stdout);
			if (!s->in_unet)
				continue;
			flop += r.flop;
			seconds += r.seconds;
			peak += r.flop / r.peak;
		}
	if (seconds > 0)
		printf("shapes of the UNet together: %.1f GF/s, %.1f %% of peak\n",
		       flop / seconds * 1e-9, 100 * peak / seconds);
	b->close(b);
	return 0;
}
