/* Can this machine run us? Questions that need no device, so that tests can ask them. */
#ifndef CUDA_CHECK_H
#define CUDA_CHECK_H

#include "kernels/backend.h"

#define CUDA_OLDEST 75          /* compute capability 7.5: the oldest that is built for */

/* -1 and the sentence: no driver, too old a driver, no device, none of that number, too old a device. */
int cuda_check_driver(const struct cuda_report *r, struct err *e);
int cuda_check_device(const struct cuda_report *r, int device, struct err *e);
int cuda_check_shape(size_t shape, struct err *e);

/* The ops without a kernel, as r->missing. */
void cuda_missing(char *out, size_t size);

#endif
