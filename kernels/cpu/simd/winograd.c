/*
 * Winograd forward and backward-data. Backward-data is the forward direction with the filter turned
 * by 180 degrees and its channels exchanged.
 *
 * Tiles go block by block: all threads transform the block's inputs into `v` (shared, about as much
 * as the last-level cache holds), then each takes panels of NR output channels: transforms their
 * filters, multiplies, transforms back. So transformed filters never leave the thread's caches, and
 * threads wait twice a block. The filters are transformed again for each block, which costs as much
 * as 5 tiles more.
 */
#include <omp.h>
#include "kernels/cpu/simd/winograd.h"

#define SHARED_MAX (12 << 20)           /* bytes of transformed inputs in a block */
#define TASK_TILES (8 * MR)             /* multiplied at a time by one thread */
/*
 * Below LEAST_TILES it is faster only where input times output channels are WIDE, and always less
 * exact.
 */
#define LEAST_TILES 64
#define WIDE        (512 * 512)
#define LEAST_WIDE  16
#define CHUNK       320                 /* input channels whose filters are transformed at a time */

int winograd_pays(const struct winograd *v)
{
	int64_t tiles = v->n * blocks_of(v->oh, 4) * blocks_of(v->ow, 4);

	/* tiles that hang over the edge may be a quarter of all at most */
	return v->c >= 16 && v->k >= 16 &&
		tiles >= (v->c * v->k >= WIDE ? LEAST_WIDE : LEAST_TILES) &&
		tiles * 16 * 3 <= v->n * v->oh * v->ow * 4;
}

/* What is convolved with what: sides in the direction of the computation. */
struct job {
	int64_t n, h, w, c, oh, ow, k, top, left;       /* c in, k out */
	int turned;                     /* w[c][2 - r][2 - s][k] instead of w[k][r][s][c] */
	const float *x, *f, *bias, *res;
	float *y;
	int64_t th, tw, tiles;
	int64_t block;                  /* tiles in a block, a multiple of MR */
	int64_t wide;                   /* c rounded up to whole vectors */
	int64_t chunk;                  /* input channels at a time */
	int64_t task;                   /* tiles at a time, of one thread */
	int64_t v_step, u_step, m_step; /* floats from one of the 36 to the next: no power of two */
};

static void job_plan(struct job *j)
{
	int64_t most;

	j->th = blocks_of(j->oh, 4);
	j->tw = blocks_of(j->ow, 4);
	j->tiles = j->n * j->th * j->tw;
	j->wide = round_up(j->c, VF);
	most = max64(TASK_TILES, SHARED_MAX / (144 * j->wide));
	j->block = round_up(blocks_of(j->tiles, blocks_of(j->tiles, most)), MR);
	j->chunk = round_up(blocks_of(j->c, blocks_of(j->c, CHUNK + 64)), VF);
	j->task = j->c > j->chunk ? j->block : TASK_TILES;
	j->v_step = j->block * j->wide + 48;
	j->u_step = j->chunk * NR + 48;
	j->m_step = j->task * NR + 48;
}

static size_t own_bytes(const struct job *j)
{
	return aligned((size_t)(36 * (j->u_step + j->m_step)) * 4);
}

static size_t job_scratch(struct job *j)
{
	job_plan(j);
	return aligned((size_t)(36 * j->v_step) * 4) + (size_t)omp_get_max_threads() * own_bytes(j);
}

/* Channels [q, q + VF) under tile `at` of the block (tile t of all) into v's A_ROWS panels. */
static void put_input(const struct job *j, int64_t t, int64_t at, int64_t q, float *v)
{
	struct wtile o = wtile_of(t, j->th, j->tw);
	float *d = v + at / MR * MR * j->wide + q * MR + at % MR * VF;
	vf r[36];

	input_tile(j->x + o.n * j->h * j->w * j->c + q, j->h, j->w, j->c, o.y - j->top,
		   o.x - j->left, j->c - q, r);
	UNROLL for (int i = 0; i < 6; i++)
		for (int e = 0; e < 6; e++)
			vf_store(d + (i * 6 + e) * j->v_step, r[i * 6 + e]);
}

