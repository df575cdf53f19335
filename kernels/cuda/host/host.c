/*
 * Runs one launch. A fiber takes threads that have not begun yet until one of them waits; then
 * another fiber goes on. When all threads wait or have ended, warps and the block are let go on.
 */
#include "kernels/cuda/host/host.h"

#include <stdlib.h>
#include <string.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

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
#define HOME MOST               /* the number of host_run's own place among fibers */

enum state { FRESH, READY, AT_BARRIER, AT_SHUFFLE, AT_SUM, AT_MAX, ENDED };

struct fiber {
#ifdef __x86_64__
	void *sp;               /* while others run */
#else
	ucontext_t at;
#endif
	char *stack;            /* of home: not ours */
	size_t bytes;
};

struct thread {
	struct host_thread place;
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
	unsigned char state[MOST];      /* enum state of each */
	float fold[MOST / LANES];       /* of a warp: its last sum or maximum */
	int n, order;
	int begun;              /* threads taken by fibers so far, in order */
	int next;               /* of those let go on, in order: who may be next */
	int now;                /* the thread that runs */
	int at, left;           /* the fiber that runs, and the one before */
	const char *name;
	struct fiber fiber[MOST + 1];
	int fibers;                     /* begun */
	int idle[MOST], idles;          /* those of them without a thread */
	unsigned char *shared;
};

_Thread_local const struct host_thread *host_now;
static _Thread_local struct block *now;

/* ---- fibers ---- */

#ifdef __x86_64__
/* Only what a call must keep changes places, at the cost of a call: swapcontext asks the kernel each time. */
void host_swap(void **from, void *to);
__asm__(".text\n"
	".type host_swap, @function\n"
	"host_swap:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size host_swap, . - host_swap\n");
#endif

/* The address sanitizer is told; where home's stack lies, it says when it is left. */
static void arrived(struct block *b, void *fake)
{
#ifdef WATCHED
	const void *stack;
	size_t bytes;

	__sanitizer_finish_switch_fiber(fake, &stack, &bytes);
	if (b->left == HOME) {
		memcpy(&b->fiber[HOME].stack, &stack, sizeof stack);
		b->fiber[HOME].bytes = bytes;
	}
#endif
	(void)b;
	(void)fake;
}

/* From where we are to fiber f, which is later come back from. */
static void go_to(struct block *b, int f)
{
	struct fiber *from = &b->fiber[b->at], *to = &b->fiber[f];
	void *fake = NULL;

#ifdef WATCHED
	__sanitizer_start_switch_fiber(&fake, to->stack, to->bytes);
#endif
	b->left = b->at;
	b->at = f;
#ifdef __x86_64__
	host_swap(&from->sp, to->sp);
#else
	swapcontext(&from->at, &to->at);
#endif
	arrived(b, fake);
}

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

static void go_on(struct block *b);

/* A fiber's life: threads of whatever block is now, as long as there are fresh ones. */
static void fiber_main(void)
{
	arrived(now, NULL);
	for (;;) {
		while (now->begun < now->n) {
			int t = (int)in_order(now->begun++, now->n, now->order);

			now->thread[t].fiber = now->at;
			enter(now, t);
			now->kernel(now->args);
			now->state[t] = ENDED;
		}
		now->idle[now->idles++] = now->at;
		go_on(now);
	}
}

/* Tops of stacks lie in different sets of the cache. */
static void fiber_begin(struct fiber *f, int number)
{
	f->stack = xmalloc(STACK);
	f->bytes = STACK - (size_t)(number % 64 * 192);
#ifdef __x86_64__
	{
		void **top = (void **)(void *)(f->stack + f->bytes - (uintptr_t)(f->stack + f->bytes) % 64);

		*--top = NULL;                  /* where a call would have come from; keeps 16 bytes' order */
		*--top = (void *)(uintptr_t)fiber_main;
		f->sp = memset(top - 6, 0, 6 * sizeof *top);
	}
#else
	getcontext(&f->at);
	f->at.uc_stack.ss_sp = f->stack;
	f->at.uc_stack.ss_size = f->bytes;
	makecontext(&f->at, fiber_main, 0);
#endif
}

