/*
 * Runs one op by hand on every instruction set that this CPU has: against double precision, the
 * same bits for every number of threads and in place, bytes beyond results and scratch untouched.
 */
#ifndef TESTS_UNIT_KERNEL_JOB_H
#define TESTS_UNIT_KERNEL_JOB_H

#include <stdlib.h>
#include "kernels/backend.h"
#include "tests/test.h"

#define GUARD 64                        /* floats before and behind each buffer */

static uint32_t seed = 1;

static float next_float(void)
{
	seed = seed * 1664525u + 1013904223u;
	return (float)(int32_t)(seed >> 8) / 8388608.0f - 1.0f;
}

static float *buffer(int64_t n, int filled)
{
	float *p = aligned_alloc(64, (size_t)((n + 2 * GUARD + 15) / 16 * 16) * 4);

	if (!p)
		abort();
	for (int64_t i = 0; i < n + 2 * GUARD; i++)
		p[i] = i < GUARD || i >= n + GUARD ? 12345.0f : filled ? next_float() : NAN;
	return p + GUARD;
}

static void buffer_free(float *p, int64_t n)
{
	if (!p)
		return;
	for (int64_t i = 0; i < GUARD; i++)
		if (p[-1 - i] != 12345.0f || p[n + i] != 12345.0f) {
			CHECK(!"written outside of a buffer");
			break;
		}
	free(p - GUARD);
}

static int64_t count(const int64_t d[MAX_DIM])
{
	return d[0] * d[1] * d[2] * d[3];
}

/* One op with its operands; out[1] is wanted where dim is not 0. */
struct job {
	struct node n, in[MAX_IN];
	int n_in;
	int64_t out1[MAX_DIM];
	float *at[MAX_IN], *out[2];
	int in_place;                   /* this input's place is the result's, -1: none */
};

static void job_begin(struct job *j)
{
	for (int i = 0; i < j->n_in; i++)
		if (j->in[i].dim[0])
			j->at[i] = buffer(count(j->in[i].dim), 1);
}

static void job_end(struct job *j)
{
	for (int i = 0; i < j->n_in; i++)
		if (j->at[i])
			buffer_free(j->at[i], count(j->in[i].dim));
	buffer_free(j->out[0], count(j->n.dim));
	buffer_free(j->out[1], count(j->out1));
	j->out[0] = j->out[1] = NULL;
}

/* Run it; results in j->out, fresh. */
static void job_run(struct job *j, struct backend *b)
{
	struct node nodes[MAX_IN + 1];
	struct graph g = { .node = nodes, .n = j->n_in + 1 };
	struct call c = { .n = &nodes[j->n_in],
			  .out = { { .dim = j->n.dim, .type = DT_F32 },
				   { .dim = j->out1, .type = DT_F32 } } };
	struct err e = { "" };
	int64_t scratch;
	float *s;

	buffer_free(j->out[0], count(j->n.dim));
	buffer_free(j->out[1], count(j->out1));
	j->out[0] = buffer(count(j->n.dim), 0);
	j->out[1] = j->out1[0] ? buffer(count(j->out1), 0) : NULL;
	nodes[j->n_in] = j->n;
	for (int i = 0; i < MAX_IN; i++)
		nodes[j->n_in].in[i] = i < j->n_in && j->at[i] ? i : NONE;
	for (int i = 0; i < j->n_in; i++) {
		nodes[i] = j->in[i];
		c.in[i] = (struct view){ j->at[i], j->in[i].dim, DT_F32 };
		if (j->in_place == i && j->at[i]) {
			memcpy(j->out[0], j->at[i], (size_t)count(j->n.dim) * 4);
			c.in[i].at = j->out[0];
		}
	}
	c.out[0].at = j->out[0];
	c.out[1].at = j->out[1];
	scratch = (int64_t)(b->scratch(b, &g, j->n_in) + 3) / 4;
	s = buffer(scratch, 0);
	c.scratch = s;
	CHECK_OK(b->run(b, &c, &e), e);
	CHECK_OK(b->wait(b, &e), e);
	buffer_free(s, scratch);
}

/* sqrt(sum (x - want)^2 / sum want^2) */
static double distance(const float *x, const double *want, int64_t n)
{
	double d = 0, s = 1e-30;

	for (int64_t i = 0; i < n; i++) {
		d += (x[i] - want[i]) * (x[i] - want[i]);
		s += want[i] * want[i];
	}
	return sqrt(d / s);
}

static const char *const isas[] = { "avx512", "avx2", "plain" };

/* On every instruction set, with 1 to 17 threads; the last time in place of input `place`. */
static void job_check(struct job *j, const double *want, const double *want1, double eps, int place)
{
	static const int threads[] = { 1, 2, 3, 17, 5 };

	for (int s = 0; s < 3; s++) {
		float *first = NULL, *first1 = NULL;
		struct backend *b;
		struct err e = { "" };

		if (cpu_open(&b, 1, isas[s], &e))
			continue;
		b->close(b);
		for (int t = 0; t < 5; t++) {
			double d, d1 = 0;

			j->in_place = t == 4 ? place : -1;
			CHECK_OK(cpu_open(&b, threads[t], isas[s], &e), e);
			job_run(j, b);
			b->close(b);
			if (t == 0) {
				first = malloc((size_t)count(j->n.dim) * 4);
				memcpy(first, j->out[0], (size_t)count(j->n.dim) * 4);
				if (j->out[1]) {
					first1 = malloc((size_t)count(j->out1) * 4);
					memcpy(first1, j->out[1], (size_t)count(j->out1) * 4);
				}
				d = distance(j->out[0], want, count(j->n.dim));
				if (j->out[1])
					d1 = distance(j->out[1], want1, count(j->out1));
				if (getenv("GEMM_VERBOSE"))
					printf("# %s %s %lld: error %.3g, %.3g\n", isas[s],
					       op_info[j->n.op].name, (long long)count(j->n.dim), d,
					       d1);
				if (!(d <= eps && d1 <= 3e-6)) {
					printf("# %s: error %.3g, %.3g\n", isas[s], d, d1);
					test_bad = 1;
				}
				continue;
			}
			if (memcmp(first, j->out[0], (size_t)count(j->n.dim) * 4) ||
			    (first1 && memcmp(first1, j->out[1], (size_t)count(j->out1) * 4))) {
				printf("# %s: %d threads%s differ from 1\n", isas[s], threads[t],
				       t == 4 ? ", in place," : "");
				test_bad = 1;
			}
		}
		free(first);
		free(first1);
	}
}

#endif
