/*
 * The store: immutable objects named by content, and actions (work done -> what came out), in one
 * LMDB environment for each stage kind below a root folder (.booth/prep, .booth/train, ...).
 *
 * What LMDB asks of us: one environment once in a process (store_open keeps a table of the open
 * ones inside struct stores); not carried over fork(); not on a network file system; short
 * transactions; the map grows by itself (a map of the file's size times two at least, enlarged
 * on MDB_MAP_FULL and MDB_MAP_RESIZED).
 *
 * Objects are written before the table that names them and the action last, each committed to
 * disk when the call that says so returns. Killed at any instant, a store holds at worst objects
 * that nobody names.
 *
 * Return codes everywhere: 1 found, 0 absent (or fine, for calls that do not look anything up),
 * -1 failed with a sentence in e.
 */
#ifndef DATA_STORE_H
#define DATA_STORE_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/oid.h"
#include "common/data/table.h"
#include "common/data/tensor.h"

/*
 * In every environment. A later one is refused by its number. Format 1 had no sums in recorded
 * actions; it is read, and becomes format 2 with the first write.
 */
#define STORE_FORMAT 2
#define STAGE_NAME 24           /* longest stage name, with the NUL */

struct ref {                    /* a result: STAGE/32HEX */
	char stage[STAGE_NAME];
	struct oid id;
};

struct stores;                  /* all environments below one root */

/*
 * `root` (NULL: $BOOTH_STORE; empty: .booth) is a folder, made when something is first written.
 *
 * Behind it, each after a ':', other stores can be named, as folders in PATH: .booth:/data/shared.
 * They are never written to and must be there (a folder without a store, as that of a disk that is
 * not mounted, is an error). The first store is looked at first, in everything.
 *   - Objects that the first does not have are read where they are (store_get, store_pin,
 *     ref_parse).
 *   - A result that is known there only (store_find) is copied, with all that it names and, of a
 *     stage or step, the actions that made it and its items, before anything relies on it; so is
 *     what a new table or action names (store_put_table, store_record). So whatever the first
 *     store's own tables and actions name lies in the first: gc and check of it need no other, gc
 *     of another one or its end takes nothing away from it, and what was used once is there for
 *     good. The price is the room for what is used.
 *   - store_has, stores_list, store_actions, store_objects and the deleting calls mean the first
 *     alone; so do the runner's records of its runs, which say what was done here.
 */
int stores_open(struct stores **out, const char *root, struct err *e);
void stores_close(struct stores *s);            /* NULL is fine; BUG if something is pinned */
const char *stores_root(const struct stores *s);        /* of the first */
struct stores *stores_second(const struct stores *s);   /* the next one, or NULL; not to be closed */
/* A store that belongs to others, for reading only; -1 if there is none in that folder. */
int stores_open_look(struct stores **out, const char *root, struct err *e);
void stores_first_only(struct stores *s);       /* forget the others */
void stores_only_look(struct stores *s);        /* from now on nothing is copied */
int stores_there(const char *root);             /* does the folder hold a store? */
/*
 * gc of a store that is only read waits until the descriptor is closed. -1: there is no lock file
 * that can be opened, which is no failure: nobody ever ran gc there.
 */
int stores_hold(const struct stores *s);

struct taken {                  /* so much was copied from the others */
	size_t objects, actions;
	int64_t bytes;
};
struct taken stores_taken(struct stores *s);

/* Names of the environments that exist, sorted. */
struct names;
int stores_list(struct stores *s, struct names *out, struct err *e);

/* ---- objects ---- */

struct blob {
	enum kind kind;
	unsigned char *at;      /* owned, 64-byte aligned; blob_release */
	size_t len;
};
void blob_release(struct blob *b);

/*
 * Write an object (below 1 GiB); it is on disk after
 * stores_flush or the next action. *out names it.
 */
int store_put(struct stores *s, const char *stage, enum kind kind, const void *at, size_t len,
	      struct ref *out, struct err *e);
int store_put_tensor(struct stores *s, const char *stage, const struct tensor *t, struct ref *out,
		     struct err *e);
int store_put_table(struct stores *s, const char *stage, const struct table *t, struct ref *out,
		    struct err *e);
int stores_flush(struct stores *s, struct err *e);

int store_has(struct stores *s, const struct ref *r, struct err *e);
/*
 * A copy; its hash is checked against the name (a damaged
 * object is a failure that says so). 1, 0, -1.
 */
int store_get(struct stores *s, const struct ref *r, struct blob *out, struct err *e);
/* As store_get, but absence is a failure, and the kind must be the one wanted. 0, -1. */
int store_need(struct stores *s, const struct ref *r, enum kind kind, struct blob *out,
	       struct err *e);
