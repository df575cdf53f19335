/* Part of kernels_ref.h: matrices, convolutions, norms and attention. */
#ifndef KERNELS_REF_NET_H
#define KERNELS_REF_NET_H

static void ref_linear(struct ref *r)
{
	int dw = r->n->op == OP_LINEAR_DW, dx = r->n->op == OP_LINEAR_DX;
	const struct ten *x = dw ? &r->in[0] : dx ? &r->out[0] : &r->in[0];
	const struct ten *y = dw ? &r->in[1] : dx ? &r->in[0] : &r->out[0];
	const struct ten *w = dw ? &r->out[0] : &r->in[1], *extra = dx ? &r->in[2] : &r->in[3];
	int64_t c = x->dim[3], k = y->dim[3], rows = ten_count(x) / c;

	for (int64_t m = 0; m < rows; m++)
		for (int64_t i = 0; i < k; i++) {
			double sum = 0, dy = y->v[m * k + i];
			for (int64_t j = 0; j < c; j++) {
				if (dw)
					w->v[i * c + j] += dy * x->v[m * c + j];
				else if (dx)
					x->v[m * c + j] += dy * w->v[i * c + j];
				else
					sum += x->v[m * c + j] * w->v[i * c + j];
			}
			if (dw && r->out[1].v)
				r->out[1].v[i] += dy;
			if (!dw && !dx)
				y->v[m * k + i] = sum + (r->in[2].v ? r->in[2].v[i] : 0) +
					(extra->v ? extra->v[m * k + i] : 0);
		}
	for (int64_t i = 0; dx && extra->v && i < rows * c; i++)
		x->v[i] += extra->v[i];
}

/* One output pixel's part in y, dx or dw. */
static void ref_conv_pixel(const struct ref *r, const struct ten *x, const struct ten *w,
			   const struct ten *y,
			   int64_t n, int64_t i, int64_t j)
{
	int64_t top = i * r->n->at.conv.stride - r->n->at.conv.top,
		left = j * r->n->at.conv.stride - r->n->at.conv.left;

	for (int64_t k = 0; k < w->dim[0]; k++)
		for (int64_t a = 0; a < w->dim[1]; a++)
			for (int64_t b = 0; b < w->dim[2]; b++) {
				if (top + a < 0 || top + a >= x->dim[1] || left + b < 0 ||
				    left + b >= x->dim[2])
					continue;
				for (int64_t c = 0; c < w->dim[3]; c++) {
					double *px = ten_at(x, n, top + a, left + b, c),
						*py = ten_at(y, n, i, j, k);
					double *pw = ten_at(w, k, a, b, c);
					if (r->n->op == OP_CONV2D)
						*py += *px * *pw;
					else if (r->n->op == OP_CONV2D_DX)
						*px += *py * *pw;
					else
						*pw += *px * *py;
				}
			}
}

static void ref_conv(struct ref *r)
{
	enum op op = r->n->op;
	const struct ten *x = op == OP_CONV2D_DX ? &r->out[0] : &r->in[0];
	const struct ten *w = op == OP_CONV2D_DW ? &r->out[0] : &r->in[1];
	const struct ten *y = op == OP_CONV2D ? &r->out[0] :
		op == OP_CONV2D_DX ? &r->in[0] : &r->in[1];
	const struct ten *extra = op == OP_CONV2D ? &r->in[3] : &r->in[2];

	for (int64_t n = 0; n < y->dim[0]; n++)
		for (int64_t i = 0; i < y->dim[1]; i++)
			for (int64_t j = 0; j < y->dim[2]; j++)
				ref_conv_pixel(r, x, w, y, n, i, j);
	for (int64_t i = 0; i < ten_count(y); i++) {
		if (op == OP_CONV2D)
			y->v[i] += (r->in[2].v ? r->in[2].v[i % y->dim[3]] : 0) +
				(extra->v ? extra->v[i] : 0);
		if (op == OP_CONV2D_DW && r->out[1].v)
			r->out[1].v[i % y->dim[3]] += y->v[i];
	}
	for (int64_t i = 0; op == OP_CONV2D_DX && extra->v && i < ten_count(x); i++)
		x->v[i] += extra->v[i];
}

/* Layer norm is a norm with a row as its picture and one group. */
struct ref_norm { int64_t pictures, rows, c, groups, width; };

static struct ref_norm ref_norm_of(const struct node *n, const struct ten *x)
{
	struct ref_norm s = { x->dim[0], x->dim[1] * x->dim[2], x->dim[3], 1, x->dim[3] };

	if (n->op == OP_GROUP_NORM || n->op == OP_GROUP_NORM_DX) {
		s.groups = n->at.norm.groups;
		s.width = s.c / s.groups;
	} else {
		s.pictures *= s.rows;
		s.rows = 1;
	}
	return s;
}

static void ref_norm(struct ref *r)
{
	struct ref_norm s = ref_norm_of(r->n, &r->in[0]);
	enum act act = r->n->op == OP_GROUP_NORM ? r->n->at.norm.act : ACT_NONE;

	for (int64_t g = 0; g < s.pictures * s.groups; g++) {
		double *x = r->in[0].v + g / s.groups * s.rows * s.c, sum = 0, var = 0,
			count = (double)(s.rows * s.width);
		int64_t from = g % s.groups * s.width;

		for (int64_t i = 0; i < s.rows * s.width; i++)
			sum += x[i / s.width * s.c + from + i % s.width];
		for (int64_t i = 0; i < s.rows * s.width; i++)
			var += pow(x[i / s.width * s.c + from + i % s.width] - sum / count, 2);
		var = 1 / sqrt(var / count + r->n->at.norm.eps);
		for (int64_t i = 0; i < s.rows * s.width; i++) {
			int64_t c = from + i % s.width, at = i / s.width * s.c + c;
			r->out[0].v[g / s.groups * s.rows * s.c + at] =
				ref_act((x[at] - sum / count) * var * r->in[1].v[c] +
					r->in[2].v[c], act);
		}
		if (r->out[1].v) {
			r->out[1].v[2 * g] = sum / count;
			r->out[1].v[2 * g + 1] = var;
		}
	}
}

