/*
 * AdamW and gradient clipping. The other optimizers are not built.
 */
#include "tests/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct adamw {
	double lr, beta1, beta2, eps, decay;
	int step;               /* from 1 */
};

/* What the engine's op does, in f32: the decay first; a rate of 0 still counts as a step. */
static void adamw_reference(const struct adamw *o, float *w, const float *g, float *m, float *v,
			    int64_t n)
{
	float b1 = (float)o->beta1, b2 = (float)o->beta2, keep = (float)(1 - o->lr * o->decay);
	float rate = (float)(o->lr / (1 - pow(o->beta1, o->step)));
	float root = (float)sqrt(1 - pow(o->beta2, o->step)), eps = (float)o->eps;

	for (int64_t i = 0; i < n; i++) {
		m[i] += (1 - b1) * (g[i] - m[i]);
		v[i] = b2 * v[i] + (float)(1 - o->beta2) * g[i] * g[i];
		w[i] = w[i] * keep - rate * (m[i] / (sqrtf(v[i]) / root + eps));
	}
}

/* The weights of a case: inputs without a number in their names. */
struct weight {
	const char *name;
	struct tensor t;
	float *w, *m, *v;
};

struct run {
	struct weight at[16];
	int n;
};

static int is_weight(const char *name)
{
	return !strncmp(name, "in.", 3) && strcmp(name, "in.lr") && !strchr(name + 3, '.');
}

static int run_open(struct gcase *c, struct run *r, struct err *e)
{
	for (size_t i = 0; i < c->file.n && r->n < 16; i++) {
		struct weight *w = &r->at[r->n];
		size_t count;
		if (!is_weight(c->file.at[i].name))
			continue;
		w->name = c->file.at[i].name + 3;
		if (golden_tensor(c, c->file.at[i].name, &w->t, e) < 0)
			return -1;
		r->n++;
		count = (size_t)tensor_count(&w->t) + 1;
		w->w = xcalloc(count, sizeof *w->w);
		w->m = xcalloc(count, sizeof *w->m);
		w->v = xcalloc(count, sizeof *w->v);
		memcpy(w->w, w->t.at, (count - 1) * sizeof *w->w);
	}
	return r->n ? 0 : fail(e, "the case has no weights");
}

static void run_release(struct run *r)
{
	for (int i = 0; i < r->n; i++) {
		tensor_release(&r->at[i].t);
		free(r->at[i].w);
		free(r->at[i].m);
		free(r->at[i].v);
	}
}

static int compare(struct gcase *c, const char *role, const struct weight *w, const float *x,
		   int must, struct err *e)
{
	char name[96];

	snprintf(name, sizeof name, "%s.%s", role, w->name);
	if (!must && !golden_has(c, name))
		return 0;
	return golden_compare(c, name, x, tensor_count(&w->t), -1, 0, e);
}

static int one_step(struct gcase *c, struct run *r, const struct adamw *o, struct err *e)
{
	char name[96], role[32];
	struct tensor g;

	snprintf(role, sizeof role, "out.w_%d", o->step);
	for (int i = 0; i < r->n; i++) {
		struct weight *w = &r->at[i];
		snprintf(name, sizeof name, "in.grad_%d.%s", o->step, w->name);
		if (golden_tensor(c, name, &g, e) < 0)
			return -1;
		if (tensor_count(&g) != tensor_count(&w->t)) {
			tensor_release(&g);
			return fail(e, "'%s' is not as large as its weight", name);
		}
		adamw_reference(o, w->w, g.at, w->m, w->v, tensor_count(&g));
		tensor_release(&g);
		if (compare(c, role, w, w->w, 0, e) < 0)
			return -1;
	}
	return 0;
}

static int check_adamw(struct gcase *c, struct err *e)
{
	const struct json *args = json_get(c->doc, "args"), *betas = json_get(args, "betas");
	struct adamw o = { golden_number(c, "lr", 0), json_float(json_at(betas, 0), 0),
			   json_float(json_at(betas, 1), 0),
			   golden_number(c, "eps", 0), golden_number(c, "weight_decay", 0), 0 };
	int steps = (int)golden_number(c, "steps", 0), ret = -1;
	struct tensor rates = { 0 };
	struct run r = { .n = 0 };

	if (run_open(c, &r, e) < 0 || (golden_has(c, "in.lr") && golden_tensor(c, "in.lr", &rates, e) < 0))
		goto out;
	for (o.step = 1; o.step <= steps; o.step++) {
		if (rates.at)
			o.lr = ((const float *)rates.at)[o.step - 1];
		if (one_step(c, &r, &o, e) < 0)
			goto out;
	}
	for (int i = 0; i < r.n; i++)
		if (compare(c, "after", &r.at[i], r.at[i].w, 1, e) < 0 ||
		    compare(c, "out.exp_avg", &r.at[i], r.at[i].m, 0, e) < 0 ||
		    compare(c, "out.exp_avg_sq", &r.at[i], r.at[i].v, 0, e) < 0)
			goto out;
	ret = 0;
out:
	tensor_release(&rates);
	run_release(&r);
	return ret;
}

static int check_clip(struct gcase *c, struct err *e)
{
	double squares = 0, most = golden_number(c, "max_norm", 0), factor;
	struct run r = { .n = 0 };
	float norm;
	int ret = run_open(c, &r, e);

	for (int i = 0; i < r.n; i++)
		for (int64_t k = 0; k < tensor_count(&r.at[i].t); k++)
			squares += (double)r.at[i].w[k] * r.at[i].w[k];
	norm = (float)sqrt(squares);
	factor = most / (sqrt(squares) + 1e-6);
	if (ret == 0)
		ret = golden_compare(c, "out.norm", &norm, 1, -1, 0, e);
	for (int i = 0; ret == 0 && i < r.n; i++) {
		for (int64_t k = 0; k < tensor_count(&r.at[i].t); k++)
			r.at[i].w[k] *= (float)(factor < 1 ? factor : 1);
		ret = compare(c, "out", &r.at[i], r.at[i].w, 1, e);
	}
	run_release(&r);
	return ret;
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	*v = GOLDEN_CHECKED;
	if (!strcmp(c->name, "adamw") || !strcmp(c->name, "adamw-schedule"))
		return check_adamw(c, e);
	if (!strncmp(c->name, "clip-", 5))
		return check_clip(c, e);
	*v = GOLDEN_NOT_YET;
	return 0;
}

const struct golden_group golden_optimizer = { .name = "optimizer", .check = check };
