/* What the files of the store share. Inside common/data only. */
#ifndef DATA_STORE_IMPL_H
#define DATA_STORE_IMPL_H

#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>
#include "common/data/store.h"
#include "common/data/store_env.h"
#include "common/data/store_pack.h"

#define STAT_STAGE "stat"               /* the environment of the stat cache; no stage's */

/*
 * Where an id stands in an array whose elements begin with one: a hash table of positions, so that
 * much may wait without each new one being compared with all others. {0} is empty.
 */
struct oid_index {
	uint32_t *slot;                 /* position + 1; 0 = free */
	size_t slots, n;                /* slots: a power of two */
};
/* The position, or -1. */
ptrdiff_t oid_index_find(const struct oid_index *x, const struct oid *id, const void *array,
			 size_t size);
/* Element `at` of the array is new, or takes the place of an older one with the same id. */
void oid_index_add(struct oid_index *x, size_t at, const void *array, size_t size);
void oid_index_clear(struct oid_index *x);

struct waiting_object {
	struct oid id;
	struct packed packed;           /* owned */
};

struct waiting_action {
	struct oid key;
	struct buf record;
};

/*
 * The stat cache: what files outside hashed to, by folder, so that a folder of 100,000 pictures is
 * read in one go. In the environment STAT_STAGE, table objects: key = hash of the folder's real
 * path, then the part (the first bits of the hash of a file's name), so that one new file makes one
 * part be written again; value = hash of key and stamps, then the stamps, sorted by name.
 */
struct stamp {
	struct oid name;                /* hash of the file's name in its folder */
	unsigned char of_file[48];      /* size, inode, times */
	struct oid hash;                /* of its content */
};

struct stamps {                         /* of one folder */
	char *path;                     /* as it was asked for */
	struct oid folder;
	struct stamp *at;               /* sorted */
	size_t n;
	struct stamp *new;              /* not written yet */
	size_t news, cap_news;
	int64_t new_bytes;              /* were read for them */
};

/* A folder's stamps, loaded once in a process; NULL: no such folder. Takes the lock. */
struct stamps *stamps_of(struct stores *s, const char *folder);
/* 1 (the file is as it was when it hashed to *out), 0. Takes the lock. */
int stamps_find(struct stores *s, const struct stamps *f, const char *name, const struct stat *st,
		struct oid *out);
/* The file hashed to that; forgotten if the file is so young that it may change unseen. */
void stamps_add(struct stores *s, struct stamps *f, const char *name, const struct stat *st,
		const struct oid *hash);
int same_stamp(const struct stat *a, const struct stat *b);
void stamps_flush_locked(struct stores *s);
void stamps_release(struct stores *s);

/* One stage's environment, and what is to be written to it in the next transaction. */
struct shelf {
	char stage[STAGE_NAME];
	struct env *env;
	struct waiting_object *object;
	size_t objects, cap_objects;
	struct waiting_action *action;
	size_t actions, cap_actions;
	struct oid_index object_at, action_at;
};

struct stores {
	char *root;
	size_t map;                     /* first size of maps, 0 = usual */
	pthread_mutex_t lock;           /* of everything below; environments lock themselves */
	struct shelf **shelf;
	size_t shelves, cap_shelves;
	size_t waiting_bytes;
	double waiting_since;           /* 0: nothing waits */
	struct stamps **stamps;
	size_t folders, cap_folders;

	/* store_second.c */
	struct stores *second;          /* looked through after this one; owned */
	int read_only, only_look;
	pthread_mutex_t taking;         /* of what is below */
	struct reach *reach;            /* what goes with results of this (second) store */
	struct taken taken;
	int64_t items_made, items_known;        /* see stores_items */
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

/* The shelf of a stage: 1, 0 (none, and create is 0), -1. Takes the lock / wants it held. */
int shelf_find(struct stores *s, const char *stage, int create, struct shelf **out, struct err *e);
int shelf_find_locked(struct stores *s, const char *stage, int create, struct shelf **out,
		      struct err *e);

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

#endif
