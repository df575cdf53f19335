/*
 * LMDB trusts the pages of its file. One that is damaged can end the process, with a signal or by
 * an assertion; inside of the calls between guard_enter and guard_leave (of the same thread) such
 * an end becomes one sentence that names the store, and exit 1. What was committed stays committed.
 * Inside common/data only.
 */
#ifndef DATA_STORE_GUARD_H
#define DATA_STORE_GUARD_H

/* `folder` names the store, and must live until guard_leave. */
void guard_enter(const char *folder);
void guard_leave(void);
/* For LMDB's assertions. */
void guard_failed(const char *folder);

#endif
