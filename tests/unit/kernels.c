/*
 * Every kernel of every instruction set on the cases of tests/kernels_case.h, by one, two and three
 * threads: tests/kernels_run.h says what must hold.
 */
#include "kernels/cpu/cpu.h"
#include "tests/kernels_run.h"

static void run_isa(const char *isa)
{
	static const char *const differs[3] = { "", "two threads change the result",
						"three threads change the result" };
	struct backend *by_threads[3] = { 0 };
	struct err e = { "" };

	for (int i = 0; i < 3; i++)
		if (cpu_open(&by_threads[i], i + 1, isa, &e) < 0)
			SKIP(e.text);
	for (int i = 0; i < N_CASES; i++)
		run_case(by_threads, differs, &cases[i], DT_NONE);
	for (int i = 0; i < 3; i++)
		by_threads[i]->close(by_threads[i]);
}

/* 16 bits at the edges: widened, computed in f32, rounded once. */
static void run_narrow(enum dtype type)
{
	struct backend *b = NULL;
	struct err e;

	CHECK_OK(cpu_open(&b, 2, NULL, &e), e);
	for (int i = 0; i < N_CASES; i++)       /* loops of products take long, and know no types */
		if (type == DT_BF16 || cases[i].op < OP_LINEAR || cases[i].op > OP_CONV2D_DW)
			run_case_once(b, &cases[i], type);
	b->close(b);
}

static void bf16(void) { run_narrow(DT_BF16); }
static void f16(void) { run_narrow(DT_F16); }

/* Moments in 16 bits are refused, not moved. */
static void narrow_state(void)
{
	int64_t dim[MAX_DIM] = { 1, 1, 1, 1 };
	struct node n = { .op = OP_ACCUM, .at.accum.by = 1 };
	struct call c = { .n = &n };
	struct backend *b = NULL;
	struct err e = { "" };
	uint16_t s = 0;
	float x = 1;

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	c.in[0] = (struct view){ &s, dim, DT_BF16 };
	c.in[1] = (struct view){ &x, dim, DT_F32 };
	CHECK(b->run(b, &c, &e) < 0);
	CHECK_STR(e.text, "'accum' moves what is kept in BF16; the CPU backend keeps it in F32");
	CHECK_INT(s, 0);
	b->close(b);
}

static void avx512(void) { run_isa("avx512"); }
static void avx2(void) { run_isa("avx2"); }
static void plain(void) { run_isa("plain"); }

/* Every op has a kernel in each table and at least one case. */
static void complete(void)
{
	const struct cpu_table *const tables[] = { &cpu_table_avx512, &cpu_table_avx2,
						   &cpu_table_plain };

	for (int op = 0; op < OP__COUNT; op++) {
		int found = 0;

		if (op_info[op].source || op == OP_AUX)
			continue;
		for (int i = 0; i < 3; i++)
			if (!tables[i]->kernel[op]) {
				printf("# '%s' has no kernel for %s\n", op_info[op].name, tables[i]->isa);
				test_bad = 1;
			}
		for (int i = 0; i < N_CASES; i++)
			found += cases[i].op == (enum op)op;
		if (!found) {
			printf("# '%s' has no case in tests/kernels_table.h\n", op_info[op].name);
			test_bad = 1;
		}
	}
}

int main(void)
{
	TEST(complete);
	TEST(avx512);
	TEST(avx2);
	TEST(plain);
	TEST(bf16);
	TEST(f16);
	TEST(narrow_state);
	return test_end();
}
