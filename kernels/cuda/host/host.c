/*
 * Runs one launch. A fiber takes threads that have not begun yet until one of them waits; then
 * another fiber goes on. When all threads wait or have ended, warps and the block are let go on.
 */
#undef _FORTIFY_SOURCE          /* its longjmp takes a change of stacks for an attack */
#include "kernels/cuda/host/host.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifdef WATCHED
#include <sanitizer/common_interface_defs.h>
#endif

#define MOST 256                /* threads in a block */
#define STACK ((size_t)128 << 10)
#define SHARED_BYTES ((size_t)48 << 10)
#define LANES 32

enum state { FRESH, READY, AT_BARRIER, AT_SHUFFLE, ENDED };

/*
 * A fiber begins by its context and changes places by setjmp, which asks the kernel for nothing;
 * the address sanitizer wants to be told and knows contexts only.
 */
struct fiber {
	ucontext_t at;
	jmp_buf jump;
	char *stack;
	int busy, begun;
};

struct thread {
	struct host_thread place;
	enum state state;
	int line;               /* where it waits */
	int fiber;
	int shuffles;           /* how many it has begun */
	size_t shared;          /* bytes of shared memory declared so far */
	double lane[2];         /* what it shows its neighbours, in turns */
};

struct block {
	void (*kernel)(const void *args);
	const void *args;
	struct thread thread[MOST];
	int n, order;
	int begun;              /* threads taken by fibers so far, in order */
	int now;                /* the thread that runs */
	const char *name;
	struct fiber fiber[MOST];
	ucontext_t home;
	jmp_buf home_jump;
	const void *home_stack;         /* for the address sanitizer */
	size_t home_size;
	unsigned char *shared;
};

_Thread_local const struct host_thread *host_now;
static _Thread_local struct block *now;

/* The i-th of n things in an order. */
static int64_t in_order(int64_t i, int64_t n, int order)
{
	if (order == HOST_BACKWARD)
		return n - 1 - i;
	if (order == HOST_MIXED)        /* odd ones first */
		return i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
	return i;
}

static void enter(struct block *b, int t)
{
	b->now = t;
	host_now = &b->thread[t].place;
}

static void to_fiber(struct block *b, int f)
{
#ifdef WATCHED
	void *fake;

	__sanitizer_start_switch_fiber(&fake, b->fiber[f].stack, STACK);
	swapcontext(&b->home, &b->fiber[f].at);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#else
	if (_setjmp(b->home_jump))
		return;
	if (b->fiber[f].begun)
		_longjmp(b->fiber[f].jump, 1);
	b->fiber[f].begun = 1;
	setcontext(&b->fiber[f].at);
#endif
}

static void to_home(struct block *b, int f)
{
#ifdef WATCHED
	void *fake;

	__sanitizer_start_switch_fiber(&fake, b->home_stack, b->home_size);
	swapcontext(&b->fiber[f].at, &b->home);
	__sanitizer_finish_switch_fiber(fake, &b->home_stack, &b->home_size);
#else
	if (!_setjmp(b->fiber[f].jump))
		_longjmp(b->home_jump, 1);
#endif
}

/* A fiber's life: threads of whatever block is now, as long as there are fresh ones. */
static void fiber_main(int f)
{
#ifdef WATCHED
	__sanitizer_finish_switch_fiber(NULL, &now->home_stack, &now->home_size);
#endif
	for (;;) {
		while (now->begun < now->n) {
			int t = (int)in_order(now->begun++, now->n, now->order);

			now->thread[t].fiber = f;
			enter(now, t);
			now->kernel(now->args);
			now->thread[t].state = ENDED;
		}
		now->fiber[f].busy = 0;
		to_home(now, f);
	}
}

static void fiber_begin(struct fiber *f, int number)
{
	f->stack = xmalloc(STACK);
	getcontext(&f->at);
	f->at.uc_stack.ss_sp = f->stack;
	f->at.uc_stack.ss_size = STACK;
	makecontext(&f->at, (void (*)(void))fiber_main, 1, number);
}

static int free_fiber(struct block *b)
{
	int f = 0;

	while (b->fiber[f].busy)
		f++;
	if (!b->fiber[f].stack)
		fiber_begin(&b->fiber[f], f);
	b->fiber[f].busy = 1;
	return f;
}

static void wait_as(enum state s, int line)
{
	struct block *b = now;
	int t = b->now;

	b->thread[t].state = s;
	b->thread[t].line = line;
	to_home(b, b->thread[t].fiber);
	enter(b, t);
}

