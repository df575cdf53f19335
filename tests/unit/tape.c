/*
 * What runs on while the caller goes on: inputs that are put, tapes, values that are fetched, and how failures
 * come out, over the host's layer, where nothing runs before somebody waits (kernels/cuda/host).
 */
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/cuda/host/host.h"
#include "kernels/ir/build.h"
#include "kernels/run/session.h"
#include "tests/test.h"

#define ROWS 64
#define COLS 96
#define RUNS 7

struct net {                    /* y = x w + b, z = sum y^2, w counts runs in a state */
	struct backend *b;
	struct pool pool;
	struct arena arena;
	struct session s;
	id y, z;
};

static void net_open(struct net *n, struct backend *b)
{
	struct graph g = { 0 };
	static float w[COLS * COLS];
	struct rng r = rng_stream(1, "tape", 0, 0);
	struct err e = { "" };
	id x, sum;

	*n = (struct net){ .b = b };
	x = g_input(&g, "x", DT_F32, 1, 1, ROWS, COLS);
	n->y = g_linear(&g, x, g_weight(&g, "w.weight", (int64_t[]){ 1, 1, COLS, COLS }, 0), NONE);
	sum = g_state(&g, "sum", (int64_t[]){ 1, 1, ROWS, COLS });
	g_accum(&g, sum, n->y, 1);
	n->z = g_sumsq(&g, n->y);
	graph_keep(&g, n->y);
	graph_keep(&g, n->z);
	CHECK_OK(pool_declare(&n->pool, &g, &e), e);
	CHECK_OK(session_plan(&n->s, &g, b, &e), e);
	CHECK_OK(pool_place(&n->pool, b, &e), e);
	CHECK_OK(arena_place(&n->arena, b, n->s.plan.arena, &e), e);
	CHECK_OK(session_bind(&n->s, &n->pool, &n->arena, &e), e);
	rng_normal(&r, w, COLS * COLS);
	CHECK_OK(pool_put_raw(&n->pool, pool_find(&n->pool, "w.weight"), w, &e), e);
	CHECK_OK(pool_fill(&n->pool, pool_find(&n->pool, "sum"), 0, &e), e);
}

static void net_close(struct net *n)
{
	session_release(&n->s);
	pool_release(&n->pool);
	arena_release(&n->arena);
	n->b->close(n->b);
}

/* RUNS runs, all on their way before the first is waited for; y of the last, z of each, the sum. */
struct results { float y[ROWS * COLS], z[RUNS], sum[ROWS * COLS]; };

static void net_run(struct net *n, struct results *out)
{
	float *x = xmalloc(ROWS * COLS * sizeof *x);
	struct err e = { "" };

	for (int i = 0; i < RUNS; i++) {
		struct rng r = rng_stream(2, "tape", (uint32_t)i, 0);

		rng_normal(&r, x, ROWS * COLS);
		CHECK_OK(session_put(&n->s, "x", x, &e), e);
		memset(x, 0xff, ROWS * COLS * sizeof *x);       /* it is ours again */
		CHECK_OK(session_go(&n->s, &e), e);
		CHECK_OK(session_fetch(&n->s, n->z, &out->z[i], &e), e);
	}
	CHECK_OK(n->b->wait(n->b, &e), e);
	CHECK_OK(session_get(&n->s, n->y, out->y, &e), e);
	CHECK_OK(pool_get_raw(&n->pool, pool_find(&n->pool, "sum"), out->sum, &e), e);
	free(x);
}

static struct backend *gpu(enum host_order order)
{
	struct backend *b = NULL;
	struct err e = { "" };

	CHECK_OK(host_cuda_open(&b, order, &e), e);
	return b;
}

static void results_of(struct results *out, struct backend *b, int tapes)
{
	struct net n;

	setenv("BOOTH_TAPE", tapes ? "1" : "0", 1);
	net_open(&n, b);
	net_run(&n, out);
	CHECK(!n.s.tape == !(tapes && b->record));
	net_close(&n);
	unsetenv("BOOTH_TAPE");
}

static int near(const float *a, const float *b, int n)
{
	for (int i = 0; i < n; i++)
		if (!(fabsf(a[i] - b[i]) <= 1e-4f * fmaxf(1, fabsf(b[i]))))
			return 0;
	return 1;
}

static void runs_ahead(void)
{
	static struct results want, got, again;
	struct backend *cpu = NULL;
	struct err e = { "" };

	CHECK_OK(cpu_open(&cpu, 1, NULL, &e), e);
	results_of(&want, cpu, 1);
	results_of(&got, gpu(HOST_FORWARD), 0);
	CHECK(near(got.y, want.y, ROWS * COLS) && near(got.z, want.z, RUNS) && near(got.sum, want.sum, ROWS * COLS));
	for (int order = 0; order < 3; order++) {
		results_of(&again, gpu((enum host_order)order), 1);
		CHECK(!memcmp(&again, &got, sizeof got));
	}
}

