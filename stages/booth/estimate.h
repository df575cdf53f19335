/*
 * What would a run cost? Each step is compared with the recorded ones of its stage: the one whose
 * text differs least says what is fixed and what a unit of its work takes (an item that is not
 * known, a step of training), and ratios of a few parameters (steps, count, batch, resolution)
 * make up for what differs. How many items there are to do follows from the files and tables that
 * changed, through all steps behind them.
 */
#ifndef BOOTH_ESTIMATE_H
#define BOOTH_ESTIMATE_H

#include "stages/booth/run.h"

struct estimate {               /* of one target, or of all */
	double seconds;
	int known;              /* something was measured for each step that would run */
	size_t items, of;       /* of the step that has most to do; of 0: it has no items */
};

struct recorded {
	char *text;
	struct cost cost;
};

struct estimator {
	struct runner *runner;
	struct recorded *at;    /* steps, oldest first */
	size_t n, cap;
	struct flow *flow;      /* of each task's result */
};

/* After next_look(r). */
int estimate_begin(struct estimator *x, struct runner *r, struct err *e);
/* Tasks in their order, each once. Of a task that is FRESH: nothing. */
void estimate_task(struct estimator *x, const struct task *t, struct estimate *out);
void estimate_end(struct estimator *x);

/* What the whole target took when it was made, as far as it is on record. */
double rebuild_seconds(const struct past *p);

#endif
