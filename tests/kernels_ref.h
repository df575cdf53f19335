/*
 * What every op must compute, in f64 and with the plainest loops: the contracts of
 * kernels/ir/build.h once more, for tests. ref_run() fills the results (for ops that work by
 * effect: the inputs) of one node.
 */
#ifndef KERNELS_REF_H
#define KERNELS_REF_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/ir/graph.h"

struct ten {
	double *v;              /* NULL: absent */
	int64_t dim[MAX_DIM];
};

struct ref {
	const struct node *n;
	struct ten in[MAX_IN], out[MAX_OUT];
};

static int64_t ten_count(const struct ten *t)
{
	return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

static double *ten_at(const struct ten *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
	return &t->v[((a * t->dim[1] + b) * t->dim[2] + c) * t->dim[3] + d];
}

/* Where the element at linear place i of `big` falls in `small`, whose sides are big's or 1. */
static int64_t ten_fold(const struct ten *big, const struct ten *small, int64_t i)
{
	int64_t at = 0, step = 1;

	for (int k = MAX_DIM - 1; k >= 0; k--) {
		at += (small->dim[k] == 1 ? 0 : i % big->dim[k]) * step;
		step *= small->dim[k];
		i /= big->dim[k];
	}
	return at;
}

static double ref_sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double ref_phi(double x)
{
	return .5 * (1 + erf(x / sqrt(2)));
}

static double ref_act(double x, enum act kind)
{
	switch (kind) {
	case ACT_SILU: return x * ref_sigmoid(x);
	case ACT_GELU: return x * ref_phi(x);
	case ACT_QUICK_GELU: return x * ref_sigmoid(1.702 * x);
	case ACT_EXP: return exp(x);
	case ACT_SQUARE: return x * x;
	case ACT_CLAMP_LOGVAR: return x < -30 ? -30 : x > 20 ? 20 : x;
	default: return x;
	}
}

static double ref_slope(double x, enum act kind)
{
	double s;

	switch (kind) {
	case ACT_SILU: s = ref_sigmoid(x); return s + x * s * (1 - s);
	case ACT_GELU: return ref_phi(x) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
	case ACT_QUICK_GELU: s = ref_sigmoid(1.702 * x); return s + 1.702 * x * s * (1 - s);
	case ACT_EXP: return exp(x);
	case ACT_SQUARE: return 2 * x;
	case ACT_CLAMP_LOGVAR: return x >= -30 && x <= 20;
	default: return 1;
	}
}

/* fill, add, mul, scale, act, act_dx, dropout: one element at a time. */
static void ref_elementwise(struct ref *r)
{
	const struct node *n = r->n;

	for (int64_t i = 0; i < ten_count(&r->out[0]); i++) {
		double *y = &r->out[0].v[i], x = r->in[0].v ? r->in[0].v[i] : 0;

		switch (n->op) {
		case OP_FILL: *y = n->at.fill.value; break;
		case OP_ADD: *y = x + r->in[1].v[ten_fold(&r->in[0], &r->in[1], i)]; break;
		case OP_MUL: *y = x * r->in[1].v[ten_fold(&r->in[0], &r->in[1], i)]; break;
		case OP_SCALE: *y = n->at.scale.by * x; break;
		case OP_CAST: *y = x; break;
		case OP_ACT: *y = ref_act(x, n->at.act.kind); break;
		default: *y = x * ref_slope(r->in[1].v[i], n->at.act.kind); break;
		}
	}
}

static void ref_sum_to(struct ref *r)
{
	for (int64_t i = 0; i < ten_count(&r->in[0]); i++)
		r->out[0].v[ten_fold(&r->in[0], &r->out[0], i)] += r->in[0].v[i];
}

static void ref_dropout(struct ref *r)
{
	const double *key = r->in[1].v;
	struct rng s = { { (uint32_t)(int32_t)key[0], (uint32_t)(int32_t)key[1] },
			 r->n->at.dropout.tag, (uint32_t)(int32_t)key[3],
			 (uint32_t)(int32_t)key[2] };

	for (int64_t i = 0; i < ten_count(&r->in[0]); i++)
		r->out[0].v[i] = rng_uniform(&s, (uint32_t)i) >= r->n->at.dropout.p
					 ? r->in[0].v[i] / (1 - r->n->at.dropout.p) : 0;
}

static void ref_upsample(struct ref *r)
{
	int dx = r->n->op == OP_UPSAMPLE_DX;
	struct ten *large = dx ? &r->in[0] : &r->out[0], *small = dx ? &r->out[0] : &r->in[0];

	for (int64_t n = 0; n < large->dim[0]; n++)
		for (int64_t i = 0; i < large->dim[1]; i++)
			for (int64_t j = 0; j < large->dim[2]; j++)
				for (int64_t c = 0; c < large->dim[3]; c++) {
					double *a = ten_at(large, n, i, j, c);
					double *b = ten_at(small, n,
							   i * small->dim[1] / large->dim[1],
							   j * small->dim[2] / large->dim[2], c);
					if (dx)
						*b += *a;
					else
						*a = *b;
				}
}

/* concat, slice, pad_slice: out is zero before. */
static void ref_columns(struct ref *r)
{
	int64_t wide = r->out[0].dim[3], rows = ten_count(&r->out[0]) / wide, a = r->in[0].dim[3];

	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < wide; j++) {
			double *y = &r->out[0].v[i * wide + j];
			int64_t from = r->n->op == OP_SLICE ? r->n->at.slice.from : 0;
			int64_t to = r->n->op == OP_PAD_SLICE ? r->n->at.slice.from : 0;

			if (j >= to && j - to + from < a)
				*y = r->in[0].v[i * a + j - to + from];
			else if (r->n->op == OP_CONCAT)
				*y = r->in[1].v[i * (wide - a) + j - a];
		}
}

