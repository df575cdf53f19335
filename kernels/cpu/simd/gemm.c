/*
 * Products of packed matrices: how K is cut, how rows and columns are dealt out to threads.
 *
 * Two ways to go about B. Shared: all threads pack pieces of it, wait, and read it all; right where
 * several blocks of rows use it. Own: a thread packs a panel just before it uses it, so that the
 * panel is still in its first-level cache; right where B is long and there is one block of rows
 * (64 pixels against 59 MB of weights), and for parts of K.
 */
#include <omp.h>
#include "kernels/cpu/simd/gemm.h"

#define SHARED_MAX (12 << 20)           /* bytes of packed B kept at a time */
#define COLUMNS    1280                 /* of C worked on while a block of A is packed */
#define FEW_TILES  32                   /* of C: below, long sums are cut into parts */

struct span { int64_t m0, m1, n0, n1; };

/* Length of a block of K: a function of k alone. */
static int64_t block_k(int64_t k)
{
	int64_t n = blocks_of(k, KC);

	return n < 1 ? VF : round_up(blocks_of(k, n), VF);
}

static int64_t parts_of(int64_t m, int64_t n, int64_t k)
{
	int64_t tiles = blocks_of(m, MR) * blocks_of(n, NR), most = blocks_of(k, block_k(k));

	return tiles >= FEW_TILES ? 1 : max64(1, min64(FEW_TILES / tiles, most));
}

static int64_t a_floats(int64_t m, int64_t k)
{
	return min64(MC, round_up(m, MR)) * block_k(k) + 64;
}

/* Floats of packed B kept at a time: whole blocks of K. */
static int64_t shared_floats(int64_t n, int64_t k)
{
	int64_t kc = block_k(k), wide = round_up(n, VF), blocks = blocks_of(k, kc);

	return max64(1, min64(blocks, SHARED_MAX / (kc * wide * 4))) * kc * wide;
}

static size_t partial_bytes(int64_t m, int64_t n, int64_t k)
{
	int64_t parts = parts_of(m, n, k);

	return parts > 1 ? aligned((size_t)(parts * m * n) * 4) : 0;
}

size_t product_scratch(int64_t m, int64_t n, int64_t k)
{
	size_t own = aligned((size_t)(a_floats(m, k) + block_k(k) * NR) * 4);

	return aligned((size_t)shared_floats(n, k) * 4) + partial_bytes(m, n, k) +
		(size_t)omp_get_max_threads() * own;
}

/* Rows [0, rows) of packed a times one panel of B. */
static void column_of_tiles(const struct product *p, enum a_form form, struct tile *t,
			    const float *a, int64_t i, int64_t rows, int64_t j, int64_t cols)
{
	tile_fn *const *fns = tile_fns[form][cols > VF];
	int64_t panel = form == A_ROWS ? MR * round_up(t->k, VF) : MR * t->k;

	t->tail = (int)(cols > VF ? cols - VF : cols);
	t->bias = t->add || !p->bias ? NULL : p->bias + j;
	for (int64_t q = 0; q < rows; q += MR, a += panel) {
		t->a = a;
		t->c = p->c + (i + q) * p->ldc + j;
		t->res = t->add || !p->res ? NULL : p->res + (i + q) * p->ldr + j;
		fns[min64(MR, rows - q)](t);
	}
}

static void pack_rows(const struct operand *a, enum a_form form, int64_t i, int64_t rows,
		      int64_t k0, int64_t kc, float *dst)
{
	int64_t panel = form == A_ROWS ? MR * round_up(kc, VF) : MR * kc;

	for (int64_t q = 0; q < rows; q += MR, dst += panel)
		pack_a(a, i + q, min64(MR, rows - q), k0, kc, dst);
}

/* Rows for one block: all blocks of a span about equally high. */
static int64_t block_rows(int64_t rows)
{
	return round_up(blocks_of(rows, blocks_of(rows, MC)), MR);
}

static enum a_form form_of(const struct product *p)
{
	return p->a.form == FORM_COLS ? A_COLS : A_ROWS;
}

