/*
 * One LMDB environment, seen as three tables of keys and values. The only file that knows LMDB
 * is store_env.c. Inside common/data only; everybody else uses store.h.
 *
 * Safe to use from several threads. Values are looked at inside a callback (env_get, env_visit)
 * or held (env_hold); a write is a list of changes in one transaction, repeated with a larger map
 * when the map is full.
 */
#ifndef DATA_STORE_ENV_H
#define DATA_STORE_ENV_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

enum env_table { ENV_OBJECTS, ENV_ACTIONS, ENV_META, ENV__TABLES };

struct env;

/*
 * ENV_LOOK is for a store that belongs to others: nothing in it is made or written, and MDB_RDONLY
 * is set from the beginning. The one file that is touched is lock.mdb, and only if it is there and
 * may be written: in it LMDB announces readers, so that writers leave alone the pages that they
 * look at. Where it is not (a read-only mount, another user's folder), MDB_NOLOCK leaves readers
 * unannounced. That is safe as long as nobody writes there meanwhile. If somebody does, a look
 * that lasts longer than two commits could meet a page that is in use again; looks last
 * microseconds, and what they bring is hashed before it is believed.
 */
enum env_mode { ENV_LOOK = -1, ENV_THERE, ENV_CREATE };

/*
 * `map` is the size of the map to begin with (0: the usual one); tests use small ones.
 * 1 opened, 0 there is none and it is not to be made, -1.
 */
int env_open(struct env **out, const char *folder, int format, enum env_mode mode, size_t map,
	     struct err *e);
void env_close(struct env *env);                /* NULL is fine; BUG if something is held */
const char *env_folder(const struct env *env);
size_t env_map_size(struct env *env);

/* Every page, as it stands. */
int env_check(struct env *env, struct err *e);

/* Called with the value inside a read transaction; must not call env_*. < 0 is passed on. */
typedef int env_use(void *data, const void *at, size_t len, struct err *e);
int env_get(struct env *env, enum env_table table, const void *key, size_t key_len,
	    env_use *use, void *data, struct err *e);           /* 1, 0, -1; `use` may be NULL */

/* A value held in place: 1, 0, -1. The map cannot grow until env_drop. */
struct env_held {
	struct env *env;
	void *txn;
	const unsigned char *at;
	size_t len;
};
int env_hold(struct env *env, enum env_table table, const void *key, size_t key_len,
	     struct env_held *out, struct err *e);
void env_drop(struct env_held *h);

/* Every pair with key >= from (from_len 0: all), in order. != 0 stops; < 0 is passed on. */
typedef int env_pair(void *data, const void *key, size_t key_len, const void *at, size_t len,
		     struct err *e);
int env_visit(struct env *env, enum env_table table, const void *from, size_t from_len,
	      env_pair *use, void *data, struct err *e);

enum env_op { ENV_PUT_NEW /* leave it if there already */, ENV_PUT, ENV_DELETE };

struct change {
	enum env_op op;
	enum env_table table;
	const void *key;
	size_t key_len;
	struct { const void *at; size_t len; } part[3];         /* the value, in pieces */
};
/* All of them or none, on disk when it returns. */
int env_write(struct env *env, const struct change *c, size_t n, struct err *e);

#endif
