/*
 * The samplers that work with half the log-SNR, lambda = ln(alpha / sg): DPM-Solver++ (Lu et al.
 * 2022) multistep and single step, deterministic and stochastic, and UniPC (Zhao et al. 2023). x =
 * alpha x0 + sg noise, alpha^2 + sg^2 = 1.
 */
#include <math.h>
#include <string.h>
#include "kernels/run/sampler_parts.h"

struct point {
	double alpha, sg, lambda;
};

/* At sigma = 0 lambda is infinite; e^-h is 0 then, and nothing below divides by h. */
static struct point point_at(const struct sampler *s, int i)
{
	double sigma = s->sigma[i], alpha = 1 / sqrt(sigma * sigma + 1);

	return (struct point){ alpha, sigma * alpha, -log(sigma) };
}

/* x0 of call i, limited. */
static void predict_x0(struct sampler *s, int i, const float *out, const float *x, float *x0)
{
	struct point p = point_at(s, i);
	double of_x = 0, of_out = 1;

	if (s->c.noise.predict == PREDICT_EPSILON) {
		of_x = 1 / p.alpha;
		of_out = -p.sg / p.alpha;
	} else if (s->c.noise.predict == PREDICT_V) {
		of_x = p.alpha;
		of_out = -p.sg;
	}
	for (int64_t k = 0; k < sampler_total(s); k++)
		x0[k] = (float)(of_x * x[k] + of_out * out[k]);
	if (s->c.threshold)
		sampler_limit(s, x0);
}

static int multistep_order(const struct sampler *s, int i)
{
	int left = s->steps - i, few = s->c.lower_order_final && s->steps < 15;
	int order = s->calls + 1 < s->c.order ? s->calls + 1 : s->c.order;

	if (left == 1 && (s->c.euler_at_final || few || !s->c.final_sigma_min))
		return 1;
	if (left == 2 && few && order > 2)
		return 2;
	return order;
}

/* What a step multiplies x, the three newest x0 and the noise by. */
struct weights {
	double x, m[3], noise;
};

/*
 * From `from` to `to`, without the history; *one and *two get the factors of the first and second
 * divided differences of x0 in lambda. With g = h, in the stochastic form 2 h, and u = 1 - e^-g:
 *	first   alpha u / 2 (midpoint), alpha (1 - u / g) (heun, and order 3)
 *	second  alpha (1 / 2 - (g - u) / g^2)
 * All vanish with h. (diffusers has another sign in the second factor of the stochastic form, which
 * then does not.)
 */
static struct weights base_weights(const struct sampler *s, struct point from, struct point to,
				   int order, double *one, double *two)
{
	double h = to.lambda - from.lambda;
	double g = s->c.sde ? 2 * h : h, u = -expm1(-g);
	struct weights w = { to.sg / from.sg * (s->c.sde ? exp(-h) : 1), { to.alpha * u }, 0 };

	*one = *two = 0;
	if (s->c.sde)
		w.noise = to.sg * sqrt(u);
	if (order == 2 && !s->c.heun_rule)
		*one = 0.5 * to.alpha * u;
	else if (order >= 2)
		*one = to.alpha * (1 - u / g);
	if (order == 3)
		*two = to.alpha * (0.5 - (g - u) / (g * g));
	return w;
}

/* Orders 2 and 3 add divided differences of the x0 at sigma[i], [i - 1] and [i - 2]. */
static struct weights multistep_weights(const struct sampler *s, int i, int order)
{
	struct point from = point_at(s, i), to = point_at(s, i + 1);
	double one, two, h = to.lambda - from.lambda, r0, r1, q, first, second;
	struct weights w = base_weights(s, from, to, order, &one, &two);

	if (order == 1)
		return w;
	r0 = (from.lambda - point_at(s, i - 1).lambda) / h;
	if (order == 2) {
		w.m[0] += one / r0;
		w.m[1] = -one / r0;
		return w;
	}
	r1 = (point_at(s, i - 1).lambda - point_at(s, i - 2).lambda) / h;
	q = r0 / (r0 + r1);
	first = one * (1 + q) + two / (r0 + r1);
	second = -one * q - two / (r0 + r1);
	w.m[0] += first / r0;
	w.m[1] = -first / r0 + second / r1;
	w.m[2] = -second / r1;
	return w;
}

/* The second of two steps starts again from where the first began, which `i - 1` was. */
static struct weights second_of_two(const struct sampler *s, int i)
{
	struct point from = point_at(s, i - 1), to = point_at(s, i + 1);
	double one, two, r = (point_at(s, i).lambda - from.lambda) / (to.lambda - from.lambda);
	struct weights w = base_weights(s, from, to, 2, &one, &two);

	w.m[1] = w.m[0] - one / r;
	w.m[0] = one / r;
	return w;
}

