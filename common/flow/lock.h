/*
 * ROOT/lock: who uses the store's objects holds it shared (stages, `booth run`), who deletes some
 * (`booth gc`) holds it alone. The lock goes away with the process, whatever ends it.
 */
#ifndef FLOW_LOCK_H
#define FLOW_LOCK_H

#include "common/base/err.h"
#include "common/base/oid.h"

#define LOCK_BUSY (-2)

/*
 * The descriptor to close, or -1. Shared waits for its turn (a deletion takes seconds); `alone`
 * does not wait: LOCK_BUSY if somebody uses the store. The folder is made if it is not there; one on
 * a network file system is refused.
 */
int lock_take(const char *root, int alone, struct err *e);

/*
 * ROOT/doing: an action is computed by one process at a time. Who computes one holds the byte of
 * that file whose number is the beginning of the action's key (an open file description's lock:
 * the kernel takes it back when the holder ends, whatever ends it, and threads exclude each other
 * too). Others wait, then look the result up; so after claim_take always look again.
 *
 * A claim saves work and guards nothing: where none can be had (a file system without locks, a
 * store that cannot be written to), the work is done without one. Nobody waits for the claim of
 * one item while holding another's, so that nobody waits in a circle. Items that take less time
 * than a write to disk (store_record_later) are not claimed; their stage is.
 */
#define CLAIM_NONE (-1)         /* go on without */
#define CLAIM_STOPPED (-2)      /* asked to stop while waiting; a sentence is in e */

int claim_take(const char *root, const struct oid *key, struct err *e);
void claim_drop(int claim);

#endif
