/*
 * Inside one instruction set's build: 3x3 convolutions with stride 1 by Winograd's minimal
 * filtering F(4x4, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural networks",
 * 2015). A tile of 4x4 results comes from 6x6 inputs; with the transforms
 *
 *	Y = A^T [ (G g G^T) . (B^T d B) ] A
 *
 * the sum over channels becomes 36 matrix products over tiles, 4 times fewer multiplications than
 * the direct way. Interpolation points 0, +-5/8, +-3/2 and infinity, which round less than the
 * textbook's 0, +-1, +-2 (relative error about 1e-6). The gradient of g, summed over tiles, is
 *
 *	G^T [ (B^T d B) . (A dY A^T) ] G
 */
#ifndef CPU_SIMD_WINOGRAD_H
#define CPU_SIMD_WINOGRAD_H

#include "kernels/cpu/simd/gemm.h"

struct winograd {                       /* a convolution's shape, as in the forward direction */
	int64_t n, h, w, c, k, oh, ow, top, left;
	int pays;
};

#define winograd_pays       ISA_NAME(winograd_pays)
#define winograd_scratch    ISA_NAME(winograd_scratch)
#define winograd_dx_scratch ISA_NAME(winograd_dx_scratch)
#define winograd_dw_scratch ISA_NAME(winograd_dw_scratch)
#define winograd_forward    ISA_NAME(winograd_forward)
#define winograd_dx         ISA_NAME(winograd_dx)
#define winograd_dw         ISA_NAME(winograd_dw)

/* Is it faster than the direct way? By shape alone. */
int winograd_pays(const struct winograd *v);

size_t winograd_scratch(const struct winograd *v);
size_t winograd_dx_scratch(const struct winograd *v);
size_t winograd_dw_scratch(const struct winograd *v);
void winograd_forward(const struct winograd *v, const float *x, const float *w, const float *bias,
		      const float *res, float *y, void *scratch);
void winograd_dx(const struct winograd *v, const float *dy, const float *w, const float *res,
		 float *dx, void *scratch);
void winograd_dw(const struct winograd *v, const float *x, const float *dy, float *dw,
		 void *scratch);

/* ---- shared by winograd.c and winograd_dw.c ---- */

#define WA 0.625f
#define WB 1.5f
#define WA2 (WA * WA)
#define WB2 (WB * WB)
/* 1 over the product of a point's distances from the others */
#define WNA (1 / (2 * WA2 * (WA2 - WB2)))
#define WNB (1 / (2 * WB2 * (WB2 - WA2)))

/* Each works on one line; results go `s` apart. */
INLINE void to_input(vf d0, vf d1, vf d2, vf d3, vf d4, vf d5, vf *r, int s)           /* B^T d */
{
	vf p = d4 - WB2 * d2, q = WA * (d3 - WB2 * d1), u = d4 - WA2 * d2, v = WB * (d3 - WA2 * d1);

	r[0] = WA2 * WB2 * d0 + (d4 - (WA2 + WB2) * d2);
	r[s] = p + q;
	r[2 * s] = p - q;
	r[3 * s] = u + v;
	r[4 * s] = u - v;
	r[5 * s] = WA2 * WB2 * d1 + (d5 - (WA2 + WB2) * d3);
}

INLINE void to_filter(vf g0, vf g1, vf g2, vf *r, int s)                                /* G g */
{
	vf p = WNA * (g0 + WA2 * g2), q = (WNA * WA) * g1, u = WNB * (g0 + WB2 * g2),
	   v = (WNB * WB) * g1;

	r[0] = 1 / (WA2 * WB2) * g0;
	r[s] = p + q;
	r[2 * s] = p - q;
	r[3 * s] = u + v;
	r[4 * s] = u - v;
	r[5 * s] = g2;
}

INLINE void to_output(vf m0, vf m1, vf m2, vf m3, vf m4, vf m5, vf *r, int s)          /* A^T m */
{
	vf p = m1 + m2, q = m1 - m2, u = m3 + m4, v = m3 - m4;

	r[0] = m0 + (p + u);
	r[s] = WA * q + WB * v;
	r[2 * s] = WA2 * p + WB2 * u;
	r[3 * s] = m5 + (WA2 * WA * q + WB2 * WB * v);
}

INLINE void from_output(vf y0, vf y1, vf y2, vf y3, vf *r, int s)                       /* A y */
{
	vf p = y0 + WA2 * y2, q = WA * y1 + WA2 * WA * y3, u = y0 + WB2 * y2,
	   v = WB * y1 + WB2 * WB * y3;

	r[0] = y0;
	r[s] = p + q;
	r[2 * s] = p - q;
	r[3 * s] = u + v;
	r[4 * s] = u - v;
	r[5 * s] = y3;
}

INLINE void from_filter(vf u0, vf u1, vf u2, vf u3, vf u4, vf u5, vf *r, int s)        /* G^T u */
{
	vf p = WNA * (u1 + u2), q = (WNA * WA) * (u1 - u2), u = WNB * (u3 + u4),
	   v = (WNB * WB) * (u3 - u4);

	r[0] = 1 / (WA2 * WB2) * u0 + (p + u);
	r[s] = q + v;
	r[2 * s] = u5 + (WA2 * p + WB2 * u);
}

/* Where tile t of a picture's th x tw tiles lies. */
struct wtile { int64_t n, y, x; };

static inline struct wtile wtile_of(int64_t t, int64_t th, int64_t tw)
{
	return (struct wtile){ t / tw / th, t / tw % th * 4, t % tw * 4 };
}

/*
 * 6x6 pixels of n channels from (y, x), zero outside of h x w, transformed; `at`: the picture at
 * its first channel.
 */
INLINE void input_tile(const float *at, int64_t h, int64_t w, int64_t c, int64_t y, int64_t x,
		       int64_t n, vf out[36])
{
	vf t[36];
	int inside = y >= 0 && x >= 0 && y + 6 <= h && x + 6 <= w && n >= VF;

	for (int j = 0; j < 6; j++) {
		vf d[6];

		if (inside) {
			UNROLL for (int i = 0; i < 6; i++)
				d[i] = vf_load(at + ((y + i) * w + x + j) * c);
		} else {
			UNROLL for (int i = 0; i < 6; i++) d[i] =
				y + i < 0 || y + i >= h || x + j < 0 || x + j >= w ?
				vf_zero() :
				vf_load_n(at + ((y + i) * w + x + j) * c, n);
		}
		to_input(d[0], d[1], d[2], d[3], d[4], d[5], t + j, 6);
	}
	for (int i = 0; i < 6; i++)
		to_input(t[i * 6], t[i * 6 + 1], t[i * 6 + 2], t[i * 6 + 3], t[i * 6 + 4],
			 t[i * 6 + 5], out + i * 6, 1);
}

#endif
