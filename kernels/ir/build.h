/*
 * Builders: one for each op. They infer the result's shape, check the inputs' (a mismatch is a BUG
 * that names the weight: shapes of files were checked before the graph is built), and emit. The
 * comment of each is the op's contract: the kernels on every backend compute exactly this, in f32
 * inside, sums in a fixed order. `NONE` is allowed where it says "or NONE".
 */
#ifndef IR_BUILD_H
#define IR_BUILD_H

#include "kernels/ir/graph.h"

/* ---- sources ---- */
id g_input(struct graph *g, const char *name, enum dtype t, int64_t n, int64_t h,
	   int64_t w, int64_t c);
id g_weight(struct graph *g, const char *name, const int64_t dim[MAX_DIM], int trainable);
id g_state(struct graph *g, const char *name, const int64_t dim[MAX_DIM]);
id g_fill(struct graph *g, const int64_t dim[MAX_DIM], float value);

/* ---- elementwise ---- */
/* y = a + b and y = a * b; each side of b is a's, or 1 (then b is repeated along it). */
id g_add(struct graph *g, id a, id b);
id g_mul(struct graph *g, id a, id b);
id g_scale(struct graph *g, id x, float by);                    /* y = by x */
/*
 * y = f(x): silu x s(x), gelu .5 x (1 + erf(x / sqrt 2)), quick_gelu x s(1.702 x), exp, square,
 * clamp_logvar (to [-30, 20]); s = logistic.     act_dx: dx = dy f'(x), clamp's f' is 0 outside.
 */
id g_act(struct graph *g, id x, enum act kind);
id g_act_dx(struct graph *g, id dy, id x, enum act kind);
/* y[dim] = x summed along the sides where dim is 1. */
id g_sum_to(struct graph *g, id x, const int64_t dim[MAX_DIM]);

/* y = x in `type` (F32, BF16, F16), rounded half to even; x itself if it has that type. */
id g_cast(struct graph *g, id x, enum dtype type);

/* ---- matrices ---- */
/*
 * linear:    y[m][k] = sum_c x[m][c] w[k][c] + b[k] + r[m][k]     m = all leading sides; b, r or
 * NONE
 * linear_dx: dx[m][c] = sum_k dy[m][k] w[k][c] + r[m][c]          r or NONE
 * linear_dw: dw[k][c] = sum_m dy[m][k] x[m][c]                    aux 1: db[k] = sum_m dy[m][k]
 */
id g_linear(struct graph *g, id x, id w, id b);
id g_linear_add(struct graph *g, id x, id w, id b, id r);
id g_linear_dx(struct graph *g, id dy, id w, id r, const int64_t x_dim[MAX_DIM]);
id g_linear_dw(struct graph *g, id x, id dy, id *db);           /* db NULL: not wanted */

/*
 * conv2d:    y[n][i][j][k] = sum_rsc x[n][i S + r - top][j S + s - left][c] w[k][r][s][c] + b[k] +
 *            rr[n][i][j][k] (zero outside); i < (h + top + bottom - R) / S + 1
 * conv2d_dx: dx = the transpose applied to dy, + rr                  (in: dy, w, rr; dim = x's)
 * conv2d_dw: dw[k][r][s][c] = sum_nij dy x; aux 1: db                (in: x, dy; dim = w's)
 */
struct conv { int stride, top, left, bottom, right; };
id g_conv2d(struct graph *g, id x, id w, id b, struct conv at);
id g_conv2d_add(struct graph *g, id x, id w, id b, id r, struct conv at);
id g_conv2d_dx(struct graph *g, id dy, id w, id r, const int64_t x_dim[MAX_DIM], struct conv at);
id g_conv2d_dw(struct graph *g, id x, id dy, const int64_t w_dim[MAX_DIM], struct conv at, id *db);

/* ---- movement ---- */
/*
 * Nearest: y[n][i][j] = x[n][i h / H][j w / W] (integer
 * division). upsample_dx: the sum of what was copied.
 */
id g_upsample(struct graph *g, id x, int64_t h, int64_t w);
id g_upsample_dx(struct graph *g, id dy, const int64_t x_dim[MAX_DIM]);
id g_concat(struct graph *g, id a, id b);                       /* along c */
id g_slice(struct graph *g, id x, int64_t from, int64_t count); /* along c */
/* dx of slice: zeros of x's shape with dy at channel `from`. */
id g_pad_slice(struct graph *g, id dy, int64_t from, const int64_t x_dim[MAX_DIM]);

