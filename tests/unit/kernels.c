/*
 * Every kernel of every instruction set against plain loops in f64 (tests/kernels_ref.h) on the
 * cases of tests/kernels_case.h. Each tensor and the scratch lie between poisoned bytes; results
 * start as NaN. One, two and three threads must give the same bits, and so must results in an
 * input's place where op_info allows that, and calls without the aux results.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu.h"
#include "tests/test.h"
#include "tests/kernels_ref.h"
#include "tests/kernels_case.h"

#define GUARD 256
#define POISON 0xa5

struct mem {                    /* GUARD poisoned bytes, `bytes` of data, GUARD poisoned bytes */
	unsigned char *base, *at;
	size_t bytes;
};

static struct mem mem_new(size_t bytes)
{
	struct mem m = { NULL, NULL, bytes };
	void *base;

	if (posix_memalign(&base, 64, bytes + 2 * GUARD))
		abort();
	m.base = base;
	m.at = m.base + GUARD;
	memset(m.base, POISON, GUARD);
	memset(m.at, 0xff, bytes);      /* NaN */
	memset(m.at + bytes, POISON, GUARD);
	return m;
}

static int mem_whole(const struct mem *m)
{
	for (size_t i = 0; i < GUARD; i++)
		if (m->base[i] != POISON || m->at[m->bytes + i] != POISON)
			return 0;
	return 1;
}

/* How a case is run. */
struct way {
	struct backend *b;
	const struct kcase *k;
	int check;              /* against the reference */
	int no_aux;             /* leave out aux results that no node reads */
	int in_place;           /* 1 + the input whose place results take; 0: none */
};

struct bench {                  /* a graph and its tensors */
	struct graph g;
	struct mem m[32];
	int owned[32];
};

/* A small generator: the tests' numbers must not hang on the code under test. */
static double uniform(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (double)(*s >> 11) * 0x1p-53;
}

static const float hyper_values[8] = { 1e-3f, .9f, .999f, 1e-8f, .01f, .271f, .003f, 0 };

static void kernels_data(const struct node *n, float *to, uint64_t seed)
{
	const char *name = n->name;
	int32_t *ids = (int32_t *)(void *)to;

	for (int64_t i = 0; i < node_count(n); i++) {
		double u = uniform(&seed);
		if (!strncmp(name, "ids ", 4))
			ids[i] = (int32_t)(u * atoi(name + 4));
		else if (!strcmp(name, "key"))
			ids[i] = (int32_t)(u * 4e9 - 2e9);
		else if (!strncmp(name, "hyper", 5))
			to[i] = i == 7 && name[5] ? .5f : hyper_values[i];
		else if (!strcmp(name, "positive"))
			to[i] = (float)u;
		else if (!strcmp(name, "time"))
			to[i] = (float)(int)(u * 1000);
		else
			to[i] = (float)(!strcmp(name, "offset") ? 100 + u :
					!strcmp(name, "large") ? 80 * u - 40 : 4 * u - 2);
	}
}

static const char *case_text(const struct way *w, char out[300])
{
	int at = snprintf(out, 300, "%s", op_info[w->k->op].name);

	for (int i = 0; i < 12; i++)
		at += snprintf(out + at, 300 - (size_t)at, " %d", (int)w->k->p[i]);
	return out;
}

static void complain(const struct way *w, const struct node *n, const char *what)
{
	char text[300];

	printf("# %s of '%s' [%s], %s\n", what, op_info[n->op].name, case_text(w, text), w->b->device);
	test_bad = 1;
}

/* ---- one node against its reference ---- */

static double *as_double(const struct node *n, const void *at)
{
	double *v = xcalloc((size_t)node_count(n), sizeof *v);

	for (int64_t i = 0; i < node_count(n); i++)
		v[i] = n->type == DT_I32 ? (double)((const int32_t *)at)[i] :
		       (double)((const float *)at)[i];
	return v;
}