INLINE void put_filter(const vf g[9], float *u, int64_t step)
{
	vf t[18], r[6];

	for (int s = 0; s < 3; s++)
		to_filter(g[s], g[3 + s], g[6 + s], t + s, 3);
	for (int i = 0; i < 6; i++) {
		to_filter(t[i * 3], t[i * 3 + 1], t[i * 3 + 2], r, 1);
		UNROLL for (int e = 0; e < 6; e++)
			vf_store(u + (i * 6 + e) * step, r[e]);
	}
}

/*
 * Filters of VF output channels from k on, at most n of them, input channels [c0, c1), into their
 * half of a B panel.
 */
static void put_filters(const struct job *j, int64_t c0, int64_t c1, int64_t k, int64_t n,
			int64_t width, float *u)
{
	if (j->turned) {
		for (int64_t c = c0; c < c1; c++) {
			vf g[9];

			for (int t = 0; t < 9; t++)
				g[t] = vf_load_n(j->f + (c * 9 + 8 - t) * j->k + k, n);
			put_filter(g, u + (c - c0) * width, j->u_step);
		}
		return;
	}
	for (int64_t c = c0; c < c1; c += VF) {
		vf g[9][VF];
		int64_t lanes = min64(VF, c1 - c);

		for (int t = 0; t < 9; t++) {
			for (int q = 0; q < VF; q++) {
				const float *f = j->f + ((k + q) * 9 + t) * j->c + c;

				__builtin_prefetch(f + 2 * VF);         /* rows lie pages apart */
				g[t][q] = q < n ? vf_load_n(f, lanes) : vf_zero();
			}
			vf_transpose(g[t]);
		}
		for (int64_t q = 0; q < lanes; q++) {
			vf one[9];

			for (int t = 0; t < 9; t++)
				one[t] = g[t][q];
			put_filter(one, u + (c - c0 + q) * width, j->u_step);
		}
	}
}

/* VF output channels of a tile from m, to the pixels that exist. */
static void put_output(const struct job *j, const float *m, int64_t t, int64_t k, int64_t n)
{
	struct wtile o = wtile_of(t, j->th, j->tw);
	vf p[24], r[16], bias = j->bias ? vf_load_n(j->bias + k, n) : vf_zero();

	for (int e = 0; e < 6; e++) {
		vf d[6];

		UNROLL for (int i = 0; i < 6; i++)
			d[i] = vf_load(m + (i * 6 + e) * j->m_step);
		to_output(d[0], d[1], d[2], d[3], d[4], d[5], p + e, 6);
	}
	for (int i = 0; i < 4; i++)
		to_output(p[i * 6], p[i * 6 + 1], p[i * 6 + 2], p[i * 6 + 3], p[i * 6 + 4],
			  p[i * 6 + 5], r + i * 4, 1);
	for (int i = 0; i < 4 && o.y + i < j->oh; i++)
		for (int e = 0; e < 4 && o.x + e < j->ow; e++) {
			int64_t to = ((o.n * j->oh + o.y + i) * j->ow + o.x + e) * j->k + k;
			vf y = r[i * 4 + e] + bias;

			if (j->res)
				y += vf_load_n(j->res + to, n);
			vf_store_n(j->y + to, y, n);
		}
}

/* The 36 products for input channels [c0, c1) and tiles [from, to) of the block. */
static void multiply(const struct job *j, int64_t c0, int64_t c1, int64_t width, int64_t from,
		     int64_t to, const float *v, const float *u, float *m)
{
	struct tile t = { .k = c1 - c0, .ldc = width, .tail = VF, .add = c0 > 0 };

	for (int q = 0; q < 36; q++) {
		t.b = u + q * j->u_step;
		for (int64_t i = from; i < to; i += MR) {
			t.a = v + q * j->v_step + i * j->wide + c0 * MR;
			t.c = m + q * j->m_step + (i - from) * width;
			tile_fns[A_ROWS][width > VF][min64(MR, to - i)](&t);
		}
	}
}

/*
 * Output channels [k, k + cols) of tiles [from, to) of the block that begins at tile t0. With few
 * channels in, u has all filters, made once for all tiles (`made`: they are there). With many, u
 * gets them chunk by chunk, and m holds all tiles.
 */
