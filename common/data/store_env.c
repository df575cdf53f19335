#include "common/data/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_guard.h"
#include "common/data/store_pages.h"

#define MAP_USUAL ((size_t)16 << 30)    /* address space only; halved where a limit refuses it */
#define MAP_LEAST ((size_t)1 << 20)
#define HELD_WAITS 300                   /* times 10 ms */
#define MADE_WAITS 100                   /* times 10 ms */
#define KEY_LIMIT 511                   /* LMDB's */
#define READERS 512
#define LOCK_ROOM ((READERS + 4) * 64)   /* bytes; a reader takes 64 */
#define PAGES_AHEAD 256                 /* above what a transaction takes in vain at the end */

struct env {
	MDB_env *mdb;
	MDB_dbi table[ENV__TABLES];
	char *folder;
	int read_only;
	int why_read_only;              /* errno */
	int held;                       /* atomic; read transactions that outlive a call */
	MDB_txn *idle;                  /* atomic; a reader that is reset, for the next who reads:
					 * finding a free slot takes longer than a look-up */
	size_t page;
	int format, format_found;       /* ours; an older one becomes ours with the first write */
	struct pages pages;             /* looked at before they are written to */
	int free_checked;
	pid_t pid;
	pthread_rwlock_t map;           /* read: a transaction is open;
					 * write: the map is replaced */
};

static const char *const table_name[ENV__TABLES] = { "objects", "actions", "meta" };
static const char format_key[] = "format";

const char *env_folder(const struct env *env)
{
	return env->folder;
}

/* LMDB's codes as sentences. What its own texts call corrupted is what a user calls damaged. */
static int fail_mdb(struct err *e, const char *folder, const char *doing, int rc)
{
	switch (rc) {
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
		return fail(e, "store '%s' is damaged (%s); move it away, and what it held is made again when it is "
			    "needed", folder, mdb_strerror(rc));
	case MDB_VERSION_MISMATCH:
		return fail(e, "store '%s' was made by another version of LMDB", folder);
	case MDB_READERS_FULL:
		return fail(e, "store '%s' has too many readers at once", folder);
	default:
		return fail(e, "cannot %s store '%s': %s", doing, folder, mdb_strerror(rc));
	}
}

/* What is wrong is in e. */
static int fail_pages(struct err *e, const char *folder)
{
	struct err why = *e;

	return fail(e, "store '%s' is damaged (%s); move it away, and what it held is made again when it is needed",
		    folder, why.text);
}

/* ---- opening ---- */

/*
 * A file that was cut short would end the process with SIGBUS at the first look behind its end.
 * env_write keeps the file as long as its pages (make_room), so that a shorter one is a damaged
 * one.
 */
static int check_length(struct env *env, struct err *e)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat file;
	mdb_filehandle_t fd;
	unsigned long long want;

	mdb_env_info(env->mdb, &info);
	mdb_env_stat(env->mdb, &st);
	env->page = st.ms_psize;
	want = ((unsigned long long)info.me_last_pgno + 1) * st.ms_psize;
	if (mdb_env_get_fd(env->mdb, &fd) || fstat(fd, &file))
		return fail_errno(e, "cannot open store '%s'", env->folder);
	if ((unsigned long long)file.st_size < want)
		return fail(e, "store '%s' is damaged: its file has %lld bytes, %llu are wanted; move it away, and "
			    "what it held is made again when it is needed", env->folder, (long long)file.st_size, want);
	if (info.me_last_txnid == 0)    /* new; somebody may be making it */
		return 0;
	if (pages_map(&env->pages, fd, env->page, e) < 0 || pages_metas(&env->pages, e) < 0)
		return fail_pages(e, env->folder);
	return 0;
}

static void on_assert(MDB_env *mdb, const char *what)
{
	const char *folder = "?";

	(void)what;
	mdb_env_get_path(mdb, &folder);
	guard_failed(folder);
}