static void compare(const struct way *w, const struct node *n, const char *which,
		    const struct ten *want, const void *got)
{
	double top = 0, worst = 0;
	int64_t at = 0;

	for (int64_t i = 0; i < ten_count(want); i++)
		top = fmax(top, fabs(want->v[i]));
	for (int64_t i = 0; i < ten_count(want); i++) {
		double off = fabs(((const float *)got)[i] - want->v[i]);
		if (!(off <= worst)) {
			worst = off;
			at = i;
		}
		if (isnan(off))
			break;
	}
	if (!(worst <= w->k->tol * fmax(top, 1e-30))) {
		char text[400];
		snprintf(text, sizeof text,
			 "%s: element %lld is %.9g, not %.9g (off by %.2g of the largest, %.2g allowed)",
			 which, (long long)at, ((const float *)got)[at], want->v[at],
				worst / fmax(top, 1e-30), w->k->tol);
		complain(w, n, text);
	}
}

static const char *const out_names[MAX_OUT] = { "result", "aux 1", "aux 2" };

static void ref_open(struct ref *r, const struct bench *b, const struct call *c)
{
	*r = (struct ref){ .n = c->n };
	for (int i = 0; i < MAX_IN; i++)
		if (c->in[i].at) {
			memcpy(r->in[i].dim, c->in[i].dim, sizeof r->in[i].dim);
			r->in[i].v = as_double(&b->g.node[c->n->in[i]], c->in[i].at);
		}
	for (int i = 0; i < MAX_OUT; i++)
		if (c->out[i].at) {
			memcpy(r->out[i].dim, c->out[i].dim, sizeof r->out[i].dim);
			r->out[i].v = xcalloc((size_t)ten_count(&r->out[i]), sizeof(double));
		}
}

static void ref_close(struct ref *r, const struct way *w, const struct call *c)
{
	ref_run(r);
	for (int i = 0; i < MAX_OUT; i++) {
		if (c->out[i].at)
			compare(w, c->n, out_names[i], &r->out[i], c->out[i].at);
		free(r->out[i].v);
	}
	for (int i = 0; i < MAX_IN; i++) {
		/* of other ops inputs stay as they are: the reference does not touch them either */
		if (c->in[i].at && c->in[i].type == DT_F32)
			compare(w, c->n, "input", &r->in[i], c->in[i].at);
		free(r->in[i].v);
	}
}

/* ---- one graph ---- */

static struct view view_of(const struct bench *b, id x)
{
	const struct node *n = &b->g.node[x];

	return (struct view){ b->m[x].at, n->dim, n->type };
}

static int is_read(const struct graph *g, id x)
{
	for (id i = 0; i < g->n; i++)
		for (int k = 0; k < MAX_IN; k++)
			if (g->node[i].op != OP_AUX && g->node[i].in[k] == x)
				return 1;
	return 0;
}

static struct call call_of(const struct bench *b, const struct way *w, id x)
{
	struct call c = { .n = &b->g.node[x] };

	for (int i = 0; i < MAX_IN; i++)
		if (c.n->in[i] != NONE)
			c.in[i] = view_of(b, c.n->in[i]);
	if (op_info[c.n->op].outs)
		c.out[0] = view_of(b, x);
	for (int i = 1; i < MAX_OUT; i++) {
		id a = graph_aux(&b->g, x, i);
		if (a != NONE && !(w->no_aux && !is_read(&b->g, a)))
			c.out[i] = view_of(b, a);
	}
	return c;
}

static void run_node(struct bench *b, const struct way *w, id x)
{
	struct call c = call_of(b, w, x);
	struct mem scratch = mem_new(w->b->scratch(w->b, &b->g, x));
	struct ref r;
	struct err e;

	c.scratch = scratch.at;
	if (w->check)
		ref_open(&r, b, &c);
	CHECK_OK(w->b->run(w->b, &c, &e), e);
	CHECK_OK(w->b->wait(w->b, &e), e);
	if (w->check)
		ref_close(&r, w, &c);
	for (id i = 0; i < b->g.n; i++)
		if (b->m[i].at && !mem_whole(&b->m[i]))
			complain(w, c.n, "bytes around a tensor were written by a call");
	if (!mem_whole(&scratch))
		complain(w, c.n, "bytes around the scratch were written by a call");
	free(scratch.base);
}

