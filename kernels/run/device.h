/*
 * Which device computes: "cpu", "cuda" (the first GPU) or "cuda:N". The CUDA backend is loaded from
 * lib/booth-cuda.so beside the folder of the executables (BOOTH_LIB_PATH names another folder) when it
 * is first asked for, and stays loaded; without it nothing of NVIDIA's is needed or looked at.
 */
#ifndef RUN_DEVICE_H
#define RUN_DEVICE_H

#include "common/base/buf.h"
#include "kernels/backend.h"

/* -1: an unknown word, a GPU that is not there or can't be used, and why. threads: of the CPU. */
int device_open(struct backend **out, const char *device, int threads, struct err *e);

/* What there is and what will run, and why not: lines of "WORD<tab>sentence". */
void device_report(struct buf *out);

#endif
