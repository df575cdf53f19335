/* What the files of the store share. Inside common/data only. */
#ifndef DATA_STORE_IMPL_H
#define DATA_STORE_IMPL_H

#include <pthread.h>
#include "common/data/store.h"
#include "common/data/store_env.h"
#include "common/data/store_pack.h"

#define STAT_STAGE "stat"               /* the environment of the stat cache; no stage's */

struct waiting_object {
	struct oid id;
	struct packed packed;           /* owned */
};

struct waiting_action {
	struct oid key;
	struct buf record;
};

#define STAMP 72

struct stamp {                          /* a file's hash, by the hash of its path */
	struct oid path;
	unsigned char value[STAMP];     /* 48 bytes of stamp, 16 of hash, 8 of both and the path */
};

/* One stage's environment, and what is to be written to it in the next transaction. */
struct shelf {
	char stage[STAGE_NAME];
	struct env *env;
	struct waiting_object *object;
	size_t objects, cap_objects;
	struct waiting_action *action;
	size_t actions, cap_actions;
};

struct stores {
	char *root;
	size_t map;                     /* first size of maps, 0 = usual */
	pthread_mutex_t lock;           /* of everything below; environments lock themselves */
	struct shelf **shelf;
	size_t shelves, cap_shelves;
	size_t waiting_bytes;
	double waiting_since;           /* 0: nothing waits */
	struct stamp *stamp;
	size_t stamps, cap_stamps;

	/* store_second.c */
	struct stores *second;          /* looked through after this one; owned */
	int read_only, only_look;
	pthread_mutex_t taking;         /* of what is below */
	struct reach *reach;            /* what goes with results of this (second) store */
	struct taken taken;
};

#define STORE_USUAL ".booth"

struct stores *stores_new(const char *root, size_t len);
int second_open_list(struct stores *s, const char *list, struct err *e);        /* "B:C" */
void second_close(struct stores *s);
/*
 * Find an action's result in the stores behind the first, and copy it and what goes with it unless
 * only_look. 1, 0, -1. Copy a result / what a table names if it is in one of those stores only.
 */
int second_find(struct stores *s, const struct action *a, struct result *out, struct err *e);
int second_take(struct stores *s, const struct ref *r, struct err *e);
int second_take_named(struct stores *s, const struct table *t, struct err *e);

/* The shelf of a stage: 1, 0 (none, and create is 0), -1. Takes the lock. */
int shelf_find(struct stores *s, const char *stage, int create, struct shelf **out, struct err *e);

/* With the lock held: write everything that waits / if it is much or old. */
int flush_locked(struct stores *s, struct err *e);
int flush_some_locked(struct stores *s, struct err *e);
struct waiting_object *shelf_waiting(struct shelf *f, const struct oid *id);    /* or NULL */
void wait_bytes_locked(struct stores *s, size_t bytes);         /* so much more waits now */

/* Write a packed object now or, if it is small, with others. */
int shelf_put(struct stores *s, struct shelf *f, const struct oid *id, struct packed *p,
	      struct err *e);
/* A recorded action as it lies in the store under that key, read; `text` may be NULL. */
int record_read(struct result *r, const struct oid *key, struct buf *text, const void *at,
		size_t len, struct err *e);
/* One more that waits; its record is the shelf's from now on. With the lock held. */
void shelf_add_action_locked(struct stores *s, struct shelf *f, const struct waiting_action *w);
/* As store_find, this store alone. */
int find_own(struct stores *s, const struct action *a, struct result *out, struct err *e);

/* Put "object 'STAGE/HEX'" in front of the sentence; compare an object's bytes with its name. */
int fail_object(const struct ref *r, struct err *e);
int object_check(const struct ref *r, enum kind kind, const void *at, size_t len, struct err *e);

int stage_name_valid(const char *stage, size_t len);
void stamp_sum(unsigned char value[STAMP], const struct oid *path);
int stamps_flush_locked(struct stores *s, struct err *e);

#endif