/* Another place for the values: the tape of the old one is gone, and the next run is the first again. */
static void binds_again(void)
{
	static struct results got, again;
	struct net n;
	struct arena other;
	struct err e = { "" };

	net_open(&n, gpu(HOST_FORWARD));
	net_run(&n, &got);
	CHECK(n.s.tape != NULL);
	CHECK_OK(pool_fill(&n.pool, pool_find(&n.pool, "sum"), 0, &e), e);
	CHECK_OK(arena_place(&other, n.b, n.s.plan.arena, &e), e);
	CHECK_OK(session_bind(&n.s, &n.pool, &other, &e), e);
	CHECK(n.s.tape == NULL);
	arena_release(&n.arena);
	n.arena = other;
	net_run(&n, &again);
	CHECK(n.s.tape != NULL && !memcmp(&again, &got, sizeof got));
	net_close(&n);
}

/* Many slots' worth at once, of all sizes, and what is put twice before it is read. */
static void uploads(void)
{
	enum { N = 300000 };
	struct backend *b = gpu(HOST_FORWARD);
	float *from = xmalloc(N * sizeof *from), *to = xmalloc(N * sizeof *to);
	struct err e = { "" };
	void *dev;

	CHECK_OK(b->alloc(b, N * sizeof *from, &dev, &e), e);
	for (int turn = 0; turn < 2; turn++)
		for (int at = 0, size = 1; at < N; at += size, size = size * 3 / 2 + 1) {
			int n = at + size < N ? size : N - at;

			for (int i = 0; i < n; i++)
				from[i] = (float)(at + i + turn);
			CHECK_OK(b->put(b, (float *)dev + at, from, (size_t)n * sizeof *from, &e), e);
		}
	CHECK_OK(b->put(b, dev, from, 0, &e), e);
	CHECK_OK(b->get(b, to, dev, N * sizeof *to, &e), e);
	for (int i = 0; i < N; i++)
		if (to[i] != (float)(i + 1)) {
			CHECK_INT((int)to[i], i + 1);
			break;
		}
	b->release(b, dev, N * sizeof *from);
	b->close(b);
	free(from);
	free(to);
}

/* What was put and given back unread is not written afterwards. */
static void put_and_released(void)
{
	enum { N = 1000 };
	struct backend *b = gpu(HOST_FORWARD);
	float from[N], to[N];
	struct err e = { "" };
	void *dev, *other;

	for (int i = 0; i < N; i++)
		from[i] = (float)i;
	CHECK_OK(b->alloc(b, sizeof from, &dev, &e), e);
	CHECK_OK(b->alloc(b, sizeof from, &other, &e), e);
	CHECK_OK(b->put(b, dev, from, sizeof from, &e), e);
	b->release(b, dev, sizeof from);
	CHECK_OK(b->put(b, other, from, sizeof from, &e), e);
	CHECK_OK(b->get(b, to, other, sizeof to, &e), e);
	CHECK(!memcmp(from, to, sizeof to));
	b->release(b, other, sizeof from);
	b->close(b);
}

/* More values on their way to the host than its memory for them takes, and one that is too large for it. */
static void fetches(void)
{
	enum { N = 30000 };
	struct backend *b = gpu(HOST_FORWARD);
	float *from = xmalloc(N * sizeof *from), *to = xcalloc(N, sizeof *to);
	struct err e = { "" };
	void *dev;

	for (int i = 0; i < N; i++)
		from[i] = (float)i;
	CHECK_OK(b->alloc(b, N * sizeof *from, &dev, &e), e);
	CHECK_OK(b->put(b, dev, from, N * sizeof *from, &e), e);
	CHECK_OK(b->fetch(b, to, dev, N * sizeof *to, &e), e);
	CHECK(!memcmp(from, to, N * sizeof *to));
	memset(to, 0xff, N * sizeof *to);
	for (int i = 0; i < N; i += 3)
		CHECK_OK(b->fetch(b, to + i, (float *)dev + i, 3 * sizeof *to, &e), e);
	CHECK_OK(b->wait(b, &e), e);
	CHECK(!memcmp(from, to, N * sizeof *to));
	b->release(b, dev, N * sizeof *from);
	b->close(b);
	free(from);
	free(to);
}

/* ---- what is wrong with the machine ---- */

/* Can the host read it, can it write it? The kernel is asked, which fails where we would be killed. */
static int reachable(char *at)
{
	int ends[2], n = 0;

	if (pipe(ends) < 0)
		abort();
	n += write(ends[1], at, 1) == 1;
	if (!n && write(ends[1], "", 1) != 1)
		abort();
	n += 2 * (read(ends[0], at, 1) == 1);
	close(ends[0]);
	close(ends[1]);
	return n;
}