static void ref_geglu(struct ref *r)
{
	int dx = r->n->op == OP_GEGLU_DX;
	const struct ten *x = &r->in[dx];
	int64_t d = x->dim[3] / 2, rows = ten_count(x) / (2 * d);

	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < d; j++) {
			double a = x->v[i * 2 * d + j], b = x->v[i * 2 * d + d + j];
			if (dx) {
				double dy = r->in[0].v[i * d + j];
				r->out[0].v[i * 2 * d + j] = dy * ref_act(b, ACT_GELU);
				r->out[0].v[i * 2 * d + d + j] = dy * a * ref_slope(b, ACT_GELU);
			} else {
				r->out[0].v[i * d + j] = a * ref_act(b, ACT_GELU);
			}
		}
}

static void ref_embed(struct ref *r)
{
	int dx = r->n->op == OP_EMBED_DW;
	int64_t d = r->out[0].dim[3];

	for (int64_t i = 0; i < ten_count(&r->in[0]); i++)
		for (int64_t j = 0; j < d; j++) {
			int64_t at = (int64_t)r->in[0].v[i] * d + j;
			if (dx)
				r->out[0].v[at] += r->in[1].v[i * d + j];
			else
				r->out[0].v[i * d + j] = r->in[1].v[at];
		}
}

static void ref_timestep(struct ref *r)
{
	int64_t d = r->out[0].dim[3], half = d / 2;

	for (int64_t n = 0; n < r->out[0].dim[0]; n++)
		for (int64_t i = 0; i < half; i++) {
			double f = exp(-log(r->n->at.timestep.max_period) * (double)i /
				       ((double)half - r->n->at.timestep.freq_shift)),
				       t = r->in[0].v[n];
			int flip = r->n->at.timestep.flip_sin_to_cos;
			r->out[0].v[n * d + i] = flip ? cos(t * f) : sin(t * f);
			r->out[0].v[n * d + half + i] = flip ? sin(t * f) : cos(t * f);
		}
}

