/*
 * Every op on the device that BOOTH_TEST_DEVICE names, in f32, bf16 and f16: each case against plain loops
 * in f64, twice for the same bytes, and again with fewer results and in an input's place (kernels_run.h);
 * and ops of Stable Diffusion's own sizes against the CPU's kernels. Numbers are others for every
 * BOOTH_TEST_SEED. Without a device: some of the cases on the CUDA kernels over the host's layer.
 */
#include <unistd.h>

#include "kernels/run/device.h"
#include "tests/kernels_run.h"
#include "tests/cuda_edges.h"

#define SOME 9                  /* one of so many cases where there is no device */

static struct backend *device;
static int real;

/* As Stable Diffusion 1 and 2 have them, one of each kind and level. */
static const struct kcase large[] = {
	{ OP_CONV2D, LONG, case_conv2d, { 1, 64, 64, 320, 320, 3, 3, 1, 1, 1, 1 } },
	{ OP_CONV2D, LONG, case_conv2d, { 2, 32, 32, 640, 640, 3, 3, 2, 1, 1, 0 } },
	{ OP_CONV2D, LONG, case_conv2d, { 2, 16, 16, 2560, 1280, 3, 3, 1, 1, 1, 1 } },
	{ OP_CONV2D, LONG, case_conv2d, { 1, 64, 64, 4, 320, 3, 3, 1, 1, 1, 0 } },
	{ OP_CONV2D, LONG, case_conv2d, { 1, 64, 64, 320, 4, 3, 3, 1, 1, 1, 0 } },
	{ OP_CONV2D, LONG, case_conv2d, { 2, 8, 8, 1280, 1280, 1, 1, 1, 0, 0, 1 } },
	{ OP_CONV2D_DX, LONG, case_conv2d_dx, { 1, 64, 64, 320, 320, 3, 3, 1, 1, 1, 1 } },
	{ OP_CONV2D_DX, LONG, case_conv2d_dx, { 2, 32, 32, 640, 640, 3, 3, 2, 1, 1, 0 } },
	{ OP_CONV2D_DX, LONG, case_conv2d_dx, { 2, 8, 8, 1280, 1280, 3, 3, 1, 1, 1, 0 } },
	{ OP_CONV2D_DW, LONG, case_conv2d_dw, { 1, 64, 64, 320, 320, 3, 3, 1, 1, 1 } },
	{ OP_CONV2D_DW, LONG, case_conv2d_dw, { 2, 32, 32, 640, 640, 3, 3, 2, 1, 1 } },
	{ OP_CONV2D_DW, LONG, case_conv2d_dw, { 1, 64, 64, 4, 320, 3, 3, 1, 1, 1 } },
	{ OP_LINEAR, LONG, case_linear, { 4096, 320, 2560, 1, 0 } },
	{ OP_LINEAR, LONG, case_linear, { 154, 768, 320, 0, 0 } },
	{ OP_LINEAR, LONG, case_linear, { 4096, 16, 320, 0, 1 } },
	{ OP_LINEAR_DX, LONG, case_linear_dx, { 4096, 320, 2560, 0, 1 } },
	{ OP_LINEAR_DW, LONG, case_linear_dw, { 4096, 320, 1280 } },
	{ OP_ATTENTION, LONG, case_attention, { 1, 4096, 4096, 40, 8, 0 } },
	{ OP_ATTENTION, LONG, case_attention, { 2, 1024, 77, 80, 8, 0 } },
	{ OP_ATTENTION, LONG, case_attention, { 2, 256, 256, 160, 8, 0 } },
	{ OP_ATTENTION, LONG, case_attention, { 1, 4096, 4096, 512, 1, 0 } },
	{ OP_ATTENTION_DX, LONG, case_attention, { 1, 4096, 4096, 40, 8, 0, 1 } },
	{ OP_ATTENTION_DX, LONG, case_attention, { 2, 1024, 77, 64, 10, 0, 1 } },
	{ OP_GROUP_NORM, LONG, case_group_norm, { 2, 64, 64, 320, 32, ACT_SILU } },
	{ OP_GROUP_NORM_DX, LONG, case_group_norm, { 2, 64, 64, 320, 32, ACT_SILU, 0, 1 } },
	{ OP_LAYER_NORM_DX, LONG, case_layer_norm, { 2, 1, 4096, 320, 0, 0, 0, 1 } },
	{ OP_GEGLU_DX, LONG, case_geglu_dx, { 1, 1, 4096, 2560 } },
};