static void bench_run(struct bench *b, const struct way *w)
{
	*b = (struct bench){ 0 };
	w->k->build(&b->g, w->k->p);
	if (b->g.n > 32)
		abort();
	for (id i = 0; i < b->g.n; i++) {
		const struct node *n = &b->g.node[i];
		int k = w->in_place - 1;

		if (k >= 0 && op_info[n->op].in_place >> k & 1 && n->in[k] != NONE &&
		    same_dim(n->dim, b->g.node[n->in[k]].dim)) {
			b->m[i] = b->m[n->in[k]];
			continue;
		}
		b->m[i] = mem_new(op_info[n->op].outs ? (size_t)node_bytes(n) : 0);
		b->owned[i] = 1;
		if (op_info[n->op].source)
			kernels_data(n, (float *)(void *)b->m[i].at, (uint64_t)i + 1);
	}
	for (id i = 0; i < b->g.n; i++)
		if (!op_info[b->g.node[i].op].source && b->g.node[i].op != OP_AUX)
			run_node(b, w, i);
}

static void bench_release(struct bench *b)
{
	for (id i = 0; i < b->g.n; i++)
		if (b->owned[i])
			free(b->m[i].base);
	graph_release(&b->g);
}

/* Both benches hold the same bits, but for what was left out or overwritten. */
static void same_bits(const struct bench *a, const struct bench *b, const struct way *w,
		      const char *what)
{
	for (id i = 0; i < a->g.n; i++) {
		const struct node *n = &a->g.node[i];

		if (w->no_aux && n->op == OP_AUX && !is_read(&a->g, i))
			continue;
		if (w->in_place && op_info[n->op].source)
			continue;
		if (a->m[i].bytes != b->m[i].bytes || memcmp(a->m[i].at, b->m[i].at, a->m[i].bytes))
			complain(w, n, what);
	}
}

static void run_again(const struct bench *first, struct way w, const char *what)
{
	struct bench b;

	bench_run(&b, &w);
	same_bits(first, &b, &w, what);
	bench_release(&b);
}

static void run_case(struct backend *const by_threads[3], const struct kcase *k)
{
	struct way w = { .b = by_threads[0], .k = k, .check = 1 };
	struct bench first;

	bench_run(&first, &w);
	w.check = 0;
	run_again(&first, (struct way){ .b = by_threads[1], .k = k }, "two threads change the result");
	run_again(&first, (struct way){ .b = by_threads[2], .k = k }, "three threads change the result");
	w.no_aux = 1;
	run_again(&first, w, "leaving out aux results changes the result");
	w.no_aux = 0;
	for (w.in_place = 1; w.in_place <= 2; w.in_place++)
		if (op_info[k->op].in_place >> (w.in_place - 1) & 1)
			run_again(&first, w, "working in place changes the result");
	bench_release(&first);
}

static void run_isa(const char *isa)
{
	struct backend *by_threads[3] = { 0 };
	struct err e = { "" };

	for (int i = 0; i < 3; i++)
		if (cpu_open(&by_threads[i], i + 1, isa, &e) < 0)
			SKIP(e.text);
	for (int i = 0; i < N_CASES; i++)
		run_case(by_threads, &cases[i]);
	for (int i = 0; i < 3; i++)
		by_threads[i]->close(by_threads[i]);
}

static void avx512(void) { run_isa("avx512"); }
static void avx2(void) { run_isa("avx2"); }
static void plain(void) { run_isa("plain"); }

/* Every op has a kernel in each table and at least one case. */
static void complete(void)
{
	const struct cpu_table *const tables[] = { &cpu_table_avx512, &cpu_table_avx2,
						   &cpu_table_plain };

	for (int op = 0; op < OP__COUNT; op++) {
		int found = 0;

		if (op_info[op].source || op == OP_AUX)
			continue;
		for (int i = 0; i < 3; i++)
			if (!tables[i]->kernel[op]) {
				printf("# '%s' has no kernel for %s\n", op_info[op].name, tables[i]->isa);
				test_bad = 1;
			}
		for (int i = 0; i < N_CASES; i++)
			found += cases[i].op == (enum op)op;
		if (!found) {
			printf("# '%s' has no case in tests/kernels_table.h\n", op_info[op].name);
			test_bad = 1;
		}
	}
}

int main(void)
{
	TEST(complete);
	TEST(avx512);
	TEST(avx2);
	TEST(plain);
	return test_end();
}