/* Device memory is nothing to the host, however large it is, before it is used and after. */
static void out_of_reach(void)
{
	static const size_t sizes[] = { 1, 5000, (1 << 20) + 1, (5 << 20) - 4096, 64 << 20 };
	struct backend *b = gpu(HOST_FORWARD);
	struct err e = { "" };
	char sent[] = "some", back[5];

	CHECK_INT(reachable(back), 3);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t n = sizes[i], few = n < sizeof sent ? n : sizeof sent;
		void *dev = NULL;
		char *at;

		CHECK_OK(b->alloc(b, n, &dev, &e), e);
		at = dev;
		CHECK(!reachable(at) && !reachable(at + n - 1));
		CHECK_OK(b->put(b, at + n - few, sent, few, &e), e);
		CHECK_OK(b->wait(b, &e), e);
		CHECK(!reachable(at) && !reachable(at + n - 1));
		CHECK_OK(b->get(b, back, at + n - few, few, &e), e);
		CHECK(!memcmp(back, sent, few) && !reachable(at + n - 1));
		b->release(b, dev, n);
	}
	b->close(b);
}

static void opens_not(const char *knob, int device, const char *says)
{
	struct backend *b = NULL;
	struct err e = { "" };

	setenv("BOOTH_HOST_CUDA", knob, 1);
	CHECK_INT(host_cuda_open(&b, (enum host_order)device, &e), -1);
	CHECK_STR(e.text, says);
	unsetenv("BOOTH_HOST_CUDA");
}

static void refusals(void)
{
	opens_not("no-driver", 0, "there is no NVIDIA driver on this machine");
	opens_not("old-driver", 0, "the NVIDIA driver is for CUDA 12.4, this program needs CUDA 13.0: install a newer driver");
	opens_not("no-gpu", 0, "the NVIDIA driver sees no GPU");
	opens_not("sm61", 1, "cuda:1, the host's threads (backward), has compute capability 6.1 and 7.5 is the oldest that will do");
	opens_not("", 3, "there is no GPU cuda:3: this machine has 3, cuda:0 and so on");
	opens_not("no-blas", 0, "cuBLASLt (libcublasLt.so.13) is not found: install it, or name its folder in BOOTH_CUDA_PATH");
}

static void no_memory(void)
{
	struct backend *b;
	struct room r;
	struct err e = { "" };
	void *dev, *more;

	setenv("BOOTH_HOST_CUDA", "memory=64M,others=20M", 1);
	b = gpu(HOST_FORWARD);
	CHECK_OK(b->alloc(b, (size_t)30 << 20, &dev, &e), e);
	CHECK_OK(b->memory(b, &r, &e), e);
	CHECK(r.all == (size_t)64 << 20 && r.ours == ((size_t)30 << 20) + b->overhead && r.unused < (size_t)14 << 20);
	CHECK_INT(b->alloc(b, (size_t)20 << 20, &more, &e), -1);
	CHECK(more == NULL);
	CHECK_STR(e.text, "cuda:0, the host's threads (forward), has no memory for 20 MB: 13 of its 64 MB are unused, this program "
		  "holds 30, others and the driver 20");
	CHECK_OK(b->alloc(b, (size_t)10 << 20, &more, &e), e);
	b->release(b, more, (size_t)10 << 20);
	b->release(b, dev, (size_t)30 << 20);
	b->close(b);
	setenv("BOOTH_HOST_CUDA", "memory=64K", 1);
	b = gpu(HOST_FORWARD);
	CHECK_INT(b->alloc(b, 1, &dev, &e), -1);
	CHECK_STR(e.text, "cuda:0, the host's threads (forward), can't be used: out of memory");
	b->close(b);
	unsetenv("BOOTH_HOST_CUDA");
}

/* The last test: a device that is lost stays so. What was begun is told by the next wait, and by all after it. */
static void lost(void)
{
	static const char says[] = "cuda:0, the host's threads (forward), failed while computing: unspecified launch failure";
	struct net n;
	float x[ROWS * COLS] = { 0 }, z = -1;
	struct err e = { "" };

	net_open(&n, gpu(HOST_FORWARD));
	CHECK_OK(session_put(&n.s, "x", x, &e), e);
	CHECK_OK(session_run(&n.s, &e), e);
	setenv("BOOTH_HOST_CUDA", "lost@1", 1);
	CHECK_OK(session_go(&n.s, &e), e);
	CHECK_OK(session_fetch(&n.s, n.z, &z, &e), e);
	CHECK_INT(n.b->wait(n.b, &e), -1);
	CHECK_STR(e.text, says);
	CHECK(z == -1);
	CHECK_INT(session_put(&n.s, "x", x, &e), -1);
	CHECK_INT(session_go(&n.s, &e), -1);
	CHECK_INT(session_get(&n.s, n.z, &z, &e), -1);
	CHECK(strstr(e.text, "unspecified launch failure") != NULL);
	net_close(&n);
}

int main(void)
{
	unsetenv("BOOTH_HOST_CUDA");
	TEST(runs_ahead);
	TEST(binds_again);
	TEST(uploads);
	TEST(put_and_released);
	TEST(fetches);
	TEST(out_of_reach);
	TEST(refusals);
	TEST(no_memory);
	TEST(lost);
	return test_end();
}