void host_barrier(int line)
{
	wait_as(AT_BARRIER, line);
}

/*
 * Slots are used in turns: who is a shuffle ahead writes the other one, and nobody is two ahead.
 */
double host_shuffle_xor(double x, int mask, int line)
{
	struct block *b = now;
	int t = b->now, turn = b->thread[t].shuffles++ % 2, from = t ^ mask;

	b->thread[t].lane[turn] = x;
	wait_as(AT_SHUFFLE, line);
	if (from >= b->n || from / LANES != t / LANES)
		BUG("kernel '%s': thread %d shuffles with %d", b->name, t, from);
	return b->thread[from].lane[turn];
}

void *host_shared(size_t bytes)
{
	struct block *b = now;
	struct thread *t = &b->thread[b->now];
	size_t at = t->shared;

	t->shared += (bytes + 15) & ~(size_t)15;
	if (t->shared > SHARED_BYTES)
		BUG("kernel '%s': more than %zu bytes of shared memory", b->name, SHARED_BYTES);
	return b->shared + at;
}

/* Do threads from..to all wait in state s at one line? */
static int all_wait(const struct block *b, int from, int to, enum state s)
{
	for (int t = from; t < to; t++)
		if (b->thread[t].state != s || b->thread[t].line != b->thread[from].line)
			return 0;
	return to > from;
}

static void let_go(struct block *b, int from, int to)
{
	for (int t = from; t < to; t++)
		b->thread[t].state = READY;
}

/* 1 if some go on; 0 if all have ended. */
static int release(struct block *b)
{
	int some = 0, ended = 0;

	for (int t = 0; t < b->n; t++)
		ended += b->thread[t].state == ENDED;
	if (ended == b->n)
		return 0;
	for (int w = 0; w < b->n; w += LANES) {
		int to = w + LANES < b->n ? w + LANES : b->n;

		if (all_wait(b, w, to, AT_SHUFFLE)) {
			let_go(b, w, to);
			some = 1;
		}
	}
	if (!some && all_wait(b, 0, b->n, AT_BARRIER)) {
		let_go(b, 0, b->n);
		some = 1;
	}
	if (some)
		return 1;
	for (int t = 0; t < b->n; t++)
		if (b->thread[t].state != ENDED)
			BUG("kernel '%s': thread %d waits at line %d for threads that do not come",
			    b->name, t, b->thread[t].line);
	return 0;
}

static void run_block(struct block *b)
{
	memset(b->shared, 0xff, SHARED_BYTES);
	b->begun = 0;
	while (b->begun < b->n)
		to_fiber(b, free_fiber(b));
	while (release(b))
		for (int i = 0; i < b->n; i++) {
			int t = (int)in_order(i, b->n, b->order);

			if (b->thread[t].state == READY)
				to_fiber(b, b->thread[t].fiber);
		}
}

static void block_fill(struct block *b, struct grid g, int64_t block)
{
	for (int t = 0; t < b->n; t++) {
		struct host_thread place = {
			{ (unsigned)(t % g.tx), (unsigned)(t / g.tx), 0 },
			{ (unsigned)(block % g.x), (unsigned)(block / g.x), 0 },
			{ (unsigned)g.tx, (unsigned)g.ty, 1 }, { (unsigned)g.x, (unsigned)g.y, 1 },
		};

		b->thread[t] = (struct thread){ .place = place };
	}
}

void host_run(struct block *b, void (*kernel)(const void *), const char *name, struct grid g, const void *args)
{
	b->kernel = kernel;
	b->args = args;
	b->name = name;
	b->n = g.tx * g.ty;
	if (b->n > MOST || b->n < 1)
		BUG("kernel '%s': %d threads in a block", name, b->n);
	if (g.y > 65535 || g.x > INT32_MAX)
		BUG("kernel '%s': %lld x %lld blocks", name, (long long)g.x, (long long)g.y);
	now = b;
	for (int64_t i = 0; i < g.x * g.y; i++) {
		block_fill(b, g, in_order(i, g.x * g.y, b->order));
		run_block(b);
	}
	now = NULL;
	host_now = NULL;
}

struct block *host_new(enum host_order order)
{
	struct block *b = xcalloc(1, sizeof *b);

	b->order = (int)order;
	b->shared = xmalloc(SHARED_BYTES);
	return b;
}

void host_free(struct block *b)
{
	for (int i = 0; i < MOST; i++)
		free(b->fiber[i].stack);
	free(b->shared);
	free(b);
}