static const char *lib_host(void)
{
	static char folder[4096];
	ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 16);

	folder[n > 0 ? n : 0] = 0;
	if (strstr(folder, "/test/"))
		strcpy(strstr(folder, "/test/"), "/lib-host");
	return folder;
}

static void start(void)
{
	const char *name = getenv("BOOTH_TEST_DEVICE"), *seed = getenv("BOOTH_TEST_SEED");
	struct err e;

	real = name && *name;
	if (!real)
		setenv("BOOTH_LIB_PATH", lib_host(), 1);
	kernels.far = 1;
	kernels.seed = seed ? strtoull(seed, NULL, 10) : 0;
	CHECK_OK(device_open(&device, real ? name : "cuda", 0, &e), e);
	if (device)
		printf("# %s\n", device->device);
}

/* Some of the host's cases cost seconds there. */
static int is_wanted(int i, const struct kcase *k)
{
	return real || (i % SOME == 0 && k->op != OP_ATTENTION && k->op != OP_ATTENTION_DX);
}

static void run_table(const struct kcase *k, int n, enum dtype type)
{
	static const char *const differs[3] = { "", "a second run changes the result",
						"a third run changes the result" };
	struct backend *const by[3] = { device, device, device };

	for (int i = 0; i < n; i++)
		if (is_wanted(i, &k[i]))
			run_case(by, differs, &k[i], type);
}

static void run_all(enum dtype type)
{
	if (!device)
		SKIP("no device");
	kernels.off[type] = 0;
	run_table(cases, N_CASES, type);
	if (strcmp(device->name, "cpu") != 0)   /* whose kernels are not asked for empty tensors */
		run_table(edges, N_EDGES, type);
	printf("# %s: largest distance of a result from its reference, by norm: %.2g\n", dtype_name(type),
	       kernels.off[type]);
}

static void f32(void) { run_all(DT_F32); }
static void bf16(void) { run_all(DT_BF16); }
static void f16(void) { run_all(DT_F16); }

/* ---- large ones ---- */

static double distance(const struct bench *want, const struct bench *got, id i)
{
	double far = 0, norm = 0;

	for (int64_t k = 0; k < node_count(&want->g.node[i]); k++) {
		double a = value_at(want->m[i].at, want->g.node[i].type, k);
		double off = value_at(got->m[i].at, got->g.node[i].type, k) - a;

		far += off * off;
		norm += a * a;
	}
	return norm > 0 ? sqrt(far / norm) : sqrt(far);
}

/* f32 by products in f32 alone; 16 bits round once, attention's probabilities and what follows again. */
static double allowed(enum dtype type)
{
	return type == DT_BF16 ? 1e-2 : type == DT_F16 ? 2e-3 : 1e-4;
}

static void large_case(struct backend *cpu, const struct kcase *k, enum dtype type, double *worst)
{
	struct way w = { .b = cpu, .k = k };
	struct bench want, got;

	kernels.round = type;
	bench_run(&want, &w);
	w = (struct way){ .b = device, .k = k, .type = type };
	bench_run(&got, &w);
	kernels.round = DT_NONE;
	for (id i = 0; i < want.g.n; i++) {
		double off = op_info[want.g.node[i].op].outs ? distance(&want, &got, i) : 0;

		if (!(off <= allowed(type)))
			complain(&w, &want.g.node[i], "too far from the CPU's: the result");
		*worst = off > *worst ? off : *worst;
	}
	bench_release(&want);
	bench_release(&got);
}

static void large_sizes(void)
{
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
	struct backend *cpu = NULL;
	struct err e;

	if (!real || !device)
		SKIP("BOOTH_TEST_DEVICE names no device");
	CHECK_OK(cpu_open(&cpu, 0, NULL, &e), e);
	for (int t = 0; t < 3; t++) {
		double worst = 0;

		for (size_t i = 0; i < sizeof large / sizeof *large; i++)
			large_case(cpu, &large[i], types[t], &worst);
		printf("# %s: largest distance of a large op's result from the CPU's, by norm: %.2g of %.0e\n",
		       dtype_name(types[t]), worst, allowed(types[t]));
	}
	cpu->close(cpu);
}

int main(void)
{
	TEST(start);
	TEST(f32);
	TEST(bf16);
	TEST(f16);
	TEST(large_sizes);
	if (device)
		device->close(device);
	return test_end();
}