void sampler_step_dpm(struct sampler *s, int i, const float *out, float *x,
		      const struct sampler_noise *noise)
{
	int64_t total = sampler_total(s);
	const float *n = s->c.sde ? sampler_draw(s, i, noise) : NULL;
	const float *start = x;
	struct weights w;

	predict_x0(s, i, out, x, sampler_push(s));
	if (s->c.kind == SAMPLER_DPM_MULTI) {
		w = multistep_weights(s, i, multistep_order(s, i));
	} else if (s->c.order == 2 && i % 2 && i + 1 < s->steps && s->calls) {
		w = second_of_two(s, i);
		start = s->saved;
	} else {
		w = multistep_weights(s, i, 1);
		memcpy(s->saved, x, (size_t)total * sizeof *x);
	}
	for (int64_t k = 0; k < total; k++) {
		double v = w.x * start[k] + w.m[0] * s->history[0][k];
		if (w.m[1] != 0)
			v += w.m[1] * s->history[1][k];
		if (w.m[2] != 0)
			v += w.m[2] * s->history[2][k];
		x[k] = (float)(v + (n ? w.noise * n[k] : 0));
	}
}

/* r x = b, n <= 3, by elimination with row exchange; x into b. */
static void solve(double r[3][3], double *b, int n)
{
	for (int c = 0; c < n; c++) {
		int best = c;
		for (int i = c + 1; i < n; i++)
			if (fabs(r[i][c]) > fabs(r[best][c]))
				best = i;
		for (int j = 0; j < n; j++) {
			double t = r[c][j];
			r[c][j] = r[best][j];
			r[best][j] = t;
		}
		double t = b[c];
		b[c] = b[best];
		b[best] = t;
		for (int i = 0; i < n; i++) {
			double f = i == c ? 0 : r[i][c] / r[c][c];
			for (int j = c; j < n; j++)
				r[i][j] -= f * r[c][j];
			b[i] -= f * b[c];
		}
	}
	for (int i = 0; i < n; i++)
		b[i] /= r[i][i];
}

/*
 * A step from sigma[at] to sigma[at + 1]: x, the x0 there, and the differences of the others from
 * it.
 */
struct unified {
	double x, m, b;         /* b = alpha B(h), for the differences */
	double rho[3], r[3];    /* weights of the differences, their distances */
};

/*
 * The unified step of `order`; n equations are solved for rho (order for the corrector, which has a
 * difference at the end, r = 1, too; order - 1 for the predictor).
 */
static struct unified unify(const struct sampler *s, int at, int order, int n)
{
	struct point from = point_at(s, at), to = point_at(s, at + 1);
	double h = to.lambda - from.lambda, phi = expm1(-h), factorial = 1, rows[3][3] = { { 0 } };
	double b_h = s->c.bh1 ? -h : phi, term = phi / -h - 1;
	struct unified u = { to.sg / from.sg, -to.alpha * phi, -to.alpha * b_h, { 0 }, { 0 } };

	for (int j = 0; j < n; j++)
		u.r[j] = j == order - 1 ? 1 : (point_at(s, at - 1 - j).lambda - from.lambda) / h;
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < n; j++)
			rows[i][j] = pow(u.r[j], i);
		u.rho[i] = term * factorial / b_h;
		factorial *= i + 2;
		term = term / -h - 1 / factorial;
	}
	if (n == 1)
		/* the authors' simplification of both order 1 and order 2 */
		u.rho[0] = 0.5;
	else
		solve(rows, u.rho, n);
	return u;
}

/* Call i's output first mends the step that led to it, from the x before that. */
static void correct(struct sampler *s, int i, const float *now, float *x)
{
	int order = s->order_before;
	struct unified u = unify(s, i - 1, order, order);

	for (int64_t k = 0; k < sampler_total(s); k++) {
		/* history[0] is the new x0 here, so the step's own is history[1] */
		double m = s->history[1][k], d = u.rho[order - 1] * (now[k] - m);
		for (int j = 0; j < order - 1; j++)
			d += u.rho[j] * (s->history[j + 2][k] - m) / u.r[j];
		x[k] = (float)(u.x * s->saved[k] + u.m * m + u.b * d);
	}
}

void sampler_step_unipc(struct sampler *s, int i, const float *out, float *x)
{
	int left = s->steps - i, order = s->c.order;
	struct unified u;

	predict_x0(s, i, out, x, sampler_push(s));
	if (s->calls)
		correct(s, i, s->history[0], x);
	memcpy(s->saved, x, (size_t)sampler_total(s) * sizeof *x);
	if (s->c.lower_order_final && order > left)
		order = left;
	if (order > s->calls + 1)
		order = s->calls + 1;
	if (s->sigma[i + 1] == 0)
		order = 1;
	s->order_before = order;
	u = unify(s, i, order, order - 1);
	for (int64_t k = 0; k < sampler_total(s); k++) {
		double m = s->history[0][k], d = 0;
		for (int j = 0; j < order - 1; j++)
			d += u.rho[j] * (s->history[j + 1][k] - m) / u.r[j];
		x[k] = (float)(u.x * x[k] + u.m * m + (order > 1 ? u.b * d : 0));
	}
}
