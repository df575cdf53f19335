/*
 * The CPU backend: picks the table of the best instruction set, keeps the number of threads.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "common/base/mem.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/narrow.h"

#define HUGE_PAGE ((size_t)2 << 20)

struct cpu {
	const struct cpu_table *table;
	int threads;
};

static int has_isa(const struct cpu_table *t)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (t == &cpu_table_avx512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
			__builtin_cpu_supports("fma");
	if (t == &cpu_table_avx2)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
	return t == &cpu_table_plain;
}

static int pick(const struct cpu_table **out, const char *isa, struct err *e)
{
	static const struct cpu_table *const all[] = { &cpu_table_avx512, &cpu_table_avx2,
						       &cpu_table_plain };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (isa && strcmp(isa, all[i]->isa))
			continue;
		if (has_isa(all[i])) {
			*out = all[i];
			return 0;
		}
		if (isa)
			return fail(e, "this CPU lacks the instruction set '%s'", isa);
	}
	return fail(e, "unknown instruction set '%s', wanted avx512, avx2 or plain", isa);
}

/* In OpenMP the number of threads belongs to the process; another backend may have set it. */
static struct cpu *cpu_of(struct backend *b)
{
	struct cpu *c = b->own;

	if (omp_get_max_threads() != c->threads)
		omp_set_num_threads(c->threads);
	return c;
}

static int cpu_alloc(struct backend *b, size_t bytes, void **dev, struct err *e)
{
	size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;

	(void)b;
	if (bytes > SIZE_MAX - align ||
	    posix_memalign(dev, align, bytes ? (bytes + 63) & ~(size_t)63 : 64)) {
		*dev = NULL;
		return fail(e, "no memory for %zu bytes on the CPU", bytes);
	}
	if (bytes >= HUGE_PAGE)
		madvise(*dev, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE); /* works without, too */
	return 0;
}

static void cpu_release(struct backend *b, void *dev, size_t bytes)
{
	(void)b;
	(void)bytes;
	free(dev);
}

static int cpu_put(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e)
{
	(void)b;
	(void)e;
	if (bytes)
		memcpy(dev, host, bytes);
	return 0;
}

static int cpu_get(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e)
{
	(void)b;
	(void)e;
	if (bytes)
		memcpy(host, dev, bytes);
	return 0;
}

static size_t cpu_scratch_of(struct backend *b, const struct graph *g, id x)
{
	const struct node *n = &g->node[x];
	cpu_scratch *f = cpu_of(b)->table->scratch[n->op];

	return narrow_scratch(g, x) + (f ? f(n, g) : 0);
}

static int cpu_run(struct backend *b, const struct call *c, struct err *e)
{
	const struct cpu_table *t = cpu_of(b)->table;

	if (!t->kernel[c->n->op])
		return fail(e, "the CPU backend has no kernel for '%s'", op_info[c->n->op].name);
	if (narrow_is(c))
		return narrow_run(t->kernel[c->n->op], c, e);
	t->kernel[c->n->op](c);
	return 0;
}

static int cpu_wait(struct backend *b, struct err *e)
{
	(void)b;
	(void)e;
	return 0;
}

static void cpu_close(struct backend *b)
{
	free(b->own);
	free(b);
}

/* "model name" of /proc/cpuinfo, or "CPU". */
static void cpu_name(char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(out, size, "CPU");
	while (f && fgets(line, sizeof line, f)) {
		char *at = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !at)
			continue;
		snprintf(out, size, "%s", at + 1 + strspn(at + 1, " \t"));
		out[strcspn(out, "\n")] = 0;
		break;
	}
	if (f)
		fclose(f);
}

int cpu_open(struct backend **out, int threads, const char *isa, struct err *e)
{
	const struct cpu_table *table = NULL;
	struct cpu *own;
	char name[80];

	*out = NULL;
	if (threads < 0)
		return fail(e, "%d threads wanted, at least 1 (or 0 for all) expected", threads);
	if (pick(&table, isa, e))
		return -1;
	own = xcalloc(1, sizeof *own);
	own->table = table;
	own->threads = threads ? threads : omp_get_num_procs();
	omp_set_dynamic(0);
	*out = xcalloc(1, sizeof **out);
	**out = (struct backend){
		.name = "cpu", .alloc = cpu_alloc, .release = cpu_release, .put = cpu_put,
		.get = cpu_get, .scratch = cpu_scratch_of, .run = cpu_run, .wait = cpu_wait,
		.close = cpu_close, .lacks = 1 << PRECISION_TF32, .own = own,
	};
	cpu_name(name, sizeof name);
	snprintf((*out)->device, sizeof (*out)->device, "%s, %d thread%s, %s", name, own->threads,
		 own->threads == 1 ? "" : "s", table->isa);
	cpu_of(*out);
	return 0;
}
