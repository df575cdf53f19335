/*
 * Whole training steps in bf16 and fp16 by the CUDA backend's own kernels on the host, beside the
 * CPU's: operands of different types as lowering leaves them (kernels/ir/lower.h), casts, the loss' scale
 * and the optimizer. Both widen, compute in f32 and round once, but for attention's probabilities.
 */
#include "kernels/cuda/host/host.h"
#include "kernels/run/loss_scale.h"
#include "tests/small_step.h"

static void train(struct backend *b, enum dtype type, int lora, float loss[2], float norm[2])
{
	struct err e = { "" };
	struct small x;

	small_open(&x, b, type, lora, 0, &e);
	small_step(&x, 1, 0x1p100f, &loss[0], &norm[0], &e);    /* skipped in fp16 */
	small_step(&x, 2, LOSS_SCALE_BEGIN, &loss[1], &norm[1], &e);
	small_close(&x);
}

/* whole: with a library for convolutions and attention, whose place loops take. */
static void beside(enum dtype type, int lora, int whole, double tol)
{
	struct backend *cpu = NULL, *gpu = NULL;
	float want[2], got[2], want_norm[2], got_norm[2];
	struct err e = { "" };

	CHECK_OK(cpu_open(&cpu, 1, NULL, &e), e);
	CHECK_OK(host_cuda_open(&gpu, HOST_FORWARD, &e), e);
	if (whole)
		host_cuda_dnn(gpu, 0);
	train(cpu, type, lora, want, want_norm);
	train(gpu, type, lora, got, got_norm);
	CHECK(isfinite(want_norm[0]) == (type != DT_F16));
	CHECK(isfinite(got_norm[0]) == (type != DT_F16));
	for (int i = 0; i < 2; i++) {
		CHECK_NEAR(got[i], want[i], tol * (double)want[i]);
		if (isfinite(want_norm[i]))
			CHECK_NEAR(got_norm[i], want_norm[i], tol * (double)want_norm[i]);
	}
}

static void bf16(void) { beside(DT_BF16, 0, 0, 4e-3); }
static void f16_lora(void) { beside(DT_F16, 1, 0, 5e-4); }
static void bf16_whole(void) { beside(DT_BF16, 0, 1, 4e-3); }
static void f16_lora_whole(void) { beside(DT_F16, 1, 1, 5e-4); }

int main(void)
{
	TEST(bf16);
	TEST(f16_lora);
	TEST(bf16_whole);
	TEST(f16_lora_whole);
	return test_end();
}