int store_get_table(struct stores *s, const struct ref *r, struct table *out, struct err *e);
/* owns its values */
int store_get_tensor(struct stores *s, const struct ref *r, struct tensor *out, struct err *e);

/*
 * Look at a raw object (weights) in place. Good until store_unpin, which must come soon: while it
 * is held, pages freed by writers cannot be used again and the file grows. Never across a training
 * step.
 */
struct pin {
	const unsigned char *at;        /* 16-byte aligned */
	size_t len;
	void *hold;
};
/* 1, 0, -1; the hash is checked */
int store_pin(struct stores *s, const struct ref *r, struct pin *p, struct err *e);
void store_unpin(struct pin *p);

const char *kind_name(enum kind kind);          /* "text", "image", "tensor", "table", "file" */

/* ---- references as text ---- */

char *ref_text(const struct ref *r, char out[STAGE_NAME + 1 + OID_HEX]);
int ref_is(const char *text);                   /* has the form STAGE/HEX..., 4 digits at least */
/* Abbreviations are completed if unambiguous. 0, -1 (no such object; ambiguous: names them). */
int ref_parse(struct stores *s, const char *text, struct ref *out, struct err *e);

/* ---- actions ---- */

/*
 * The text that is hashed to an action's key, one line each:
 *	stage encode-latents 4
 *	item
 *	param resolution 512
 *	input image 1f0c9a52...          (content only: the object's id, no stage, no path)
 */
struct action {
	char stage[STAGE_NAME];
	struct buf text;
};
/* "stage", "item" or "state" */
void action_begin(struct action *a, const char *stage, int version, const char *level);
/* BUG if value holds a line end */
void action_param(struct action *a, const char *name, const char *value);
void action_paramf(struct action *a, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void action_input(struct action *a, const char *name, const struct oid *id);
void action_release(struct action *a);
void action_key(const struct action *a, struct oid *out);

struct result {
	struct ref out;         /* what came out (its stage is the
				 * action's unless it says otherwise) */
	struct buf note;        /* free text: small numbers of the item, e.g. "verdict=fixed" lines */
	double seconds;         /* the work took */
	int64_t time;           /* Unix seconds when it was recorded */
	char host[64];
};
void result_release(struct result *r);

/*
 * 1 found (and the object it names exists), 0 absent, -1 failed.
 * `out` may be NULL; else it is overwritten, {0} if absent.
 */
int store_find(struct stores *s, const struct action *a, struct result *out, struct err *e);
/* Commits everything put before it, then the action. out->time and host are filled in. */
int store_record(struct stores *s, const struct action *a, struct result *r, struct err *e);

/*
 * As store_record, but written together with others, at the latest with the next store_record,
 * stores_flush or stores_close, or a call like this one a second later. For items so cheap that
 * waiting for the disk would cost more than they do; killed before that, they are done again.
 */
int store_record_later(struct stores *s, const struct action *a, struct result *r, struct err *e);
/* One of the two, by r->seconds: what took less than a write to disk can take waits for others. */
#define STORE_WRITE_SECONDS .02
int store_record_item(struct stores *s, const struct action *a, struct result *r, struct err *e);

/* Item actions of this stage that were recorded, and found, since the stores were opened. */
void stores_items(const struct stores *s, int64_t *made, int64_t *known);

/* Every action of a stage's store, oldest first: for why, log, status, gc. callback != 0 stops. */
typedef int action_visit(void *data, const struct oid *key, const char *text,
			 const struct result *r);
int store_actions(struct stores *s, const char *stage, action_visit *visit, void *data,
		  struct err *e);

/* Every object: for ls, check, gc. `size` is as stored. */
typedef int object_visit(void *data, const struct ref *r, enum kind kind, size_t size);
int store_objects(struct stores *s, const char *stage, object_visit *visit, void *data,
		  struct err *e);
/*
 * Are the pages of a stage's file sound? 0, -1. What a damaged one can do and what is done about
 * it: a value that is not what was written is never used (an object has its hash for a name, an
 * action carries a sum), a page that is not sound is never written to, and one that would end the
 * process ends it with a sentence and exit 1 (store_pages.h, store_guard.h).
 */
int store_check(struct stores *s, const char *stage, struct err *e);
int store_delete(struct stores *s, const struct ref *r, struct err *e);
int store_delete_action(struct stores *s, const char *stage, const struct oid *key, struct err *e);

/* ---- files from outside ---- */

/*
 * Content hash of a file, or of a folder (names and contents of its files, sorted, hidden ones left
 * out), through a stat cache (size, mtime, ctime, inode -> hash; a stamp younger than two seconds
 * is not trusted).
 */
int outside_hash(struct stores *s, const char *path, struct oid *out, struct err *e);

#endif
