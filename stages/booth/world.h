/*
 * What a run found around it, put on its record so that the next one can be told apart from it: the
 * recipe's variables (rows "var NAME") and files and folders outside (rows "outside PATH", with the
 * listing of a folder).
 */
#ifndef BOOTH_WORLD_H
#define BOOTH_WORLD_H

#include "stages/booth/run.h"

/*
 * Rows for all that the steps on record of t->now took from outside. With `keep` the listings of
 * folders are stored and named in the rows.
 */
int now_world(struct runner *r, struct task *t, int keep, struct err *e);

/* Columns item (path below the folder) and text (hash), sorted; hidden files are left out. */
int folder_table(struct stores *s, const char *path, struct table *out, struct err *e);

#endif