static void ref_loss(struct ref *r)
{
	int64_t count = ten_count(&r->in[0]), each = count / (r->in[0].dim[0] ? r->in[0].dim[0] : 1);

	for (int64_t i = 0; i < count; i++) {
		double x = r->in[0].v[i], d, weight;

		if (r->n->op == OP_SUMSQ) {
			r->out[0].v[0] += x * x;
			continue;
		}
		d = x - r->in[1].v[i];
		weight = r->in[2].v[i / each] / (double)each;
		if (r->n->op == OP_MSE)
			r->out[0].v[0] += weight * d * d;
		else
			r->out[0].v[i] = 2 * weight * d * r->in[3].v[0];
	}
}

static void ref_adamw(struct ref *r)
{
	const double *h = r->in[4].v, norm = sqrt(r->in[5].v[0]);
	double clip = h[8] * (h[7] > 0 ? fmin(1, h[7] / (norm * h[8] + 1e-6)) : 1);

	for (int64_t i = 0; isfinite(norm) && i < ten_count(&r->in[0]); i++) {
		double *w = &r->in[0].v[i], *m = &r->in[2].v[i], *v = &r->in[3].v[i],
			g = r->in[1].v[i] * clip;

		*w *= 1 - h[0] * h[4];
		*m = h[1] * *m + (1 - h[1]) * g;
		*v = h[2] * *v + (1 - h[2]) * g * g;
		*w -= h[0] / h[5] * *m / (sqrt(*v) / sqrt(h[6]) + h[3]);
	}
}

static void ref_average(struct ref *r)
{
	for (int64_t i = 0; (!r->in[3].v || isfinite(r->in[3].v[0])) && i < ten_count(&r->in[0]); i++) {
		double *s = &r->in[0].v[i], d = r->n->op == OP_EMA ? r->in[2].v[0] : 0;

		*s = r->n->op == OP_EMA ? d * *s + (1 - d) * r->in[1].v[i]
					: *s + (double)r->n->at.accum.by * r->in[1].v[i];
	}
}

#include "tests/kernels_ref_net.h"

static void ref_run(struct ref *r)
{
	switch (r->n->op) {
	case OP_FILL: case OP_ADD: case OP_MUL: case OP_SCALE: case OP_CAST: case OP_ACT: case OP_ACT_DX:
		ref_elementwise(r);
		break;
	case OP_SUM_TO: ref_sum_to(r); break;
	case OP_DROPOUT: ref_dropout(r); break;
	case OP_UPSAMPLE: case OP_UPSAMPLE_DX: ref_upsample(r); break;
	case OP_CONCAT: case OP_SLICE: case OP_PAD_SLICE: ref_columns(r); break;
	case OP_GEGLU: case OP_GEGLU_DX: ref_geglu(r); break;
	case OP_EMBED: case OP_EMBED_DW: ref_embed(r); break;
	case OP_TIMESTEP: ref_timestep(r); break;
	case OP_MSE: case OP_MSE_DX: case OP_SUMSQ: ref_loss(r); break;
	case OP_ADAMW: ref_adamw(r); break;
	case OP_ACCUM: case OP_EMA: ref_average(r); break;
	case OP_LINEAR: case OP_LINEAR_DX: case OP_LINEAR_DW: ref_linear(r); break;
	case OP_CONV2D: case OP_CONV2D_DX: case OP_CONV2D_DW: ref_conv(r); break;
	case OP_GROUP_NORM: case OP_LAYER_NORM: ref_norm(r); break;
	case OP_GROUP_NORM_DX: case OP_LAYER_NORM_DX: ref_norm_dx(r); break;
	case OP_ATTENTION: case OP_ATTENTION_DX: ref_attention(r); break;
	default: printf("# no reference for '%s'\n", op_info[r->n->op].name); abort();
	}
}

#endif