/*
 * LMDB writes to its lock file through a map, so that a full disk would end the process there. 0,
 * or ENOSPC and the like; other errors are LMDB's to meet.
 */
static int make_lock_room(const char *folder)
{
	char *path = path_join(folder, "lock.mdb");
	struct stat st;
	int fd = -1, rc = 0;

	if (stat(path, &st) < 0 || (uint64_t)st.st_blocks * 512 < LOCK_ROOM)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd >= 0) {
		if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_ROOM) < 0 && (errno == ENOSPC || errno == EDQUOT))
			rc = errno;
		close(fd);      /* before LMDB opens it, whose locks this would give back */
	}
	free(path);
	return rc;
}

/* One try with one map size and one set of flags; env->mdb is NULL again if it failed. */
static int try_open(struct env *env, size_t map, unsigned flags)
{
	int rc = mdb_env_create(&env->mdb);

	if (rc)
		return rc;
	mdb_env_set_maxdbs(env->mdb, ENV__TABLES);
	mdb_env_set_maxreaders(env->mdb, READERS);
	mdb_env_set_assert(env->mdb, on_assert);
	rc = mdb_env_set_mapsize(env->mdb, map);
	if (!rc)
		rc = mdb_env_open(env->mdb, env->folder, MDB_NOTLS | flags, 0666);
	if (rc) {
		mdb_env_close(env->mdb);
		env->mdb = NULL;
	}
	return rc;
}

/* Without a lock file that can be written LMDB would make one, or fail. */
static unsigned look_flags(const char *folder)
{
	char *lock = path_join(folder, "lock.mdb");
	unsigned flags = access(lock, W_OK) == 0 ? MDB_RDONLY : MDB_RDONLY | MDB_NOLOCK;

	free(lock);
	return flags;
}

/* Less than two pages, and the beginning of what LMDB writes into a file that is new. */
static int is_half_made(int fd)
{
	static const unsigned char head[20] = { [10] = 8, [16] = 0xde, [17] = 0xc0, [18] = 0xef, [19] = 0xbe };
	unsigned char is[152] = { 0 };
	static const unsigned char no_transaction[8];
	ssize_t n = pread(fd, is, sizeof is, 0);
	struct stat st;

	return n > 0 && fstat(fd, &st) == 0 && st.st_size < 2 * sysconf(_SC_PAGESIZE) &&
		!memcmp(is, head, (size_t)n < sizeof head ? (size_t)n : sizeof head) &&
		!memcmp(is + 144, no_transaction, sizeof no_transaction);
}

/*
 * A disk that was full when the file was made leaves a piece of its first two pages, and never had
 * anything in it: it is made again. Others that find it wait until it is.
 */
static int open_half_made(struct env *env, size_t map, int rc)
{
	char *data = path_join(env->folder, "data.mdb");
	int fd = open(data, O_RDWR | O_CLOEXEC);

	free(data);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0) {
		if (is_half_made(fd) && ftruncate(fd, 0) < 0)
			rc = errno;
		else
			rc = try_open(env, map, 0);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/*
 * With less address space where it is limited, and for reading only where writing is not allowed.
 */
static int open_somehow(struct env *env, size_t map, struct err *e)
{
	unsigned flags = env->read_only ? look_flags(env->folder) : 0;
	int rc = env->read_only ? 0 : make_lock_room(env->folder);

	if (rc)
		return fail_mdb(e, env->folder, "write to", rc);
	rc = try_open(env, map, flags);
	if (rc == MDB_INVALID && !env->read_only)
		rc = open_half_made(env, map, rc);
	while (rc == ENOMEM && map > MAP_LEAST) {
		map /= 2;
		rc = try_open(env, map, flags);
	}
	if (rc == EACCES || rc == EROFS || rc == EPERM) {
		env->read_only = 1;
		env->why_read_only = rc;
		rc = try_open(env, map, MDB_RDONLY);
		if (rc)         /* no lock can be had; hashes are checked anyway */
			rc = try_open(env, map, MDB_RDONLY | MDB_NOLOCK);
	}
	return rc ? fail_mdb(e, env->folder, "open", rc) : 0;
}

/* LMDB calls a write that came out short an input/output error. */
static int why_short(struct env *env, const struct change *c, size_t n)
{
	uint64_t want = 1 << 20;
	mdb_filehandle_t fd;

	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < 3; k++)
			want += c[i].part[k].len;
	return mdb_env_get_fd(env->mdb, &fd) ? EIO : file_why_short(fd, want);
}

