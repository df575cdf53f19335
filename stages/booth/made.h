/* What made a result: the stages' own actions, looked up by what came out. */
#ifndef BOOTH_MADE_H
#define BOOTH_MADE_H

#include "common/base/file.h"
#include "common/data/store.h"

struct made {
	char *text;             /* of the action; NULL: none was found */
	struct buf note;
	double seconds;
	int64_t time;
	char host[64];
};

/* The newest action of the reference's stage whose result it is. 1, 0, -1. */
int made_find(struct made *m, struct stores *s, const struct ref *ref, struct err *e);
void made_release(struct made *m);

/* booth explain REFERENCE: the exit code. */
int explain_ref(struct stores *s, const char *text);

#endif
