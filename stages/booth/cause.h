/*
 * One target's run compared with an earlier one, or with the one that would be next: each step's
 * text against its text of then. A line that differs is either a leaf (a parameter, a stage's
 * version, a file or folder outside) or merely follows from another step or target.
 */
#ifndef BOOTH_CAUSE_H
#define BOOTH_CAUSE_H

#include "common/data/store.h"
#include "common/flow/why.h"
#include "stages/booth/past.h"

struct cause {
	struct stores *stores;
	const char *target;
	const struct past *now, *before;
	int next;               /* `now` has not happened yet */
};

enum cause_kind {
	CAUSE_LEAF,
	CAUSE_STEP,             /* the step before gave something else */
	CAUSE_NEED,             /* another target did */
};

/* What one line of a step that differs comes from; *need is the other target's name. */
enum cause_kind cause_of(const struct cause *c, size_t step, const struct line_change *change,
			 const char **need);

/*
 * A leaf in words: one line behind `indent`, or one for each file of a folder; with the variable of
 * the recipe that led to it.
 */
void cause_leaf(const struct cause *c, size_t step, const struct line_change *change,
		const char *indent, struct buf *out);

/*
 * "lora: train | convert" from step `from` on, as far as it goes: *ends is 1 if a step gave the
 * same result as before, so that nothing follows from it.
 */
void cause_chain(const struct cause *c, size_t from, struct buf *out, int *ends);

/* Did the step come to the same result as before? (Never, of one that has not happened.) */
int cause_same_result(const struct cause *c, size_t step);

#endif
