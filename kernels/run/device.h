/*
 * Which device computes: "cpu", "cuda" (the first GPU), "cuda:N", or "auto": the first GPU that can run
 * everything, which is told on stderr, else the CPU, which is told with the reason where there is a GPU.
 * The CUDA backend is loaded from booth-cuda.so, in lib beside the folder of the executables or in
 * lib/booth of where they are installed (BOOTH_LIB_PATH names another folder), when it is first asked
 * for, and stays loaded; without it nothing of NVIDIA's is needed or looked at.
 */
#ifndef RUN_DEVICE_H
#define RUN_DEVICE_H

#include "common/base/buf.h"
#include "kernels/backend.h"

/* The option row of stages that compute; at: const char *, NULL if it is not given. */
#define DEVICE_ROW(at) { "device", OPT_TEXT, at, "", "what computes: cpu, cuda, cuda:N, or auto: a GPU if one can; else $BOOTH_DEVICE or auto", .quiet = 1 }

/* The word that counts: the option's, or BOOTH_DEVICE's, or "auto". */
const char *device_word(const char *given);

/* Is it one of the words? For struct stage's check; NULL is. */
int device_check(const char *given, struct err *e);

/* Do both compute on the same device, as far as words tell? auto is taken for the first GPU, and for the CPU. */
int device_same(const char *a, const char *b);

/* -1: an unknown word, a GPU that is not there or can't be used, and why. threads: of the CPU. */
int device_open(struct backend **out, const char *given, int threads, struct err *e);

/* What there is and what will run, and why not: lines of "WORD<tab>sentence". */
void device_report(struct buf *out);

#endif
