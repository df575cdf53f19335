/*
 * The CPU backend itself, and linear, linear_dx, linear_dw.
 */
#include "tests/unit/kernel_job.h"

static void backend_opens(void)
{
	struct err e = { "" };
	struct backend *b = NULL;
	unsigned char host[300], back[300];
	void *dev = NULL;

	CHECK(cpu_open(&b, 1, "vax", &e) < 0 && !b);
	CHECK_STR(e.text, "unknown instruction set 'vax', wanted avx512, avx2 or plain");
	CHECK(cpu_open(&b, -1, NULL, &e) < 0 && !b);
	CHECK_OK(cpu_open(&b, 3, "plain", &e), e);
	CHECK_STR(b->name, "cpu");
	CHECK(strstr(b->device, ", 3 threads, plain"));
	CHECK(b->alloc(b, SIZE_MAX - 3, &dev, &e) < 0 && !dev);
	for (size_t n = 1; n < 10000000; n *= 100) {
		CHECK_OK(b->alloc(b, n, &dev, &e), e);
		CHECK_INT((uintptr_t)dev % 64, 0);
		b->release(b, dev, n);
	}
	for (int i = 0; i < 300; i++)
		host[i] = (unsigned char)(i * 7);
	CHECK_OK(b->alloc(b, sizeof host, &dev, &e), e);
	CHECK_OK(b->put(b, dev, host, sizeof host, &e), e);
	CHECK_OK(b->get(b, back, dev, sizeof host, &e), e);
	CHECK(!memcmp(host, back, sizeof host));
	b->release(b, dev, sizeof host);
	b->close(b);
}

static void linear_one(int64_t m, int64_t c, int64_t k, int with)
{
	struct job j = {
		.n = { .op = OP_LINEAR, .dim = { 1, 1, m, k } }, .n_in = 4,
		.in = { { .dim = { 1, 1, m, c } }, { .dim = { 1, 1, k, c } },
			{ .dim = { with, 1, 1, k } }, { .dim = { with, 1, m, k } } },
	};
	double *want = malloc((size_t)(m * k) * 8);

	job_begin(&j);
	for (int64_t i = 0; i < m; i++)
		for (int64_t o = 0; o < k; o++) {
			double s = with ? (double)j.at[2][o] + j.at[3][i * k + o] : 0;

			for (int64_t q = 0; q < c; q++)
				s += (double)j.at[0][i * c + q] * j.at[1][o * c + q];
			want[i * k + o] = s;
		}
	job_check(&j, want, NULL, 1e-6, with ? 3 : -1);
	job_end(&j);
	free(want);
}

static void linear_dx_one(int64_t m, int64_t c, int64_t k, int with)
{
	struct job j = {
		.n = { .op = OP_LINEAR_DX, .dim = { 1, 1, m, c } }, .n_in = 3,
		.in = { { .dim = { 1, 1, m, k } }, { .dim = { 1, 1, k, c } },
			{ .dim = { with, 1, m, c } } },
	};
	double *want = malloc((size_t)(m * c) * 8);

	job_begin(&j);
	for (int64_t i = 0; i < m; i++)
		for (int64_t o = 0; o < c; o++) {
			double s = with ? j.at[2][i * c + o] : 0;

			for (int64_t q = 0; q < k; q++)
				s += (double)j.at[0][i * k + q] * j.at[1][q * c + o];
			want[i * c + o] = s;
		}
	job_check(&j, want, NULL, 1e-6, with ? 2 : -1);
	job_end(&j);
	free(want);
}

static void linear_dw_one(int64_t m, int64_t c, int64_t k, int with)
{
	struct job j = {
		.n = { .op = OP_LINEAR_DW, .dim = { 1, 1, k, c } }, .n_in = 2,
		.in = { { .dim = { 1, 1, m, c } }, { .dim = { 1, 1, m, k } } },
		.out1 = { with, 1, 1, k },
	};
	double *want = malloc((size_t)(k * c) * 8), *sums = calloc((size_t)k, 8);

	job_begin(&j);
	for (int64_t o = 0; o < k; o++) {
		for (int64_t q = 0; q < c; q++) {
			double s = 0;

			for (int64_t i = 0; i < m; i++)
				s += (double)j.at[0][i * c + q] * j.at[1][i * k + o];
			want[o * c + q] = s;
		}
		for (int64_t i = 0; i < m; i++)
			sums[o] += j.at[1][i * k + o];
	}
	job_check(&j, want, sums, 1e-6, -1);
	job_end(&j);
	free(want);
	free(sums);
}

static const int64_t sizes[][3] = {
	{ 1, 1, 1 },	  { 7, 9, 5 },	    { 1, 320, 67 },   { 14, 32, 32 },	{ 15, 33, 31 },
	{ 2, 17, 1 },	  { 77, 131, 40 },  { 64, 700, 48 },  { 350, 331, 97 }, { 3, 1, 130 },
	{ 1301, 29, 37 }, { 2100, 16, 13 }, { 40, 50, 1300 },
};

static void linear(void)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		linear_one(sizes[i][0], sizes[i][1], sizes[i][2], (int)i & 1);
}

static void linear_dx(void)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		linear_dx_one(sizes[i][0], sizes[i][1], sizes[i][2], (int)i & 1);
}

static void linear_dw(void)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		linear_dw_one(sizes[i][0], sizes[i][1], sizes[i][2], (int)i & 1);
}

int main(void)
{
	TEST(backend_opens);
	TEST(linear);
	TEST(linear_dx);
	TEST(linear_dw);
	return test_end();
}
