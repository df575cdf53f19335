/*
 * Computing in bf16 and fp16: the words, weights held in 16 bits, the loss' scale, and steps that are
 * skipped because their gradients are infinite.
 */
#include "tests/test.h"

#include <math.h>

#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "kernels/run/loss_scale.h"
#include "kernels/run/precision.h"
#include "tests/small_step.h"

/* ---- words ---- */

static void words(void)
{
	struct backend *b = NULL;
	enum dtype t = DT_NONE;
	struct err e = { "" };

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(precision_use(b, NULL, &t, &e), e);
	CHECK_INT(t, DT_F32);
	CHECK_OK(precision_use(b, "bf16", &t, &e), e);
	CHECK_INT(t, DT_BF16);
	CHECK_OK(precision_use(b, "fp16", &t, &e), e);
	CHECK_INT(t, DT_F16);
	CHECK(precision_use(b, "f16", &t, &e) < 0);
	CHECK_STR(e.text, "unknown precision 'f16', wanted f32, tf32, bf16 or fp16");
	CHECK(precision_use(b, "tf32", &t, &e) < 0);
	CHECK_STR(e.text, "--precision tf32 is for GPUs: the CPU computes in f32, bf16 or fp16");
	b->name = "cuda";
	strcpy(b->device, "cuda:0, Tesla T4, 15109 MB");
	CHECK(precision_use(b, "tf32", &t, &e) < 0);
	CHECK_STR(e.text, "cuda:0, Tesla T4, 15109 MB can't compute in tf32, which takes compute capability 8.0: use --precision fp16 or f32");
	b->lacks = 0;
	CHECK_OK(precision_use(b, "tf32", &t, &e), e);
	CHECK(t == DT_F32 && b->tf32);
	b->close(b);
}

/* f32 is what was done before there was the option, and stays out of the key. */
static void key(void)
{
	const char *word = "f32";
	const struct opt row = PRECISION_ROW(&word);
	struct buf out = { 0 };

	CHECK_INT(opt_value(&row, &out), -1);
	word = "f";
	CHECK_INT(opt_value(&row, &out), 0);
	word = "fp16";
	buf_release(&out);
	CHECK_INT(opt_value(&row, &out), 0);
	CHECK_STR(buf_str(&out), "fp16");
	buf_release(&out);
}

/* ---- the scale ---- */

static void scale(void)
{
	struct loss_scale s;

	loss_scale_begin(&s);
	CHECK(s.scale == 65536 && !s.good && !s.skipped);
	for (int i = 0; i < 1999; i++)
		loss_scale_next(&s, 1);
	CHECK(s.scale == 65536);
	loss_scale_next(&s, 0);
	CHECK(s.scale == 32768 && s.skipped == 1);
	for (int i = 0; i < 1999; i++)
		loss_scale_next(&s, 1);
	CHECK(s.scale == 32768);
	loss_scale_next(&s, 1);
	CHECK(s.scale == 65536 && s.good == 0 && s.skipped == 1);
	for (int i = 0; i < 2000 * 200; i++)
		loss_scale_next(&s, 1);
	CHECK(isfinite(s.scale) && 1 / s.scale > 0);
}

/* ---- the pool ---- */

static void pool_holds_16_bits(void)
{
	static const float v[6] = { 1, -.333333f, 65504, 1e-7f, 3, 4 };
	struct tensor t = { DT_F32, 2, { 2, 3 }, v, NULL }, got = { 0 };
	struct graph g = { 0 };
	struct pool p = { 0 };
	struct backend *b = NULL;
	struct err e = { "" };
	uint16_t want[6];

	g_weight(&g, "unet.to_q.weight", (int64_t[]){ 1, 1, 2, 3 }, 0);
	g.node[0].type = DT_F16;
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(pool_declare(&p, &g, &e), e);
	CHECK_INT(pool_bytes(&p), 64);
	CHECK_OK(pool_place(&p, b, &e), e);
	CHECK_OK(pool_put(&p, p.entry, &t, &e), e);
	row_from_f32(want, DT_F16, v, 6);
	CHECK(!memcmp(p.memory, want, sizeof want));
	CHECK_OK(pool_get(&p, p.entry, &got, &e), e);
	for (int i = 0; i < 6; i++)
		CHECK(((const float *)got.at)[i] == f16_to_f32(want[i]));
	t.at = (const float[6]){ 1, 2, 3, 4, -65520, 6 };
	CHECK(pool_put(&p, p.entry, &t, &e) < 0);
	CHECK_STR(e.text, "weight 'unet.to_q.weight' does not fit into fp16: element 4 is -65520; --precision bf16 or f32 takes it");
	CHECK(!p.entry[0].set);
	g.node[0].type = DT_F32;
	CHECK(pool_declare(&p, &g, &e) < 0);
	CHECK_STR(e.text, "'unet.to_q.weight' is F16 in one graph and F32 in another");
	tensor_release(&got);
	pool_release(&p);
	graph_release(&g);
	b->close(b);
}

/* A filter is turned before it is rounded, piece by piece. */
static void pool_turns_filters_in_16_bits(void)
{
	struct tensor t = { 0 }, got = { 0 };
	struct rng r = rng_stream(1, "filter", 0, 0);
	struct graph g = { 0 };
	struct pool p = { 0 };
	struct backend *b = NULL;
	struct err e = { "" };
	void *v;
	int bad = 0;

	CHECK_OK(tensor_new(&t, DT_F32, 4, (int64_t[]){ 40, 512, 3, 3 }, &v, &e), e);
	rng_normal(&r, v, tensor_count(&t));
	g_weight(&g, "unet.conv.weight", (int64_t[]){ 40, 3, 3, 512 }, 0);
	g.node[0].type = DT_BF16;
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(pool_declare(&p, &g, &e), e);
	CHECK_OK(pool_place(&p, b, &e), e);
	CHECK_OK(pool_put(&p, p.entry, &t, &e), e);
	CHECK_OK(pool_get(&p, p.entry, &got, &e), e);
	for (int64_t i = 0; i < tensor_count(&t); i++)
		bad += ((const float *)got.at)[i] != bf16_to_f32(bf16_of_f32(((const float *)v)[i]));
	CHECK_INT(bad, 0);
	tensor_release(&t);
	tensor_release(&got);
	pool_release(&p);
	graph_release(&g);
	b->close(b);
}

