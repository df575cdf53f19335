/*
 * ROOT/lock: who uses the store's objects holds it shared (stages, `booth run`), who deletes some
 * (`booth gc`) holds it alone. The lock goes away with the process, whatever ends it.
 */
#ifndef FLOW_LOCK_H
#define FLOW_LOCK_H

#include "common/base/err.h"

#define LOCK_BUSY (-2)

/*
 * The descriptor to close, or -1. Shared waits for its turn (a deletion takes seconds); `alone`
 * does not wait: LOCK_BUSY if somebody uses the store. The folder is made if it is not there.
 */
int lock_take(const char *root, int alone, struct err *e);

#endif
