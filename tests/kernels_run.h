/*
 * Runs the cases of tests/kernels_case.h on a backend and holds every node against plain loops in f64
 * (tests/kernels_ref.h). Each tensor and the scratch lie between poisoned bytes; results start as NaN.
 * Three backends that may only differ in how they share work out must give the same bits, and so must
 * results in an input's place where op_info allows that, and calls without the aux results.
 */
#ifndef KERNELS_RUN_H
#define KERNELS_RUN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/backend.h"
#include "tests/test.h"
#include "tests/kernels_ref.h"
#include "tests/kernels_case.h"

#define GUARD 256
#define POISON 0xa5

/* How all cases of a program are run; 0 where nothing is said. */
static struct {
	int far;                /* the backend's memory is a device's: tensors are copied there and back */
	uint64_t seed;          /* other numbers */
	enum dtype round;       /* f32 sources hold numbers of this type */
	double off[DT__COUNT];  /* the largest distance from the reference by type of result, over its norm */
} kernels;

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
	enum dtype type;        /* of activations, gradients and weights; DT_NONE: f32 */
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

static const float hyper_values[HYPER] = { 1e-3f, .9f, .999f, 1e-8f, .01f, .271f, .003f, 0, .25f };

/* What a float source's name says of number i, whose draw is u. */
static float kernels_number(char kind, int clip, int64_t i, double u)
{
	switch (kind) {
	case 'h': return i == 7 && clip ? .5f : hyper_values[i];
	case 'p': case 'd': return (float)u;
	case 'i': return INFINITY;
	case 'n': return NAN;
	case 't': return (float)(int)(u * 1000);
	case 'o': return (float)(100 + u);
	case 'l': return (float)(80 * u - 40);
	default: return (float)(4 * u - 2);
	}
}