static void run_task(const struct job *j, int64_t k, int64_t cols, int64_t t0, int64_t from,
		     int64_t to, int made, const float *v, float *u, float *m)
{
	int64_t width = panel_width(cols);

	for (int64_t a = from; a < to; a += j->task) {
		int64_t end = min64(to, a + j->task);

		for (int64_t c = 0; c < j->c; c += j->chunk) {
			int64_t c1 = min64(j->c, c + j->chunk);

			for (int64_t q = 0; q < cols && !made; q += VF)
				put_filters(j, c, c1, k + q, cols - q, width, u + q);
			multiply(j, c, c1, width, a, end, v, u, m);
		}
		made = j->c <= j->chunk;
		for (int64_t i = a; i < end; i++)
			for (int64_t q = 0; q < cols; q += VF)
				put_output(j, m + (i - a) * width + q, t0 + i, k + q, cols - q);
	}
}

/* Into how many parts a block's tiles are cut so that all threads have about equally much to do. */
static int64_t cuts_of(int64_t panels, int64_t rows, int threads)
{
	int64_t best = 1, least = INT64_MAX;

	for (int64_t cuts = 1; cuts <= 8 && cuts <= rows; cuts++) {
		/* rows of MR tiles in a task, and its filters' transform (5 tiles' worth) */
		int64_t cost = blocks_of(panels * cuts, threads) * (blocks_of(rows, cuts) * 3 + 1);

		if (cost < least) {
			least = cost;
			best = cuts;
		}
	}
	return best;
}

/* One thread's share of a block of tiles [t0, t0 + n). */
static void run_block(const struct job *j, int64_t t0, int64_t n, float *v, float *own, int at,
		      int of)
{
	int64_t groups = j->wide / VF, panels = blocks_of(j->k, NR), rows = blocks_of(n, MR),
		cuts = cuts_of(panels, rows, of);
	float *u = own, *m = own + 36 * j->u_step;

	for (int64_t i = share(n * groups, at, of); i < share(n * groups, at + 1, of); i++)
		put_input(j, t0 + i / groups, i / groups, i % groups * VF, v);
#pragma omp barrier
	for (int64_t i = share(panels * cuts, at, of), last = -1;
	     i < share(panels * cuts, at + 1, of); i++) {
		int64_t panel = i / cuts, k = panel * NR, cols = min64(NR, j->k - k),
			cut = i % cuts;

		run_task(j, k, cols, t0, share(rows, cut, cuts) * MR,
			 min64(n, share(rows, cut + 1, cuts) * MR),
			 panel == last && j->c <= j->chunk, v, u, m);
		last = panel;
	}
#pragma omp barrier
}

static void job_run(struct job *j, void *scratch)
{
	float *v = scratch;
	char *own;

	job_plan(j);
	own = (char *)scratch + aligned((size_t)(36 * j->v_step) * 4);
#pragma omp parallel if (36 * j->tiles * j->c * j->k >= SMALL_WORK)
	for (int64_t t = 0; t < j->tiles; t += j->block)
		run_block(j, t, min64(j->block, j->tiles - t), v,
			  (float *)(own + (size_t)omp_get_thread_num() * own_bytes(j)),
			  omp_get_thread_num(), omp_get_num_threads());
}

static struct job forward(const struct winograd *v)
{
	return (struct job){
		.n = v->n, .h = v->h, .w = v->w, .c = v->c, .oh = v->oh, .ow = v->ow, .k = v->k,
		.top = v->top, .left = v->left,
	};
}

static struct job backward(const struct winograd *v)
{
	return (struct job){
		.n = v->n, .h = v->oh, .w = v->ow, .c = v->k, .oh = v->h, .ow = v->w, .k = v->c,
		.top = 2 - v->top, .left = 2 - v->left, .turned = 1,
	};
}

size_t winograd_scratch(const struct winograd *v)
{
	struct job j = forward(v);

	return job_scratch(&j);
}

size_t winograd_dx_scratch(const struct winograd *v)
{
	struct job j = backward(v);

	return job_scratch(&j);
}

void winograd_forward(const struct winograd *v, const float *x, const float *w, const float *bias,
		      const float *res, float *y, void *scratch)
{
	struct job j = forward(v);

	j.x = x;
	j.f = w;
	j.bias = bias;
	j.res = res;
	j.y = y;
	job_run(&j, scratch);
}

void winograd_dx(const struct winograd *v, const float *dy, const float *w, const float *res,
		 float *dx, void *scratch)
{
	struct job j = backward(v);

	j.x = dy;
	j.f = w;
	j.res = res;
	j.y = dx;
	job_run(&j, scratch);
}
