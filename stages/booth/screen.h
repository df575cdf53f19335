/*
 * The lines of running stages at the bottom of a terminal, drawn again in place; what is said
 * meanwhile scrolls above them. Nothing is drawn elsewhere, on TERM=dumb, or with --quiet.
 */
#ifndef BOOTH_SCREEN_H
#define BOOTH_SCREEN_H

#include "stages/booth/run.h"

int screen_wanted(void);
/* Draw a line for each running stage, at most ten times a second unless `now` is given. */
void screen_draw(struct runner *r, int now);
/* Take the lines away; for what is said next, and at the end. */
void screen_clear(struct runner *r);

#endif
