/*
 * The run of a target that would be next, as a record (past.h) of what is known about it: the texts
 * of all steps, where what runs before them is taken to give the same results as the last time. A
 * step's `reason` says why it would run, its `note` is NEXT_FOLLOWS if that depends on what comes
 * out of another one.
 */
#ifndef BOOTH_NEXT_H
#define BOOTH_NEXT_H

#include "stages/booth/run.h"

#define NEXT_FOLLOWS "follows"

struct next;

/*
 * Variables are set as in the last run, on its command line, unless `set` (NAME=VALUE words) says
 * otherwise.
 */
int next_open(struct next **out, struct stores *s, const char *recipe, const char *target,
	      const struct past *last, char *const *set, size_t sets, struct err *e);
void next_close(struct next *n);                /* NULL is fine */

const struct past *next_of(struct next *n, const char *target);        /* NULL: no such task */
int next_is_fresh(struct next *n, const char *target);
const char *next_settings(const struct next *n);        /* "A=b C=d" */

/*
 * The same for the tasks of an open runner: their states are set (FRESH, STALE, UNSURE), t->now is
 * filled, for those that are not FRESH with what is known.
 */
int next_look(struct runner *r, struct err *e);

#endif
