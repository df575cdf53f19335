/*
 * Every weight in a file is claimed exactly once: the names and shapes of a part are held against
 * those of the networks that its configuration describes, before anything is computed. What a
 * network would only miss when it is first used is an error here, and so is what no network would
 * ever ask for.
 */
#ifndef RUN_CLAIM_H
#define RUN_CLAIM_H

#include "kernels/run/pipeline.h"

/*
 * All parts that have weights. A failure names the first weight that is missing, unexpected or of
 * the wrong shape. Values are not looked at: whether they are finite shows when they are bound
 * (pool_put).
 */
int claim_check(const struct pipeline *p, struct err *e);

#endif