static void ref_norm_dx(struct ref *r)
{
	int group = r->n->op == OP_GROUP_NORM_DX;
	struct ref_norm s = ref_norm_of(r->n, &r->in[1]);
	const double *gamma = r->in[2].v, *beta = group ? r->in[3].v : NULL,
		*stat = r->in[group ? 4 : 3].v;
	double *q = xcalloc((size_t)ten_count(&r->in[1]), sizeof *q),
		*h = xcalloc((size_t)ten_count(&r->in[1]), sizeof *h);

	for (int64_t i = 0; i < ten_count(&r->in[1]); i++) {
		int64_t c = i % s.c, g = i / (s.rows * s.c) * s.groups + c / s.width;
		double dz = r->in[0].v[i];

		h[i] = (r->in[1].v[i] - stat[2 * g]) * stat[2 * g + 1];
		if (group)
			dz *= ref_slope(h[i] * gamma[c] + beta[c], r->n->at.norm.act);
		if (r->out[1].v)
			r->out[1].v[c] += dz * h[i];
		if (r->out[2].v)
			r->out[2].v[c] += dz;
		q[i] = dz * gamma[c];
	}
	for (int64_t g = 0; g < s.pictures * s.groups; g++) {
		double one = 0, two = 0, count = (double)(s.rows * s.width);
		int64_t at = g / s.groups * s.rows * s.c + g % s.groups * s.width;

		for (int64_t i = 0; i < s.rows * s.width; i++) {
			int64_t to = at + i / s.width * s.c + i % s.width;
			one += q[to] / count;
			two += q[to] * h[to] / count;
		}
		for (int64_t i = 0; i < s.rows * s.width; i++) {
			int64_t to = at + i / s.width * s.c + i % s.width;
			r->out[0].v[to] = stat[2 * g + 1] * (q[to] - one - h[to] * two);
		}
	}
	free(q);
	free(h);
}

struct ref_head { int64_t tq, tk, ld, d; double scale, *p; };

/* p[j] = softmax of query q against the keys k; returns log of the sum. */
static double ref_softmax(const struct ref_head *s, const double *q, const double *k, int64_t keys)
{
	double top = -1e300, sum = 0;

	for (int64_t j = 0; j < s->tk; j++) {
		double dot = 0;
		for (int64_t i = 0; i < s->d; i++)
			dot += q[i] * k[j * s->ld + i];
		s->p[j] = s->scale * dot;
		if (j < keys)
			top = fmax(top, s->p[j]);
	}
	for (int64_t j = 0; j < s->tk; j++) {
		s->p[j] = j < keys ? exp(s->p[j] - top) : 0;
		sum += s->p[j];
	}
	for (int64_t j = 0; j < s->tk; j++)
		s->p[j] /= sum;
	return top + log(sum);
}

/* One query's part in dq, dk, dv. at, to: where its row and its head's keys lie. */
static void ref_attention_row_dx(struct ref *r, const struct ref_head *s, int64_t at, int64_t to)
{
	const double *dy = r->in[0].v + at, *q = r->in[1].v + at, *k = r->in[2].v + to,
		*v = r->in[3].v + to;
	double delta = 0, *dp = xcalloc((size_t)s->tk, sizeof *dp);

	for (int64_t j = 0; j < s->tk; j++) {
		for (int64_t i = 0; i < s->d; i++)
			dp[j] += dy[i] * v[j * s->ld + i];
		delta += s->p[j] * dp[j];
	}
	for (int64_t j = 0; j < s->tk; j++) {
		double ds = s->p[j] * (dp[j] - delta) * s->scale;
		for (int64_t i = 0; i < s->d; i++) {
			r->out[0].v[at + i] += ds * k[j * s->ld + i];
			if (r->out[1].v)
				r->out[1].v[to + j * s->ld + i] += ds * q[i];
			if (r->out[2].v)
				r->out[2].v[to + j * s->ld + i] += s->p[j] * dy[i];
		}
	}
	free(dp);
}

static void ref_attention(struct ref *r)
{
	int dx = r->n->op == OP_ATTENTION_DX;
	const struct ten *q = &r->in[dx], *k = &r->in[1 + dx], *v = &r->in[2 + dx];
	int64_t heads = r->n->at.attention.heads;
	struct ref_head s = { q->dim[1] * q->dim[2], k->dim[1] * k->dim[2], q->dim[3],
			      q->dim[3] / heads, r->n->at.attention.scale, NULL };

	s.p = xcalloc((size_t)s.tk, sizeof *s.p);
	for (int64_t w = 0; w < q->dim[0] * heads * s.tq; w++) {
		int64_t i = w % s.tq, a = w / s.tq % heads, n = w / s.tq / heads;
		int64_t at = (n * s.tq + i) * s.ld + a * s.d, to = n * s.tk * s.ld + a * s.d;
		int64_t keys = r->n->at.attention.causal ? i + 1 : s.tk;
		double lse = ref_softmax(&s, q->v + at, k->v + to, keys);

		if (dx) {
			ref_attention_row_dx(r, &s, at, to);
			continue;
		}
		for (int64_t j = 0; j < s.tk; j++)
			for (int64_t c = 0; c < s.d; c++)
				r->out[0].v[at + c] += s.p[j] * v->v[to + j * s.ld + c];
		if (r->out[1].v)
			r->out[1].v[w] = lse;
	}
	free(s.p);
}

#endif
