/*
 * The device's memory, as far as the host can tell: what alloc hands out can't be read or written, as a
 * GPU's memory can't. The bytes lie elsewhere, where kernels and copies reach them, and hold NaN at first.
 */
#ifndef CUDA_HOST_MEMORY_H
#define CUDA_HOST_MEMORY_H

#include <stddef.h>
#include "common/base/err.h"
#include "kernels/backend.h"

struct piece { char *shown, *real; size_t bytes; };

struct memory {
	struct piece *piece;
	size_t n, cap;
};

int  memory_take(struct memory *m, size_t bytes, void **shown, struct err *e);
void memory_give(struct memory *m, void *shown);
void memory_release(struct memory *m);
/* Where the bytes of an address lie: of one that no piece has, and of NULL, itself. */
void *memory_at(const struct memory *m, const void *at);
struct call memory_call(const struct memory *m, const struct call *c);

#endif
