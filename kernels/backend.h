/*
 * A backend runs nodes. One is chosen for a run; there is no fall-back from one to another, and a
 * kernel that is missing is a failing test.
 *
 * Kernels never allocate and never decide: scratch was asked for before planning and has its place
 * in the arena; shapes and types were checked when the graph was built. Results do not depend on
 * the number of threads.
 */
#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H

#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "kernels/ir/graph.h"

struct view {                   /* where a tensor lies; at == NULL: absent */
	void *at;
	const int64_t *dim;
	enum dtype type;
};

struct call {                   /* one node to run */
	const struct node *n;
	struct view in[MAX_IN];
	struct view out[MAX_OUT];       /* out[1], out[2]: aux results that somebody wants */
	void *scratch;                  /* 64-byte aligned, as many bytes as scratch() said */
};

enum precision { PRECISION_F32, PRECISION_TF32, PRECISION_BF16, PRECISION_FP16 };

struct room {                   /* a device's memory, in bytes */
	size_t all, unused, ours;       /* ours: what was taken by alloc, and overhead */
	char holders[200];      /* "process 4711 holds 20480 MB", as far as that is told; else "" */
};

struct backend {
	const char *name;               /* "cpu", "cuda" */
	char device[128];               /* in words: "AMD EPYC, 2 threads, avx512" */
	size_t overhead;                /* bytes of the device that it takes for itself */
	/* 64-byte aligned; contents undefined */
	int    (*alloc)(struct backend *b, size_t bytes, void **dev, struct err *e);
	void   (*release)(struct backend *b, void *dev, size_t bytes);
	/*
	 * In the order of what runs. put may return before the device has it, but the caller may change
	 * `host` at once; several threads may put. get waits.
	 */
	int    (*put)(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e);
	int    (*get)(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e);
	/* Bytes that node x of g wants while it runs. */
	size_t (*scratch)(struct backend *b, const struct graph *g, id x);
	/* may return before it is done */
	int    (*run)(struct backend *b, const struct call *c, struct err *e);
	/* What failed since the last one is told here at the latest, and by every call after it. */
	int    (*wait)(struct backend *b, struct err *e);
	/* NULL: it computes in the machine's memory (mem_machine). */
	int    (*memory)(struct backend *b, struct room *r, struct err *e);
	/* Lines that say how nodes run, as settled by scratch(), each once; NULL: it has nothing to say. */
	void   (*report)(struct backend *b, struct buf *out);

	/*
	 * What a backend has whose runs go on while the caller does something else; NULL in others.
	 *
	 * A tape is a list of calls that was put down once (nothing runs then) and is run as one thing:
	 * every call must have run before, so that nothing has to be chosen or loaded on the way. It keeps
	 * the calls' addresses. forget gives it back, as does whoever releases those addresses before.
	 */
	int    (*record)(struct backend *b, const struct call *const *c, size_t n, void **tape, struct err *e);
	int    (*replay)(struct backend *b, void *tape, struct err *e);
	void   (*forget)(struct backend *b, void *tape);
	/* As get, for a few bytes, but `host` is written by wait, and has to stay until then. */
	int    (*fetch)(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e);
	void   (*close)(struct backend *b);
	unsigned lacks;                 /* bits 1 << enum precision: what the device can't compute in */
	int tf32;                       /* set by who opened it: f32 products may round what they
					 * multiply to TF32 */
	void   *own;
};

/*
 * threads 0: as many as the process may use. isa NULL: the best that the CPU has; else "avx512", "avx2",
 * "plain" (tests); one that the CPU lacks is a failure.
 */
int cpu_open(struct backend **out, int threads, const char *isa, struct err *e);

/*
 * CUDA is a shared object, lib/booth-cuda.so beside the executables' folder, found by kernels/run/device.h;
 * these are the two functions that it shows, by these names. Both fail with the sentence that a user
 * should read. CUDA_SHAPE tells whether the object was built from the same headers.
 */
#define CUDA_SHAPE (sizeof(struct call) * 1000 + sizeof(struct node) * 100 + sizeof(struct backend) + \
		    sizeof(struct cuda_report) * 10 + OP__COUNT)
#define CUDA_MOST 16

struct cuda_device {
	char name[128];
	int major, minor;       /* compute capability */
	size_t memory;          /* bytes */
};

struct cuda_report {
	int driver, runtime;    /* 13000 is CUDA 13.0; driver 0: none */
	int n;                  /* devices, CUDA_MOST are listed */
	char trouble[160];      /* why there are none, where the driver says more than that */
	struct cuda_device device[CUDA_MOST];
	char missing[1024];     /* ops that have no kernel yet, blanks between */
	int libraries;          /* set by the caller: look for cuDNN, too, which takes a while */
	char dnn[64], no_dnn[256];      /* "cuDNN 9.19.0", or why own kernels do its work */
};

typedef int booth_cuda_report_fn(struct cuda_report *out, size_t shape, struct err *e);
typedef int booth_cuda_open_fn(struct backend **out, int device, size_t shape, struct err *e);

#endif
