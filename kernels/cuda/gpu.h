/*
 * One GPU as the backend sees it: inside of open.c, feed.c, tape.c and room.c.
 *
 * Everything that runs goes through one stream, the lane's. What is put goes by way of page-locked
 * memory and a second stream, so that it travels while the lane computes:
 *
 *	put     -> slot on the host -> (stream up) -> slot on the device -> (lane) -> its places
 *
 * There are two slots. One is written again when what was in it has arrived on the device, and travels
 * again when the lane has taken the last one's values from there.
 */
#ifndef CUDA_GPU_H
#define CUDA_GPU_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/own.h"

#ifndef SLOT_BYTES              /* tests want to see slots change often */
#define SLOT_BYTES ((size_t)8 << 20)
#endif
#define BACK_BYTES ((size_t)64 << 10)

struct patch {                  /* bytes on their way, and where to */
	void *to;
	size_t at, bytes;
};

struct patches {
	struct patch *at;
	size_t n, cap;
};

struct slot {
	unsigned char *host, *dev;
	size_t used;
	struct patches patches;
	cudaEvent_t arrived, placed;
};

/* Work that a thread of its own does from the beginning on; whoever needs it waits for its end. */
struct starter {
	pthread_t thread;
	int running;
	pthread_mutex_t lock;
	struct err why;         /* "": it went well */
};

struct gpu {
	struct lane lane;       /* first: launch() gets at the rest through it */
	int device, capability; /* 90: compute capability 9.0 */
	char name[128];
	size_t held;            /* bytes of allocations */
	struct starter context, library, dnn;
	struct blas *blas;      /* when the library's starter has ended; lane.dnn when that of dnn has */
	struct err no_dnn;      /* why own kernels do cuDNN's work, until that was told */
	cudaStream_t up;
	pthread_mutex_t lock;   /* of the slots, and of what is added to the lane: several threads put */
	struct slot slot[2];
	int now;                /* the slot that is written */
	unsigned char *back;    /* page-locked: small values on their way to the host */
	size_t back_used;
	struct patches due;
};

static inline struct gpu *gpu_of(struct backend *b)
{
	return (struct gpu *)b->own;
}

/* Joins the context's starter, and makes the device the calling thread's. -1: it can't be used. */
int gpu_enter(struct gpu *g, struct err *e);
/* What failed now or, in the stream, before. */
int gpu_failed(struct gpu *g, cudaError_t code, const char *what, struct err *e);

/* feed.c */
cudaError_t feed_open(struct gpu *g);
void feed_close(struct gpu *g);
/* What was put is on its way, before what is run next; the caller holds the lock. */
int feed_send(struct gpu *g, struct err *e);
/* gpu_enter, and all that was run and put so far is in the stream, before what the caller adds to it. */
int gpu_begin(struct gpu *g, struct err *e);
int gpu_put(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e);
int gpu_get(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e);
int gpu_fetch(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e);
int gpu_wait(struct backend *b, struct err *e);

/* tape.c */
int gpu_record(struct backend *b, const struct call *const *c, size_t n, void **tape, struct err *e);
int gpu_replay(struct backend *b, void *tape, struct err *e);
void gpu_forget(struct backend *b, void *tape);

/* room.c */
int gpu_alloc(struct backend *b, size_t bytes, void **dev, struct err *e);
void gpu_release(struct backend *b, void *dev, size_t bytes);
int gpu_room(struct backend *b, struct room *r, struct err *e);

#endif
