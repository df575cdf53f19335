/*
 * Sharing results: push, pull, export, import.
 *
 * What goes (common/data/reach.h): with a result everything that it names, the actions that made
 * it, and their inputs' chain, so that the same recipe on the other side runs nothing. Less with
 * --only result (no actions: it can be used, but a recipe would compute it again) or --only actions
 * (nothing of the stages before it). More with --states.
 *
 * What does not go: the records of runs (what `log`, `why` and `status` say of the past is each
 * side's own), files outside (a recipe's photographs and checkpoints must be on the other side too;
 * they are known by content, so their names don't matter), files that steps wrote (they are
 * written there when the recipe runs).
 *
 * Results that were named, and the tables of the stages before them, are kept by the receiver's gc
 * until `booth gc --unkeep`, unless --no-keep is given: nobody's recipe keeps them there yet. With
 * them goes the target's name, if there is one, so that `booth pull FOLDER lora` gets what was
 * pushed last as 'lora'.
 *
 * In order: objects, tables, actions, what is to be kept; each is checked before it is recorded.
 * So a transfer that broke off left whole objects and true actions, and the next one goes on from
 * there. Damaged ones are never recorded.
 */
#ifndef BOOTH_SHARE_H
#define BOOTH_SHARE_H

#include "common/base/opt.h"
#include "common/data/reach.h"
#include "common/data/stream.h"

/* The roots, and what goes with them. */
struct root {
	struct ref ref;
	char *name;             /* of its target, owned; NULL: not known */
};

struct send {
	struct stores *from;
	struct reach *reach;
	struct root *root;
	size_t roots, cap_roots;
};

/* Where it goes. `has` 1: leave it out (kind is 'o' or 'a'); 0; -1. */
struct sink {
	int (*has)(void *data, char type, const struct ref *r, struct err *e);
	int (*put)(void *data, const struct stream_record *r, struct err *e);
	void *data;
};

struct sent {
	size_t objects, actions, left_out;
	int64_t bytes;          /* of both */
};

/*
 * Words are references or names of targets (of the last run; else of what was received last under
 * that name); none: the last run of each target, and what is kept.
 */
int send_roots(struct send *s, struct stores *from, char *const *words, int n, struct err *e);
int send_gather(struct send *s, enum reach_depth depth, int states, struct err *e);
/* `put` NULL: only count. `keep`: with records of type 'k'. */
int send_all(struct send *s, const struct sink *sink, int keep, struct sent *out, struct err *e);
void send_release(struct send *s);

/* The other end. */
struct receive {
	struct stores *to;
	int keep, flushed;
	struct kept {
		struct ref ref;
		char *lines;    /* "name TARGET" if there is one, then STAGE/HEX */
	} *kept;
	size_t n_kept, cap_kept;
	struct sent got;        /* left_out: those that were there */
};
int receive_record(struct receive *r, const struct stream_record *rec, struct err *e);
int receive_end(struct receive *r, struct err *e);      /* everything on disk; what is kept, last */
void receive_release(struct receive *r);

/* ---- what the commands share ---- */

struct share_options {
	const char *only, *except;
	int states, keep, dry_run, list;
};

#define ROW_ONLY(o) { "only", OPT_CHOICE, &(o)->only, "", \
	"result: without the actions that made it; actions: without what it was made from", \
	.choices = "result actions", .quiet = 1 }
#define ROW_STATES(o) { "states", OPT_FLAG, &(o)->states, "", \
	"the states and kept weights of trainings too", .quiet = 1 }
#define ROW_KEEP(o) { "keep", OPT_FLAG, &(o)->keep, "", \
	"gc of the receiving store keeps them until booth gc --unkeep", .quiet = 1 }
#define ROW_DRY(o) { "dry-run", OPT_FLAG, &(o)->dry_run, "", \
	"say how much would be sent, send nothing", .quiet = 1 }

enum reach_depth share_depth(const struct share_options *o);
void share_print(FILE *to, const char *did, const struct sent *n);
int share_check_own(struct stores *s, struct err *e);   /* is there one? the others are forgotten */

#endif