static int parse_format(const char *at, size_t len)
{
	int v = 0;

	for (size_t i = 0; i < len; i++) {
		if (at[i] < '0' || at[i] > '9' || i > 6)
			return 0;
		v = v * 10 + at[i] - '0';
	}
	return v;
}

/* Look for the tables: 1 all there and of our format, 0 not made yet, -1. */
static int find_tables(struct env *env, int format, MDB_txn *txn, unsigned flags, struct err *e)
{
	MDB_val key = { sizeof format_key - 1, (void *)(uintptr_t)format_key }, v;
	char text[16];
	int rc;

	for (int i = 0; i < ENV__TABLES; i++) {
		rc = mdb_dbi_open(txn, table_name[i], flags, &env->table[i]);
		if (rc == MDB_NOTFOUND)
			return 0;
		if (rc)
			return fail_mdb(e, env->folder, "open", rc);
	}
	rc = mdb_get(txn, env->table[ENV_META], &key, &v);
	snprintf(text, sizeof text, "%d", format);
	if (rc == MDB_NOTFOUND && flags) {
		v = (MDB_val){ strlen(text), text };
		env->format_found = format;
		rc = mdb_put(txn, env->table[ENV_META], &key, &v, 0);
		return rc ? fail_mdb(e, env->folder, "write to", rc) : 1;
	}
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return fail_mdb(e, env->folder, "read", rc);
	env->format_found = parse_format(v.mv_data, v.mv_size);
	if (env->format_found < 1 || env->format_found > format)
		return fail(e, "store '%s' has format %.*s, this program reads formats up to %s: a newer one is needed",
			    env->folder, (int)(v.mv_size < 15 ? v.mv_size : 15), (char *)v.mv_data, text);
	return 1;
}

/*
 * The first transaction makes the tables, so where there
 * was one and they are not found, something is broken.
 */
static int was_written(struct env *env)
{
	MDB_envinfo info;

	return mdb_env_info(env->mdb, &info) == 0 && info.me_last_txnid > 0;
}

/*
 * In one transaction: the tables exist and carry our format. 1, 0 (not made yet), -1. With `make`
 * it is a writing one: nobody else can be about to make them, and they are made if there never was
 * one. To go on writing into a broken tree would end in chaos.
 */
static int open_tables(struct env *env, int format, int make, struct err *e)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(env->mdb, NULL, make ? 0 : MDB_RDONLY, &txn), found;

	if (rc == MDB_MAP_RESIZED) {
		mdb_env_set_mapsize(env->mdb, 0);
		rc = mdb_txn_begin(env->mdb, NULL, make ? 0 : MDB_RDONLY, &txn);
	}
	if (rc)
		return fail_mdb(e, env->folder, "open", rc);
	found = find_tables(env, format, txn, make && !was_written(env) ? MDB_CREATE : 0, e);
	if (found == 0 && make)
		found = fail_mdb(e, env->folder, "read", MDB_CORRUPTED);
	if (found <= 0) {
		mdb_txn_abort(txn);
		return found;
	}
	rc = mdb_txn_commit(txn);
	if (rc == EIO)
		rc = why_short(env, NULL, 0);
	return rc ? fail_mdb(e, env->folder, "write to", rc) : 1;
}