static void kernels_data(const struct node *n, float *to, uint64_t seed)
{
	static const char *const words[] = { "positive", "decay", "infinite", "nan", "time", "offset", "large" };
	const char *name = n->name;
	int32_t *ids = (int32_t *)(void *)to;
	int64_t count = node_count(n);
	int rows = !strncmp(name, "ids ", 4) ? atoi(name + 4) : 0, key = !strcmp(name, "key");
	char kind = strncmp(name, "hyper", 5) ? 0 : 'h';

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(name, words[i]))
			kind = *name;
	for (int64_t i = 0; i < count; i++) {
		double u = uniform(&seed);

		if (rows || key)
			ids[i] = (int32_t)(rows ? u * rows : u * 4e9 - 2e9);
		else
			to[i] = kernels_number(kind, kind == 'h' && name[5], i, u);
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

static double value_at(const void *at, enum dtype type, int64_t i)
{
	switch (type) {
	case DT_I32: return (double)((const int32_t *)at)[i];
	case DT_BF16: return (double)bf16_to_f32(((const uint16_t *)at)[i]);
	case DT_F16: return (double)f16_to_f32(((const uint16_t *)at)[i]);
	default: return (double)((const float *)at)[i];
	}
}

static double *as_double(const struct node *n, const void *at)
{
	double *v = xcalloc((size_t)node_count(n), sizeof *v);

	for (int64_t i = 0; i < node_count(n); i++)
		v[i] = value_at(at, n->type, i);
	return v;
}

/*
 * A result of 16 bits is rounded once; in attention probabilities and their gradients are, too, and the
 * gradients of keys and values after each run of queries.
 */
static double tolerance(const struct way *w, enum dtype type)
{
	double round = type == DT_BF16 ? 0x1p-8 : type == DT_F16 ? 0x1p-11 : 0;
	int often = w->k->op == OP_ATTENTION || w->k->op == OP_ATTENTION_DX;

	return w->k->tol + (often ? 4 : 1) * round;
}

static void compare(const struct way *w, const struct node *n, const char *which,
		    const struct ten *want, const struct view *got)
{
	double top = 0, worst = 0, tol = tolerance(w, got->type), norm = 0, far = 0;
	int64_t at = 0;

	for (int64_t i = 0; i < ten_count(want); i++) {
		top = fmax(top, fabs(want->v[i]));
		norm += want->v[i] * want->v[i];
	}
	for (int64_t i = 0; i < ten_count(want); i++) {
		double is = value_at(got->at, got->type, i), off = fabs(is - want->v[i]);

		if (isnan(want->v[i]) ? isnan(is) : is == want->v[i])
			continue;
		far += off * off;
		if (!(off <= worst)) {
			worst = off;
			at = i;
		}
		if (isnan(off))
			break;
	}
	if (norm > 0)
		kernels.off[got->type] = fmax(kernels.off[got->type], sqrt(far / norm));
	/* below 2^-14 halves are 2^-24 apart */
	if (!(worst <= tol * fmax(top, 1e-30) + (got->type == DT_F16 ? 0x1p-25 : 0))) {
		char text[400];
		snprintf(text, sizeof text,
			 "%s: element %lld is %.9g, not %.9g (off by %.2g of the largest, %.2g allowed)",
			 which, (long long)at, value_at(got->at, got->type, at), want->v[at],
				worst / fmax(top, 1e-30), tol);
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
			compare(w, c->n, out_names[i], &r->out[i], &c->out[i]);
		free(r->out[i].v);
	}
	for (int i = 0; i < MAX_IN; i++) {
		/* of other ops inputs stay as they are: the reference does not touch them either */
		if (c->in[i].at && c->in[i].type != DT_I32)
			compare(w, c->n, "input", &r->in[i], &c->in[i]);
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

/* ---- tensors on a device ---- */

struct far {
	char *at;
	size_t bytes, from[33]; /* where each of the bench's tensors begins, and the scratch */
};

static size_t far_size(const struct mem *m)
{
	return (m->bytes + 2 * GUARD + GUARD - 1) / GUARD * GUARD;
}

static const struct mem *far_mem(const struct bench *b, const struct mem *scratch, id i)
{
	return i == b->g.n ? scratch : b->owned[i] ? &b->m[i] : NULL;
}

/* All of them there, with the bytes around them; or all of them back. */
static void far_copy(struct far *f, const struct bench *b, const struct way *w, const struct mem *scratch, int back)
{
	struct err e;

	for (id i = 0; i <= b->g.n; i++) {
		const struct mem *m = far_mem(b, scratch, i);

		if (m && back)
			CHECK_OK(w->b->get(w->b, m->base, f->at + f->from[i], m->bytes + 2 * GUARD, &e), e);
		else if (m)
			CHECK_OK(w->b->put(w->b, f->at + f->from[i], m->base, m->bytes + 2 * GUARD, &e), e);
	}
}

static void *far_at(const struct far *f, const struct bench *b, const struct mem *scratch, const void *at)
{
	for (id i = 0; at && i <= b->g.n; i++) {
		const struct mem *m = far_mem(b, scratch, i);

		if (m && m->at == at)
			return f->at + f->from[i] + GUARD;
	}
	return NULL;
}

static void run_far(const struct bench *b, const struct way *w, const struct call *near, const struct mem *scratch)
{
	struct far f = { NULL, 0, { 0 } };
	struct call c = *near;
	struct err e;
	void *at;

	for (id i = 0; i <= b->g.n; i++) {
		f.from[i] = f.bytes;
		f.bytes += far_mem(b, scratch, i) ? far_size(far_mem(b, scratch, i)) : 0;
	}
	CHECK_OK(w->b->alloc(w->b, f.bytes, &at, &e), e);
	f.at = at;
	far_copy(&f, b, w, scratch, 0);
	for (int i = 0; i < MAX_IN; i++)
		c.in[i].at = far_at(&f, b, scratch, near->in[i].at);
	for (int i = 0; i < MAX_OUT; i++)
		c.out[i].at = far_at(&f, b, scratch, near->out[i].at);
	c.scratch = far_at(&f, b, scratch, scratch->at);
	CHECK_OK(w->b->run(w->b, &c, &e), e);
	CHECK_OK(w->b->wait(w->b, &e), e);
	far_copy(&f, b, w, scratch, 1);
	w->b->release(w->b, at, f.bytes);
}

static void run_call(const struct bench *b, const struct way *w, const struct call *c, const struct mem *scratch)
{
	struct err e;

	if (kernels.far && strcmp(w->b->name, "cpu")) {
		run_far(b, w, c, scratch);
		return;
	}
	CHECK_OK(w->b->run(w->b, c, &e), e);
	CHECK_OK(w->b->wait(w->b, &e), e);
}

static void run_node(struct bench *b, const struct way *w, id x)
{
	struct call c = call_of(b, w, x);
	struct mem scratch = mem_new(w->b->scratch(w->b, &b->g, x));
	struct ref r;

	c.scratch = scratch.at;
	if (w->check)
		ref_open(&r, b, &c);
	run_call(b, w, &c, &scratch);
	if (w->check)
		ref_close(&r, w, &c);
	for (id i = 0; i < b->g.n; i++)
		if (b->m[i].at && !mem_whole(&b->m[i]))
			complain(w, c.n, "bytes around a tensor were written by a call");
	if (!mem_whole(&scratch))
		complain(w, c.n, "bytes around the scratch were written by a call");
	free(scratch.base);
}

/* Statistics, what the optimizer moves and what steers it stay f32 (table.c of the CUDA backend). */
static int stays_f32(const struct graph *g, const struct node *n, const struct kcase *k)
{
	int moved = k->op == OP_ADAMW || k->op == OP_EMA || k->op == OP_ACCUM;
	enum op from = n->op == OP_AUX ? g->node[n->in[0]].op : n->op;

	if (n->type != DT_F32 || n->op == OP_STATE || n->op == OP_MSE || n->op == OP_SUMSQ ||
	    (moved && n->op == OP_WEIGHT))
		return 1;
	if (n->op == OP_AUX && (from == OP_GROUP_NORM || from == OP_LAYER_NORM || from == OP_ATTENTION))
		return 1;
	return n->name && (!strncmp(n->name, "hyper", 5) || !strcmp(n->name, "positive") ||
			   !strcmp(n->name, "decay") || !strcmp(n->name, "infinite") ||
			   !strcmp(n->name, "nan") || !strcmp(n->name, "time"));
}

static void bench_build(struct bench *b, const struct way *w)
{
	*b = (struct bench){ 0 };
	w->k->build(&b->g, w->k->p);
	if (b->g.n > 32)
		abort();
	for (id i = 0; w->type && i < b->g.n; i++)
		if (!stays_f32(&b->g, &b->g.node[i], w->k))
			b->g.node[i].type = w->type;
}

/* Numbers are made in f32 and then become what the node wants. */
static void bench_data(struct bench *b, const struct way *w, id i)
{
	const struct node *n = &b->g.node[i];
	float *row = xcalloc((size_t)node_count(n) + 1, sizeof *row);

	kernels_data(n, row, (uint64_t)i + 1 + kernels.seed * 1000003);
	if (kernels.round && !stays_f32(&b->g, n, w->k)) {
		row_from_f32(b->m[i].at, kernels.round, row, node_count(n));
		row_to_f32(row, b->m[i].at, kernels.round, node_count(n));
	}
	if (n->type == DT_I32)
		memcpy(b->m[i].at, row, (size_t)node_bytes(n));
	else
		row_from_f32(b->m[i].at, n->type, row, node_count(n));
	free(row);
}

static void bench_run(struct bench *b, const struct way *w)
{
	bench_build(b, w);
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
			bench_data(b, w, i);
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

/* Against the reference only. */
static inline void run_case_once(struct backend *b, const struct kcase *k, enum dtype type)
{
	struct bench only;

	bench_run(&only, &(struct way){ .b = b, .k = k, .check = 1, .type = type });
	bench_release(&only);
}

/* differs[i]: what it means if backend i gives other bits than the first. */
static void run_case(struct backend *const by[3], const char *const differs[3], const struct kcase *k,
		     enum dtype type)
{
	struct way w = { .b = by[0], .k = k, .check = 1, .type = type };
	struct bench first;

	bench_run(&first, &w);
	w.check = 0;
	for (int i = 1; i < 3; i++)
		run_again(&first, (struct way){ .b = by[i], .k = k, .type = type }, differs[i]);
	w.no_aux = 1;
	run_again(&first, w, "leaving out aux results changes the result");
	w.no_aux = 0;
	for (w.in_place = 1; w.in_place <= 2; w.in_place++)
		if (op_info[k->op].in_place >> (w.in_place - 1) & 1)
			run_again(&first, w, "working in place changes the result");
	bench_release(&first);
}

#endif
