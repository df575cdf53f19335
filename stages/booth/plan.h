/* What a run would do and cost: booth run -n, and the memory that a training would take. */
#ifndef BOOTH_PLAN_H
#define BOOTH_PLAN_H

#include "stages/booth/run.h"

/* After next_look(r). */
int plan_print(struct runner *r, struct err *e);

/*
 * What `booth train --plan` prints for a step of the task, appended. 0: it is no training, or its
 * main input is not there yet; 1; -1 e.g. that the training would be refused.
 */
int plan_memory(struct runner *r, struct task *t, size_t step, struct buf *out, struct err *e);

#endif