/* C of the span, blocks of K from k0 to k1, with B packed from k0 on. */
static void with_shared(const struct product *p, const struct span *s, int64_t k0, int64_t k1,
			const float *b, float *a)
{
	enum a_form form = form_of(p);
	int64_t kc = block_k(p->k), wide = round_up(p->n, VF), high = block_rows(s->m1 - s->m0);
	struct tile t = { .ldc = p->ldc, .ldr = p->ldr };

	for (int64_t n0 = s->n0; n0 < s->n1; n0 += COLUMNS) {
		int64_t n1 = min64(s->n1, n0 + COLUMNS);

		for (int64_t i = s->m0; i < s->m1; i += high) {
			int64_t rows = min64(high, s->m1 - i);

			for (int64_t k = k0; k < k1; k += kc) {
				t.k = min64(kc, k1 - k);
				t.add = k > 0;
				pack_rows(&p->a, form, i, rows, k, t.k, a);
				for (int64_t j = n0; j < n1; j += NR) {
					t.b = b + (k - k0) * wide + j * t.k;
					column_of_tiles(p, form, &t, a, i, rows, j,
							min64(NR, n1 - j));
				}
			}
		}
	}
}

/* The same, packing each panel of B as it is needed; the sum begins at k0. */
static void with_own(const struct product *p, const struct span *s, int64_t k0, int64_t k1,
		     float *a, float *b)
{
	enum a_form form = form_of(p);
	int64_t kc = block_k(p->k), high = block_rows(s->m1 - s->m0);
	struct tile t = { .ldc = p->ldc, .ldr = p->ldr, .b = b };

	for (int64_t k = k0; k < k1; k += kc) {
		t.k = min64(kc, k1 - k);
		t.add = k > k0;
		for (int64_t i = s->m0; i < s->m1; i += high) {
			int64_t rows = min64(high, s->m1 - i);

			pack_rows(&p->a, form, i, rows, k, t.k, a);
			for (int64_t j = s->n0; j < s->n1; j += NR) {
				int64_t cols = min64(NR, s->n1 - j);

				pack_b(&p->b, j, cols, k, t.k, b);
				column_of_tiles(p, form, &t, a, i, rows, j, cols);
			}
		}
	}
}

/* Deal rows x columns out to a grid of threads: the one whose largest piece is smallest. */
static int grid_of(int64_t m, int64_t n, int threads)
{
	int64_t um = blocks_of(m, MR), un = blocks_of(n, NR), best = INT64_MAX;
	int rows = 1;

	for (int i = 1; i <= threads; i++) {
		int j = threads / i;
		/* a tile counts 64, packing its row or column 1 (shared by the tiles next to it) */
		int64_t hi = blocks_of(um, i), wi = blocks_of(un, j),
			cost = hi * wi * 64 + hi * 4 + wi;

		if (cost < best) {
			best = cost;
			rows = i;
		}
	}
	return rows;
}

static struct span span_of(const struct product *p, int rows, int columns, int at)
{
	int64_t um = blocks_of(p->m, MR), un = blocks_of(p->n, NR);
	int i = at / columns, j = at % columns;

	if (i >= rows)
		return (struct span){ 0 };
	return (struct span){
		.m0 = share(um, i, rows) * MR, .m1 = min64(p->m, share(um, i + 1, rows) * MR),
		.n0 = share(un, j, columns) * NR, .n1 = min64(p->n, share(un, j + 1, columns) * NR),
	};
}

/* Thread t's panels of B, blocks of K from k0 to k1. */
static void pack_share(const struct product *p, int64_t k0, int64_t k1, float *b, int at, int of)
{
	int64_t kc = block_k(p->k), wide = round_up(p->n, VF), across = blocks_of(p->n, NR);
	int64_t all = across * blocks_of(k1 - k0, kc);

	for (int64_t u = share(all, at, of); u < share(all, at + 1, of); u++) {
		int64_t k = k0 + u / across * kc, j = u % across * NR, n = min64(kc, k1 - k);

		pack_b(&p->b, j, min64(NR, p->n - j), k, n, b + (k - k0) * wide + j * n);
	}
}