/*
 * Another process that makes the tables is seen by mdb_env_info before it is by a transaction, for
 * as long as its write to disk takes.
 */
static int find_made(struct env *env, int format, struct err *e)
{
	int found = open_tables(env, format, 0, e);

	for (int i = 0; found == 0 && env->read_only && was_written(env); i++) {
		if (i == MADE_WAITS)
			return fail_mdb(e, env->folder, "read", MDB_CORRUPTED);
		usleep(10000);
		found = open_tables(env, format, 0, e);
	}
	return found == 0 && !env->read_only ? open_tables(env, format, 1, e) : found;
}

static size_t first_map(const char *data, size_t map)
{
	struct stat st;
	size_t size = map ? map : MAP_USUAL;

	if (!stat(data, &st) && (size_t)st.st_size > size / 2)
		size = (size_t)st.st_size * 2;
	return (size + MAP_LEAST - 1) / MAP_LEAST * MAP_LEAST;
}

int env_open(struct env **out, const char *folder, int format, enum env_mode mode, size_t map,
	     struct err *e)
{
	char *data = path_join(folder, "data.mdb");
	struct env *env = NULL;
	int found = -1, dead;

	*out = NULL;
	if (mode != ENV_CREATE && !is_file(data)) {
		found = 0;
		goto out;
	}
	if (mode == ENV_CREATE && make_folder(folder, e) < 0) {
		err_prefix(e, "store '%s' is not writable", folder);
		goto out;
	}
	env = xcalloc(1, sizeof *env);
	env->folder = xstrdup(folder);
	env->pid = getpid();
	env->read_only = mode == ENV_LOOK;
	env->why_read_only = EROFS;
	env->format = format;
	pthread_rwlock_init(&env->map, NULL);
	guard_enter(env->folder);
	if (open_somehow(env, first_map(data, map), e) < 0 || check_length(env, e) < 0)
		goto out;
	mdb_reader_check(env->mdb, &dead);
	found = find_made(env, format, e);
out:
	guard_leave();
	free(data);
	if (found == 1)
		*out = env;
	else
		env_close(env);
	return found;
}

void env_close(struct env *env)
{
	if (!env)
		return;
	if (env->held)
		BUG("store '%s' is closed while %d objects are held", env->folder, env->held);
	if (env->mdb && env->pid == getpid()) {
		if (env->idle)
			mdb_txn_abort(env->idle);
		mdb_env_close(env->mdb);
	}
	pages_unmap(&env->pages);
	pthread_rwlock_destroy(&env->map);
	free(env->folder);
	free(env);
}

size_t env_map_size(struct env *env)
{
	MDB_envinfo info;

	mdb_env_info(env->mdb, &info);
	return info.me_mapsize;
}

/* ---- the map ---- */

/* Is nothing held? Then the map stays write-locked. */
static int lock_map(struct env *env)
{
	pthread_rwlock_wrlock(&env->map);
	if (!__atomic_load_n(&env->held, __ATOMIC_SEQ_CST))
		return 1;
	pthread_rwlock_unlock(&env->map);
	return 0;
}

/*
 * Replace the map by a larger one, or (size 0) by what another process made. Another thread may
 * hold an object, but not for long.
 */
static int remap(struct env *env, size_t size, struct err *e)
{
	int rc;

	for (int i = 0; !lock_map(env); i++) {
		if (i == HELD_WAITS)
			return fail(e, "store '%s' must grow while its objects are being looked at", env->folder);
		usleep(10000);
	}
	rc = mdb_env_set_mapsize(env->mdb, size);
	pthread_rwlock_unlock(&env->map);
	if (rc == ENOMEM)
		return fail(e, "no address space for store '%s', %zu bytes wanted", env->folder, size);
	return rc ? fail_mdb(e, env->folder, "enlarge", rc) : 0;
}