/* ---- steps ---- */

/* Losses and norms of five steps near f32's: not nearer, since every step moves weights by its rate. */
static void steps_near_f32(void)
{
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
	static const double tol[] = { 0, 1e-2, 2e-3 };
	float loss[3][5], norm[3][5], held[3];

	for (int k = 0; k < 3; k++) {
		struct backend *b = NULL;
		struct small x;
		struct err e = { "" };

		CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
		small_open(&x, b, types[k], 0, 0, &e);
		for (int i = 0; i < 5; i++)
			small_step(&x, i + 1, LOSS_SCALE_BEGIN, &loss[k][i], &norm[k][i], &e);
		CHECK_OK(trainer_run(&x.t, 1, &x.batch, NULL, &held[k], NULL, &e), e);
		for (int i = 0; i < 5; i++) {
			CHECK_NEAR(loss[k][i], loss[0][i], tol[k] * (double)loss[0][i]);
			CHECK_NEAR(norm[k][i], norm[0][i], 5 * tol[k] * (double)norm[0][i]);
			CHECK(!k || loss[k][i] != loss[0][i]);
		}
		CHECK_NEAR(held[k], held[0], tol[k] * (double)held[0]);
		small_close(&x);
	}
}

/* What a training keeps between steps, as bytes. */
static void *snapshot(const struct small *x)
{
	return memcpy(xmalloc(x->t.pool.bytes), x->t.pool.memory, x->t.pool.bytes);
}

static void overflow(int lora, int accumulate)
{
	struct backend *b = NULL;
	float loss, first, norm;
	struct err e = { "" };
	struct small x;
	void *before;

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	small_open(&x, b, DT_F16, lora, accumulate, &e);
	small_step(&x, 1, LOSS_SCALE_BEGIN, &first, &norm, &e);
	CHECK(isfinite(norm) && norm > 0);
	before = snapshot(&x);
	small_step(&x, 2, 0x1p100f, &loss, &norm, &e);
	CHECK(!isfinite(norm));
	CHECK(isfinite(loss));
	CHECK(!memcmp(before, x.t.pool.memory, x.t.pool.bytes));
	small_step(&x, 2, LOSS_SCALE_BEGIN, &loss, &norm, &e);
	CHECK(isfinite(norm));
	CHECK(memcmp(before, x.t.pool.memory, x.t.pool.bytes));
	free(before);
	small_close(&x);
}

static void overflow_changes_nothing(void)
{
	overflow(0, 0);
	overflow(0, 1);
	overflow(1, 0);
	overflow(1, 1);
}

/* The scale is a power of two: in f32 arithmetic it would change no bit, in fp16 it saves small gradients. */
static void scale_saves_small_gradients(void)
{
	struct backend *b = NULL;
	struct small x;
	struct err e = { "" };
	float loss, norm[3];

	for (int k = 0; k < 3; k++) {
		CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
		small_open(&x, b, k ? DT_F16 : DT_F32, 0, 0, &e);
		for (int i = 0; i < SMALL_PICTURES; i++)
			x.weight[i] *= 1e-5f;
		small_step(&x, 1, k == 1 ? LOSS_SCALE_BEGIN : 1, &loss, &norm[k], &e);
		small_close(&x);
	}
	CHECK_NEAR(norm[1], norm[0], 1e-2 * (double)norm[0]);
	CHECK(fabsf(norm[2] - norm[0]) > 3e-2f * norm[0]);
}

/* Frozen weights take half the memory, and they alone. */
static void memory(void)
{
	struct backend *a = NULL, *b = NULL;
	struct err e = { "" };
	struct small wide, narrow;
	size_t frozen = 0, learns = 0;

	CHECK_OK(cpu_open(&a, 1, NULL, &e), e);
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	small_open(&wide, a, DT_F32, 1, 0, &e);
	small_open(&narrow, b, DT_BF16, 1, 0, &e);
	for (size_t i = 0; i < narrow.t.pool.n; i++) {
		const struct pool_entry *w = &narrow.t.pool.entry[i];
		int is_frozen = w->kind == OP_WEIGHT && !starts_with(w->name, "lora.");

		CHECK_INT(w->type, is_frozen ? DT_BF16 : DT_F32);
		*(is_frozen ? &frozen : &learns) += (size_t)(w->dim[0] * w->dim[1] * w->dim[2] * w->dim[3]) * 4;
	}
	CHECK(wide.t.pool.bytes >= frozen + learns);
	CHECK(narrow.t.pool.bytes >= frozen / 2 + learns);
	CHECK(narrow.t.pool.bytes < wide.t.pool.bytes - frozen / 2 + narrow.t.pool.n * 64);
	CHECK(narrow.t.arena.bytes < wide.t.arena.bytes);
	small_close(&wide);
	small_close(&narrow);
}

int main(void)
{
	TEST(words);
	TEST(key);
	TEST(scale);
	TEST(pool_holds_16_bits);
	TEST(pool_turns_filters_in_16_bits);
	TEST(steps_near_f32);
	TEST(overflow_changes_nothing);
	TEST(scale_saves_small_gradients);
	TEST(memory);
	return test_end();
}