static void run_shared(const struct product *p, float *b, float *a, int at, int of)
{
	int64_t wide = round_up(p->n, VF), chunk = shared_floats(p->n, p->k) / wide;
	int rows = grid_of(p->m, p->n, of);
	struct span s = span_of(p, rows, of / rows, at);

	for (int64_t k = 0; k < p->k; k += chunk) {
		int64_t end = min64(p->k, k + chunk);

		if (k > 0) {
#pragma omp barrier
		}
		pack_share(p, k, end, b, at, of);
#pragma omp barrier
		if (s.m1 > s.m0 && s.n1 > s.n0)
			with_shared(p, &s, k, end, b, a);
	}
}

/* Parts of K into partial[part][m][n], then their sum. */
static void run_parts(const struct product *p, int64_t parts, float *partial, float *a, float *b,
		      int at, int of)
{
	int64_t kc = block_k(p->k), blocks = blocks_of(p->k, kc);
	struct span all = { 0, p->m, 0, p->n };

	for (int64_t q = at; q < parts; q += of) {
		struct product one = *p;

		one.c = partial + q * p->m * p->n;
		one.ldc = p->n;
		one.bias = one.res = NULL;
		with_own(&one, &all, share(blocks, q, parts) * kc,
			 min64(p->k, share(blocks, q + 1, parts) * kc), a, b);
	}
#pragma omp barrier
	for (int64_t i = share(p->m, at, of); i < share(p->m, at + 1, of); i++)
		for (int64_t j = 0; j < p->n; j += VF) {
			int64_t n = p->n - j;
			vf sum = vf_load_n(partial + i * p->n + j, n);

			for (int64_t q = 1; q < parts; q++)
				sum += vf_load_n(partial + (q * p->m + i) * p->n + j, n);
			if (p->bias)
				sum += vf_load_n(p->bias + j, n);
			if (p->res)
				sum += vf_load_n(p->res + i * p->ldr + j, n);
			vf_store_n(p->c + i * p->ldc + j, sum, n);
		}
}

void product_run(const struct product *p)
{
	int64_t parts = parts_of(p->m, p->n, p->k);
	size_t own = aligned((size_t)(a_floats(p->m, p->k) + block_k(p->k) * NR) * 4);
	char *partial = (char *)p->scratch + aligned((size_t)shared_floats(p->n, p->k) * 4);
	char *mine = partial + partial_bytes(p->m, p->n, p->k);

#pragma omp parallel if (p->m * p->n * p->k >= SMALL_WORK)
	{
		int at = omp_get_thread_num(), of = omp_get_num_threads();
		float *a = (float *)(mine + (size_t)at * own),
		      *b = a + round_up(a_floats(p->m, p->k), 16);
		struct span s = span_of(p, 1, of, at);

		if (parts > 1)
			run_parts(p, parts, (float *)partial, a, b, at, of);
		else if (p->m <= MC && grid_of(p->m, p->n, of) == 1)
			with_own(p, &s, 0, p->k, a, b);
		else
			run_shared(p, p->scratch, a, at, of);
	}
}

#define SUM_ROWS 256

size_t column_scratch(int64_t m, int64_t n)
{
	int64_t rows = 0;

	while (m > SUM_ROWS)
		rows += m = blocks_of(m, SUM_ROWS);
	return aligned((size_t)(rows * n) * 4);
}

void column_sums(const float *x, int64_t m, int64_t n, float *out, void *scratch)
{
	int64_t blocks = blocks_of(m, SUM_ROWS);
	float *part = blocks > 1 ? scratch : out;

	PAR_FOR(m * n)
	for (int64_t b = 0; b < blocks; b++) {
		int64_t i1 = min64(m, (b + 1) * SUM_ROWS);

		for (int64_t j = 0; j < n; j += VF) {
			vf sum = vf_zero();

			for (int64_t i = b * SUM_ROWS; i < i1; i++)
				sum += vf_load_n(x + i * n + j, n - j);
			vf_store_n(part + b * n + j, sum, n - j);
		}
	}
	if (blocks > 1)
		column_sums(part, blocks, n, out, (float *)scratch + blocks * n);
}
