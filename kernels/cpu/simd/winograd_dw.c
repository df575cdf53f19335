/*
 * Winograd backward-weights: 36 products over tiles of transformed dy (rows: output channels) and
 * transformed x (columns: input channels), then back to 3x3.
 *
 * One task is up to 8 panels of rows and one panel of columns: its 36 sums stay with one thread.
 * Where all transformed tiles fit into a block, sums live in the thread's caches and are
 * transformed back at once. Otherwise they are kept for all tasks and grow block by block, in the
 * same order.
 */
#include <omp.h>
#include "kernels/cpu/simd/winograd.h"

#define SHARED_MAX ((int64_t)24 << 20)  /* bytes of transformed tiles, in one of several blocks */
#define TASK_ROWS  8                    /* panels of rows in a task */
#define RUN        256                  /* tiles in one sum: short ones round less and fit caches */

struct job {
	struct winograd is;
	const float *x, *dy;
	float *dw;
	int64_t th, tw, tiles, block, blocks;
	int64_t rows, cols;             /* panels of output and input channels */
	int64_t tasks, row_tasks, task_rows;
	int64_t a_panel, b_panel;       /* floats in a panel of a block */
	int64_t a_step, b_step, c_step; /* floats from one of the 36 to the next */
};

static struct job plan(const struct winograd *v)
{
	struct job j = { .is = *v, .th = blocks_of(v->oh, 4), .tw = blocks_of(v->ow, 4) };
	int64_t wide = round_up(v->c, NR) + round_up(v->k, MR), whole, sums;

	j.tiles = v->n * j.th * j.tw;
	whole = j.tiles * wide * 144;
	sums = v->c * v->k * 144;
	j.blocks = whole <= 2 * SHARED_MAX || whole <= sums + SHARED_MAX ?
		1 :
		blocks_of(whole, SHARED_MAX);
	j.block = blocks_of(j.tiles, j.blocks);
	j.blocks = blocks_of(j.tiles, j.block);
	j.rows = blocks_of(v->k, MR);
	j.cols = blocks_of(v->c, NR);
	j.row_tasks = blocks_of(j.rows, TASK_ROWS);
	j.task_rows = blocks_of(j.rows, j.row_tasks);
	j.tasks = j.row_tasks * j.cols;
	j.a_panel = j.block * MR + 32;
	j.b_panel = j.block * NR + 16;
	j.a_step = j.rows * j.a_panel;
	j.b_step = j.cols * j.b_panel;
	j.c_step = j.task_rows * MR * NR + 48;
	return j;
}

static size_t a_bytes(const struct job *j)
{
	return aligned((size_t)(36 * j->a_step) * 4);
}

static size_t b_bytes(const struct job *j)
{
	return aligned((size_t)(36 * j->b_step) * 4);
}

static size_t sum_bytes(const struct job *j)
{
	return aligned((size_t)(36 * j->c_step) * 4);
}

size_t winograd_dw_scratch(const struct winograd *v)
{
	struct job j = plan(v);

	return a_bytes(&j) + b_bytes(&j) +
		(size_t)(j.blocks > 1 ? j.tasks : omp_get_max_threads()) * sum_bytes(&j);
}

/* Panel p of the output channels of tile t: 4x4 pixels of dy, zero beyond the edge. */
static void put_dy(const struct job *j, int64_t t, int64_t at, int64_t p, int last, float *a)
{
	const struct winograd *v = &j->is;
	struct wtile o = wtile_of(t, j->th, j->tw);
	int64_t k = p * MR, n = min64(MR, v->k - k);
	float *d = a + p * j->a_panel + at * MR;
	vf q[24], r[6];

	for (int e = 0; e < 4; e++) {
		vf y[4];

		UNROLL for (int i = 0; i < 4; i++) y[i] = o.y + i >= v->oh || o.x + e >= v->ow ?
			vf_zero() :
			vf_load_n(j->dy + ((o.n * v->oh + o.y + i) * v->ow + o.x + e) * v->k + k,
				  n);
		from_output(y[0], y[1], y[2], y[3], q + e, 4);
	}
	for (int i = 0; i < 6; i++) {
		from_output(q[i * 4], q[i * 4 + 1], q[i * 4 + 2], q[i * 4 + 3], r, 1);
		UNROLL for (int e = 0; e < 6; e++) {
			/* whole vectors: what is beyond MR is the next tile's, which comes later */
			if (last)
				vf_store_n(d + (i * 6 + e) * j->a_step, r[e], MR);
			else
				vf_store(d + (i * 6 + e) * j->a_step, r[e]);
		}
	}
}