static int free_fiber(struct block *b)
{
	if (b->idles)
		return b->idle[--b->idles];
	fiber_begin(&b->fiber[b->fibers], b->fibers);
	return b->fibers++;
}

/* From a thread that waits, or a fiber without one, to who is next; home when nobody is. */
static void go_on(struct block *b)
{
	if (b->begun < b->n) {
		go_to(b, free_fiber(b));
		return;
	}
	while (b->next < b->n) {
		int t = (int)in_order(b->next++, b->n, b->order);

		if (b->state[t] == READY) {
			go_to(b, b->thread[t].fiber);
			return;
		}
	}
	go_to(b, HOME);
}

static void wait_as(enum state s, int line)
{
	struct block *b = now;
	int t = b->now;

	b->state[t] = (unsigned char)s;
	b->thread[t].line = line;
	go_on(b);
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

static float fold(float x, enum state how, int line)
{
	struct block *b = now;
	int t = b->now;

	b->thread[t].lane[0] = x;
	wait_as(how, line);
	return b->fold[t / LANES];
}

float host_warp_sum(float x, int line)
{
	return fold(x, AT_SUM, line);
}

float host_warp_max(float x, int line)
{
	return fold(x, AT_MAX, line);
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

/* ---- who may go on ---- */

/* Do threads from..to all wait in state s at one line? */
static int all_wait(const struct block *b, int from, int to, enum state s)
{
	for (int t = from; t < to; t++)
		if (b->state[t] != s || b->thread[t].line != b->thread[from].line)
			return 0;
	return to > from;
}

/* What five shuffles make of the warp's numbers, pair by pair. */
static void warp_fold(struct block *b, int from, int to, enum state how)
{
	float x[LANES];

	if (to - from != LANES)
		BUG("kernel '%s': a warp of %d threads is summed", b->name, to - from);
	for (int i = 0; i < LANES; i++)
		x[i] = (float)b->thread[from + i].lane[0];
	for (int step = LANES / 2; step; step /= 2)
		for (int i = 0; i < step; i++)
			x[i] = how == AT_MAX ? fmaxf(x[i], x[i + step]) : x[i] + x[i + step];
	b->fold[from / LANES] = x[0];
}

static int warp_goes_on(struct block *b, int from, int to)
{
	enum state s = (enum state)b->state[from];

	if ((s != AT_SHUFFLE && s != AT_SUM && s != AT_MAX) || !all_wait(b, from, to, s))
		return 0;
	if (s != AT_SHUFFLE)
		warp_fold(b, from, to, s);
	memset(b->state + from, READY, (size_t)(to - from));
	return 1;
}

/* 1 if some go on; 0 if all have ended. */
static int release(struct block *b)
{
	int some = 0, ended = 0;

	for (int t = 0; t < b->n; t++)
		ended += b->state[t] == ENDED;
	if (ended == b->n)
		return 0;
	for (int w = 0; w < b->n; w += LANES)
		some |= warp_goes_on(b, w, w + LANES < b->n ? w + LANES : b->n);
	if (!some && all_wait(b, 0, b->n, AT_BARRIER)) {
		memset(b->state, READY, (size_t)b->n);
		some = 1;
	}
	if (some)
		return 1;
	for (int t = 0; t < b->n; t++)
		if (b->state[t] != ENDED)
			BUG("kernel '%s': thread %d waits at line %d for threads that do not come",
			    b->name, t, b->thread[t].line);
	return 0;
}

static void run_block(struct block *b)
{
	memset(b->shared, 0xff, SHARED_BYTES);
	b->begun = 0;
	b->next = b->n;
	b->at = HOME;
	do {
		go_on(b);
		b->next = 0;
	} while (release(b));
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
		b->state[t] = FRESH;
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
	for (int i = 0; i < b->fibers; i++)
		free(b->fiber[i].stack);
	free(b->shared);
	free(b);
}