/* LMDB's code. A reset transaction holds a reader's slot but no pages, and knows no map. */
static int begin_or_renew(struct env *env, MDB_txn **txn)
{
	*txn = __atomic_exchange_n(&env->idle, NULL, __ATOMIC_ACQ_REL);
	if (*txn) {
		if (!mdb_txn_renew(*txn))
			return 0;
		mdb_txn_abort(*txn);
	}
	return mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, txn);
}

static void reset_or_abort(struct env *env, MDB_txn *txn)
{
	MDB_txn *none = NULL;

	mdb_txn_reset(txn);
	if (!__atomic_compare_exchange_n(&env->idle, &none, txn, 0, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		mdb_txn_abort(txn);
}

/* A read transaction with env->map read-locked; ended by read_end. */
static int read_begin(struct env *env, MDB_txn **txn, struct err *e)
{
	int rc;

	if (env->pid != getpid())
		BUG("store '%s' was opened before a fork", env->folder);
	for (int i = 0; i < 8; i++) {
		pthread_rwlock_rdlock(&env->map);
		guard_enter(env->folder);
		rc = begin_or_renew(env, txn);
		if (!rc)
			return 0;
		guard_leave();
		pthread_rwlock_unlock(&env->map);
		if (rc != MDB_MAP_RESIZED)
			break;
		if (remap(env, 0, e) < 0)
			return -1;
	}
	return fail_mdb(e, env->folder, "read", rc);
}

static void read_end(struct env *env, MDB_txn *txn)
{
	reset_or_abort(env, txn);
	guard_leave();
	pthread_rwlock_unlock(&env->map);
}

/* ---- reading ---- */

int env_get(struct env *env, enum env_table table, const void *key, size_t key_len,
	    env_use *use, void *data, struct err *e)
{
	MDB_val k = { key_len, (void *)(uintptr_t)key }, v;
	MDB_txn *txn;
	int rc, ret = 1;

	if (read_begin(env, &txn, e) < 0)
		return -1;
	rc = mdb_get(txn, env->table[table], &k, &v);
	if (rc == MDB_NOTFOUND)
		ret = 0;
	else if (rc)
		ret = fail_mdb(e, env->folder, "read", rc);
	else if (use && use(data, v.mv_data, v.mv_size, e) < 0)
		ret = -1;
	read_end(env, txn);
	return ret;
}

/* What is held is looked at without the guard, so that all of it must be there. */
static void touch(const struct env *env, const MDB_val *v)
{
	const volatile char *at = v->mv_data;

	for (size_t i = 0; i < v->mv_size; i += env->page)
		(void)at[i];
	if (v->mv_size)
		(void)at[v->mv_size - 1];
}

int env_hold(struct env *env, enum env_table table, const void *key, size_t key_len,
	     struct env_held *out, struct err *e)
{
	MDB_val k = { key_len, (void *)(uintptr_t)key }, v;
	MDB_txn *txn;
	int rc;

	*out = (struct env_held){ 0 };
	if (read_begin(env, &txn, e) < 0)
		return -1;
	rc = mdb_get(txn, env->table[table], &k, &v);
	if (rc) {
		read_end(env, txn);
		return rc == MDB_NOTFOUND ? 0 : fail_mdb(e, env->folder, "read", rc);
	}
	touch(env, &v);
	guard_leave();
	__atomic_add_fetch(&env->held, 1, __ATOMIC_SEQ_CST);
	pthread_rwlock_unlock(&env->map);
	*out = (struct env_held){ env, txn, v.mv_data, v.mv_size };
	return 1;
}

void env_drop(struct env_held *h)
{
	if (h->txn) {
		reset_or_abort(h->env, h->txn);
		__atomic_sub_fetch(&h->env->held, 1, __ATOMIC_SEQ_CST);
	}
	*h = (struct env_held){ 0 };
}

/* Pages that lead back or aside give themselves away by the order of their keys. */
static int is_after(const MDB_val *k, unsigned char *last, size_t *last_len)
{
	size_t n = k->mv_size < *last_len ? k->mv_size : *last_len;
	int c;

	if (!k->mv_size || k->mv_size > KEY_LIMIT)
		return 0;
	c = memcmp(k->mv_data, last, n);
	if (c < 0 || (c == 0 && k->mv_size <= *last_len))
		return 0;
	memcpy(last, k->mv_data, k->mv_size);
	*last_len = k->mv_size;
	return 1;
}

int env_visit(struct env *env, enum env_table table, const void *from, size_t from_len,
	      env_pair *use, void *data, struct err *e)
{
	MDB_val k = { from_len, (void *)(uintptr_t)from }, v;
	MDB_txn *txn;
	MDB_cursor *cursor;
	unsigned char last[KEY_LIMIT];
	size_t last_len = 0;
	int rc, ret = 0;

	if (read_begin(env, &txn, e) < 0)
		return -1;
	rc = mdb_cursor_open(txn, env->table[table], &cursor);
	if (rc) {
		read_end(env, txn);
		return fail_mdb(e, env->folder, "read", rc);
	}
	rc = mdb_cursor_get(cursor, &k, &v, from_len ? MDB_SET_RANGE : MDB_FIRST);
	while (!rc && !ret) {
		if (!is_after(&k, last, &last_len)) {
			rc = MDB_CORRUPTED;
			break;
		}
		ret = use(data, k.mv_data, k.mv_size, v.mv_data, v.mv_size, e);
		rc = ret ? 0 : mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	if (rc && rc != MDB_NOTFOUND)
		ret = fail_mdb(e, env->folder, "read", rc);
	mdb_cursor_close(cursor);
	read_end(env, txn);
	return ret < 0 ? -1 : 0;
}

/* ---- writing ---- */

/*
 * Pages that a transaction takes from the end of the file and gives up again are counted but never
 * written, so the file could stay shorter than its pages. Called while the writer's lock is held.
 */
static int make_room(struct env *env)
{
	MDB_envinfo info;
	mdb_filehandle_t fd;
	struct stat st;
	long long want;

	mdb_env_info(env->mdb, &info);
	want = ((long long)info.me_last_pgno + 1 + PAGES_AHEAD) * (long long)env->page;
	if (mdb_env_get_fd(env->mdb, &fd) || fstat(fd, &st))
		return errno;
	if (st.st_size < want && ftruncate(fd, want + 3 * PAGES_AHEAD * (long long)env->page))
		return errno;   /* a hole: takes no space, and lasts for many small transactions */
	return 0;
}

static int apply(struct env *env, MDB_txn *txn, const struct change *c)
{
	MDB_val k = { c->key_len, (void *)(uintptr_t)c->key }, v = { 0 };
	int rc;
	char *to;

	if (c->op == ENV_DELETE) {
		rc = mdb_del(txn, env->table[c->table], &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	for (int i = 0; i < 3; i++)
		v.mv_size += c->part[i].len;
	rc = mdb_put(txn, env->table[c->table], &k, &v,
		     MDB_RESERVE | (c->op == ENV_PUT_NEW ? MDB_NOOVERWRITE : 0));
	if (rc)
		return rc == MDB_KEYEXIST ? 0 : rc;
	to = v.mv_data;
	for (int i = 0; i < 3; i++) {
		if (c->part[i].len)
			memcpy(to, c->part[i].at, c->part[i].len);
		to += c->part[i].len;
	}
	return 0;
}

/*
 * Writing into damaged pages would end in chaos (LMDB moves entries by what the pages say), so
 * those that this transaction will change are looked at first. The writer's lock is held.
 */
static int check_pages(struct env *env, MDB_txn *txn, const struct change *c, size_t n,
		       struct err *e)
{
	struct tree tree[ENV__TABLES];
	struct snapshot s;
	mdb_filehandle_t fd;

	if (mdb_env_get_fd(env->mdb, &fd))
		return fail(e, "its file is not open");
	if (pages_map(&env->pages, fd, env->page, e) < 0 ||
	    pages_snapshot(&env->pages, mdb_txn_id(txn) - 1, &s, e) < 0)
		return -1;
	if (!env->free_checked && pages_free(&env->pages, &s, e) < 0)
		return -1;
	env->free_checked = 1;
	for (int i = 0; i < ENV__TABLES; i++)
		if (pages_table(&env->pages, &s, table_name[i], &tree[i], e) < 0)
			return -1;
	for (size_t i = 0; i < n; i++)
		if (pages_path(&env->pages, &s, &tree[c[i].table], c[i].key, c[i].key_len, e) < 0)
			return -1;
	return 0;
}

/* An older format has all that ours has but sums; from now on there will be some. */
static int upgrade(struct env *env, MDB_txn *txn)
{
	MDB_val key = { sizeof format_key - 1, (void *)(uintptr_t)format_key }, v;
	char text[16];

	snprintf(text, sizeof text, "%d", env->format);
	v = (MDB_val){ strlen(text), text };
	return env->format_found < env->format ? mdb_put(txn, env->table[ENV_META], &key, &v, 0) : 0;
}

#define TOLD (-1)               /* none of LMDB's codes: the sentence is in e */

/* One transaction, LMDB's code. The map is read-locked meanwhile, as it must not be replaced. */
static int try_write(struct env *env, const struct change *c, size_t n, struct err *e)
{
	MDB_txn *txn;
	int rc;

	pthread_rwlock_rdlock(&env->map);
	guard_enter(env->folder);
	rc = mdb_txn_begin(env->mdb, NULL, 0, &txn);
	if (!rc) {
		rc = check_pages(env, txn, c, n, e) < 0 ? TOLD : make_room(env);
		if (!rc)
			rc = upgrade(env, txn);
		for (size_t i = 0; i < n && !rc; i++)
			rc = apply(env, txn, &c[i]);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
		if (!rc)
			env->format_found = env->format;
	}
	guard_leave();
	pthread_rwlock_unlock(&env->map);
	return rc;
}

int env_write(struct env *env, const struct change *c, size_t n, struct err *e)
{
	int rc = 0;

	if (env->pid != getpid())
		BUG("store '%s' was opened before a fork", env->folder);
	if (env->read_only)
		return fail(e, "store '%s' is not writable: %s", env->folder, strerror(env->why_read_only));
	if (!n)
		return 0;
	for (int i = 0; i < 40; i++) {
		rc = try_write(env, c, n, e);
		if (rc == MDB_MAP_FULL) {
			if (remap(env, env_map_size(env) * 2, e) < 0)
				return -1;
		} else if (rc == MDB_MAP_RESIZED) {
			if (remap(env, 0, e) < 0)
				return -1;
		} else {
			break;
		}
	}
	if (rc == TOLD)
		return fail_pages(e, env->folder);
	if (rc == EIO)
		rc = why_short(env, c, n);
	return rc ? fail_mdb(e, env->folder, "write to", rc) : 0;
}

/* ---- checking ---- */

int env_check(struct env *env, struct err *e)
{
	struct pages p = { 0 };
	struct snapshot s;
	mdb_filehandle_t fd;
	MDB_txn *txn;
	int ret = -1;

	for (int i = 0; i < 16 && ret < 0; i++) {
		if (read_begin(env, &txn, e) < 0)
			return -1;
		/* A writer may have replaced the meta page since; then there is a newer one to look at. */
		if (mdb_env_get_fd(env->mdb, &fd) == 0 && pages_map(&p, fd, env->page, e) == 0 &&
		    pages_snapshot(&p, mdb_txn_id(txn), &s, e) == 0) {
			ret = pages_all(&p, &s, e);
			i = 16;
		}
		read_end(env, txn);
	}
	pages_unmap(&p);
	return ret < 0 ? fail_pages(e, env->folder) : 0;
}