static void put_x(const struct job *j, int64_t t, int64_t at, int64_t c, float *b)
{
	const struct winograd *v = &j->is;
	struct wtile o = wtile_of(t, j->th, j->tw);
	int64_t width = panel_width(min64(NR, v->c - c / NR * NR));
	float *d = b + c / NR * j->b_panel + at * width + c % NR;
	vf r[36];

	input_tile(j->x + o.n * v->h * v->w * v->c + c, v->h, v->w, v->c, o.y - v->top,
		   o.x - v->left, v->c - c, r);
	UNROLL for (int i = 0; i < 6; i++)
		for (int e = 0; e < 6; e++)
			vf_store(d + (i * 6 + e) * j->b_step, r[i * 6 + e]);
}

/* Task i's sums over a block. */
static void multiply(const struct job *j, int64_t i, int64_t n, int add, const float *a,
		     const float *b, float *c)
{
	int64_t col = i / j->row_tasks, r0 = i % j->row_tasks * j->task_rows,
		r1 = min64(j->rows, r0 + j->task_rows);
	int64_t width = panel_width(j->is.c - col * NR);
	struct tile t = { .ldc = width, .tail = VF };

	for (int q = 0; q < 36; q++)
		for (int64_t k = 0; k < n; k += RUN) {
			t.k = min64(RUN, n - k);
			t.add = add || k > 0;
			t.b = b + q * j->b_step + col * j->b_panel + k * width;
			for (int64_t r = r0; r < r1; r++) {
				t.a = a + q * j->a_step + r * j->a_panel + k * MR;
				t.c = c + q * j->c_step + (r - r0) * MR * width;
				tile_fns[A_COLS][width > VF][min64(MR, j->is.k - r * MR)](&t);
			}
		}
}

static void put_dw(const struct job *j, int64_t i, const float *c)
{
	int64_t col = i / j->row_tasks, k0 = i % j->row_tasks * j->task_rows * MR;
	int64_t k1 = min64(j->is.k, k0 + j->task_rows * MR),
		width = panel_width(j->is.c - col * NR);

	for (int64_t k = k0; k < k1; k++)
		for (int64_t q = 0; q < width && col * NR + q < j->is.c; q += VF) {
			const float *from = c + (k - k0) * width + q;
			float *to = j->dw + k * 9 * j->is.c + col * NR + q;
			vf p[18], r[3];

			for (int e = 0; e < 6; e++) {
				vf u[6];

				UNROLL for (int y = 0; y < 6; y++)
					u[y] = vf_load(from + (y * 6 + e) * j->c_step);
				from_filter(u[0], u[1], u[2], u[3], u[4], u[5], p + e, 6);
			}
			for (int y = 0; y < 3; y++) {
				from_filter(p[y * 6], p[y * 6 + 1], p[y * 6 + 2], p[y * 6 + 3],
					    p[y * 6 + 4], p[y * 6 + 5], r, 1);
				for (int s = 0; s < 3; s++)
					vf_store_n(to + (y * 3 + s) * j->is.c, r[s],
						   j->is.c - col * NR - q);
			}
		}
}

/* Transform one thread's share of tiles [t0, t0 + n). */
static void transform(const struct job *j, int64_t t0, int64_t n, float *a, float *b, int at,
		      int of)
{
	int64_t groups = blocks_of(j->is.c, VF), cuts = min64(n, blocks_of(of, j->rows) * 4);

	for (int64_t i = share(n * groups, at, of); i < share(n * groups, at + 1, of); i++)
		put_x(j, t0 + i / groups, i / groups, i % groups * VF, b);
	for (int64_t i = share(j->rows * cuts, at, of); i < share(j->rows * cuts, at + 1, of);
	     i++) {
		int64_t end = share(n, i % cuts + 1, cuts);

		for (int64_t t = share(n, i % cuts, cuts); t < end; t++)
			put_dy(j, t0 + t, t, i / cuts, t == end - 1, a);
	}
}

void winograd_dw(const struct winograd *v, const float *x, const float *dy, float *dw,
		 void *scratch)
{
	struct job j = plan(v);
	float *a = scratch, *b = (float *)((char *)scratch + a_bytes(&j));
	char *sums = (char *)b + b_bytes(&j);

	j.x = x;
	j.dy = dy;
	j.dw = dw;
#pragma omp parallel if (36 * j.tiles * v->c * v->k >= SMALL_WORK)
	for (int64_t t = 0; t < j.tiles; t += j.block) {
		int at = omp_get_thread_num(), of = omp_get_num_threads();
		int64_t n = min64(j.block, j.tiles - t);

		transform(&j, t, n, a, b, at, of);
#pragma omp barrier
		for (int64_t i = share(j.tasks, at, of); i < share(j.tasks, at + 1, of); i++) {
			float *c =
				(float *)(sums + (size_t)(j.blocks > 1 ? i : at) * sum_bytes(&j));

			multiply(&j, i, n, t > 0, a, b, c);
			if (t + n == j.tiles)
				put_dw(&j, i, c);
		}
#pragma omp barrier
	}
}