/* ---- norms ---- */
/*
 * group_norm: y = act((x - mean) rstd gamma[c] + beta[c]), mean and biased variance over h, w and
 *             the c / groups channels of a group; rstd = 1 / sqrt(var + eps); act none or silu.
 *             aux 1: stat [1][n][groups][2] = mean, rstd
 * group_norm_dx (in: dy, x, gamma, beta, stat): dx; aux 1: dgamma, aux 2: dbeta  [1][1][1][c]
 * layer_norm: over the last side; aux 1: stat [dim0][dim1][dim2][2].   No act.
 * layer_norm_dx (in: dy, x, gamma, stat): dx; aux 1: dgamma, aux 2: dbeta
 */
id g_group_norm(struct graph *g, id x, id gamma, id beta, int groups, float eps, enum act act);
id g_layer_norm(struct graph *g, id x, id gamma, id beta, float eps);
/* dgamma, dbeta NULL: not wanted */
id g_group_norm_dx(struct graph *g, id dy, id y, id *dgamma, id *dbeta);
id g_layer_norm_dx(struct graph *g, id dy, id y, id *dgamma, id *dbeta);

/* geglu: x [..][2 d] -> y[..][d] = x[..d] * gelu(x[d..]) (erf); geglu_dx (in: dy, x). */
id g_geglu(struct graph *g, id x);
id g_geglu_dx(struct graph *g, id dy, id x);

/* ---- attention ---- */
/*
 * q [n][..][d], k and v [n][..][d]; the middle sides are the tokens. Heads split d evenly:
 *	y[n][i][a] = sum_j softmax_j(scale q[n][i][a] . k[n][j][a]) v[n][j][a];  causal: j <= i only
 *	aux 1: lse [1][n][heads][tokens of q] = log sum_j exp(scale q . k)
 * attention_dx (in: dy, q, k, v, y, lse): dq; aux 1: dk, aux 2: dv
 */
id g_attention(struct graph *g, id q, id k, id v, int heads, float scale, int causal);
id g_attention_dx(struct graph *g, id dy, id y, id *dk, id *dv);

/* ---- tables and noise ---- */
/*
 * ids I32 [1][1][n][t], table [1][1][rows][d] -> [n][1][t][d].
 * An id outside the table is the caller's error.
 */
id g_embed(struct graph *g, id ids, id table);
id g_embed_dw(struct graph *g, id ids, id dy, const int64_t table_dim[MAX_DIM]);
/*
 * Sinusoidal features of t (F32 [1][1][1][n]) -> [n][1][1][d]:
 * f_i = exp(-ln(max_period) i / (d/2 - freq_shift)), i < d/2; [cos(t f), sin(t f)] with
 * flip_sin_to_cos, else [sin, cos].
 */
id g_timestep(struct graph *g, id t, int64_t d, int flip_sin_to_cos, float freq_shift);
/*
 * y = x m / (1 - p), m = 1 where the uniform of element i is >= p. Philox: key = (key[0], key[1])
 * (the seed), counter = { i / 4, key[2] (item), key[3] (step), tag }, word i % 4,
 * uniform = (word >> 8) 2^-24. key: I32 [1][1][1][4] input.
 */
id g_dropout(struct graph *g, id x, id key, float p, uint32_t tag);

/* ---- loss and optimizer ---- */
/*
 * loss [1][1][1][1] = sum_n weight[n] mean_hwc (p - target)^2; weight [1][1][1][n].
 * mse_dx (in: p, target, weight, dloss).
 */
id g_mse(struct graph *g, id p, id target, id weight);
id g_mse_dx(struct graph *g, id p, id target, id weight, id dloss);
/* [1][1][1][1] = sum x^2, summed in f64 */
id g_sumsq(struct graph *g, id x);
/*
 * adamw, by effect: g' = g by min(1, max_norm / (sqrt(norm2) by + 1e-6)), without max_norm g by;
 *	w *= 1 - lr wd;  m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2
 *	w -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)
 * hyper F32 [1][1][1][HYPER] = { lr, b1, b2, eps, wd, c1 = 1 - b1^t, c2 = 1 - b2^t, max_norm, by }: by is
 * one over what the loss was multiplied by; max_norm 0: no clipping; lr == 0 with wd 0 still moves m, v.
 * accum, by effect: s = s + by * g;  ema, by effect: e = d e + (1 - d) w, d = decay[0] (F32
 * [1][1][1][1]).
 * adamw and ema change nothing where norm2, the gradients' sum of squares, is infinite or no number.
 */
#define HYPER 9
id g_adamw(struct graph *g, id w, id grad, id m, id v, id hyper, id norm2);
id g_accum(struct graph *g, id s, id grad, float by);
id g_ema(struct graph *g, id e, id w, id decay, id norm2);

#endif
