/*
 * A session: one graph placed and ready to run on a backend. Sessions of several shapes share the
 * pool (weights) and one arena, as large as the largest needs.
 *
 *	struct session s = { 0 };
 *	session_plan(&s, &g, backend, e);               no memory yet: s.plan.arena is known
 *	pool_place(...); arena_place(...);
 *	session_bind(&s, &pool, &arena, e);
 *	session_put(&s, "latent", values, e); session_run(&s, e); session_get(&s, loss, &out, e);
 */
#ifndef RUN_SESSION_H
#define RUN_SESSION_H

#include "kernels/backend.h"
#include "kernels/ir/plan.h"
#include "kernels/run/pool.h"

struct arena {
	struct backend *b;
	unsigned char *memory;
	size_t bytes;
};
int arena_place(struct arena *a, struct backend *b, size_t bytes, struct err *e);
void arena_release(struct arena *a);

struct session {
	struct backend *b;
	struct graph *g;        /* owned from session_plan on: released with the session */
	struct plan plan;
	struct call *call;      /* one a node, ready to run */
	double *seconds;        /* by op, if timing is wanted */
	int timing;
	int ran;                /* it ran once where it is bound now */
	void *tape;             /* of the second run, where the backend has tapes */
};

/*
 * Takes over *g (leaving it empty) and places it. With BOOTH_CHECK=1 in the environment the plan is
 * proved by plan_check.
 */
int session_plan(struct session *s, struct graph *g, struct backend *b, struct err *e);
int session_bind(struct session *s, struct pool *p, struct arena *a, struct err *e);
void session_release(struct session *s);

/* Inputs by name (BUG if there is none): `values` has the input's elements. */
int session_put(struct session *s, const char *input, const void *values, struct err *e);
int session_has_input(const struct session *s, const char *input);
int session_run(struct session *s, struct err *e);
/* A kept node's value. */
int session_get(struct session *s, id x, void *out, struct err *e);

/*
 * The same without waiting, where the backend runs on by itself: inputs may be put for the next run at
 * once, and what is fetched is in `out` when the backend was waited for; `out` has to stay until then.
 * Elsewhere all is done when they return. With BOOTH_TAPE=0 in the environment nodes are always run one
 * by one.
 */
int session_go(struct session *s, struct err *e);
int session_fetch(struct session *s, id x, void *out, struct err *e);

/* NCHW <-> NHWC on the host: latents and pictures are [n][c][h][w] in files. */
void to_nhwc(float *out, const float *in, int64_t n, int64_t c, int64_t h, int64_t w);
void to_nchw(float *out, const float *in, int64_t n, int64_t c, int64_t h, int64_t w);

#endif
