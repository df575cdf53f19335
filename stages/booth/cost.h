/*
 * What a step costs: measured while it runs from what its stage reports (common/base/talk.h), kept
 * in the note of its record as a line
 *	cost SECONDS WORK DONE OF MADE KNOWN
 * seconds of it all and of its progress bars; units of the longest bar that were done, of how many;
 * items that were computed and that were known.
 */
#ifndef BOOTH_COST_H
#define BOOTH_COST_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/talk.h"

struct cost {
	double seconds, work;
	int64_t done, of, made, known;
};

void cost_put(struct buf *note, const struct cost *c);
/* 1 found, 0 there is no such line. */
int cost_read(struct cost *out, const char *note);

struct meter {                  /* of a running stage */
	struct cost cost;
	double longest;         /* seconds of the bar that cost.done is from */
	char what[32], unit[16], note[64];
	struct progress bar;    /* the one at hand; unit "" if there is none */
};

/* One reported line, without its end. */
void meter_line(struct meter *m, char *line);

#endif
