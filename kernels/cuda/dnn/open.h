/*
 * cuDNN as a lane's library for whole convolutions and attention (../dnn.h), through its backend C API. For
 * each description the first of its engines, in the order of its heuristics, is taken that promises the
 * same bytes every time and no sums in 16 bits; a plan is kept for each, also that there is none.
 *
 * Convolutions never take an engine that is compiled at run time, which costs up to 3 s for each shape;
 * attention has no other kind (half a second each, several at a time, and kept for the next program: keep.c).
 */
#ifndef CUDA_DNN_OPEN_H
#define CUDA_DNN_OPEN_H

#include <stddef.h>
#include "common/base/buf.h"
#include "kernels/cuda/dnn.h"

struct dnn_options {
	void *stream;
	int capability;         /* 90: compute capability 9.0 */
	/* Makes the device the calling thread's, in threads of ours; NULL: every thread has it. */
	void (*enter)(void *data);
	void *data;
	/*
	 * NULL: the current device. Else a device's properties as cuDNN writes them (JSON): plans are made
	 * for it on a machine that has none, and can't be run (cuDNN 9.8; for attention there must be a
	 * libcuda.so.1 that hands out kernels).
	 */
	const char *device;
};

/* Fails with the reason why own kernels will do its work; BOOTH_CUDNN=0 in the environment is one. */
int dnn_open(struct dnn **out, const struct dnn_options *o, struct err *e);
void dnn_close(struct dnn *d);  /* NULL is fine */

/* "cuDNN 9.19.0", without opening it; -1: it is not there, or can't be used, and why. */
int dnn_version(char *out, size_t size, struct err *e);

/* What was settled since the last call: a line for each description. */
void dnn_report(struct dnn *d, struct buf *out);

#endif
