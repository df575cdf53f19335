/* Files from outside: known by content, remembered by their stamps. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_impl.h"

#define PIECE ((size_t)1 << 20)
/* seconds: within them a file may change again under the same stamp */
#define TRUSTED_AGE 2
#define SLOW (16 << 20)         /* bytes; hashing more takes longer than a flush to disk */

/* ---- the cache ---- */

/* 48 bytes of stamp, 16 of hash. */
static void put_stamp(unsigned char out[48], const struct stat *st)
{
	int64_t v[6] = {
		(int64_t)st->st_size, (int64_t)st->st_ino,
		st->st_mtim.tv_sec, st->st_ctim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_nsec,
	};

	memcpy(out, v, sizeof v);
}

static int same_stamp(const struct stat *a, const struct stat *b)
{
	unsigned char x[48], y[48];

	put_stamp(x, a);
	put_stamp(y, b);
	return !memcmp(x, y, sizeof x);
}

static int copy_value(void *data, const void *at, size_t len, struct err *e)
{
	(void)e;
	if (len == STAMP)
		memcpy(data, at, STAMP);
	return 0;
}

void stamp_sum(unsigned char value[STAMP], const struct oid *path)
{
	struct oid_state *hash = oid_start(KIND_BYTES);
	struct oid sum;

	oid_add(hash, path->at, sizeof path->at);
	oid_add(hash, value, 64);
	oid_end(hash, &sum);
	memcpy(value + 64, sum.at, STAMP - 64);
}

static int sum_fits(const unsigned char value[STAMP], const struct oid *path)
{
	unsigned char want[STAMP];

	memcpy(want, value, STAMP);
	stamp_sum(want, path);
	return !memcmp(want, value, STAMP);
}

/* A cache that cannot be read is no cache; the error says nothing about the file. */
static int cache_find(struct stores *s, const struct oid *path, const struct stat *st,
		      struct oid *out)
{
	unsigned char want[48], value[STAMP] = { 0 };
	struct err ignored;
	struct shelf *f;

	if (shelf_find(s, STAT_STAGE, 0, &f, &ignored) != 1)
		return 0;
	if (env_get(f->env, ENV_META, path->at, sizeof path->at, copy_value, value, &ignored) != 1)
		return 0;
	put_stamp(want, st);
	if (memcmp(want, value, sizeof want) || !sum_fits(value, path))
		return 0;
	memcpy(out->at, value + sizeof want, sizeof out->at);
	return 1;
}

static void cache_add(struct stores *s, const struct oid *path, const struct stat *st,
		      const struct oid *hash)
{
	time_t now = time(NULL);
	struct err ignored;
	struct shelf *f;
	struct stamp *new;

	if (now - st->st_mtim.tv_sec < TRUSTED_AGE || now - st->st_ctim.tv_sec < TRUSTED_AGE)
		return;
	if (shelf_find(s, STAT_STAGE, 1, &f, &ignored) != 1)
		return;
	pthread_mutex_lock(&s->lock);
	s->stamp = grow(s->stamp, s->stamps, &s->cap_stamps, sizeof *s->stamp);
	new = &s->stamp[s->stamps++];
	new->path = *path;
	put_stamp(new->value, st);
	memcpy(new->value + 48, hash->at, sizeof hash->at);
	stamp_sum(new->value, path);
	if (st->st_size > SLOW || s->stamps >= 4096)
		stamps_flush_locked(s, &ignored);
	pthread_mutex_unlock(&s->lock);
}

int stamps_flush_locked(struct stores *s, struct err *e)
{
	struct shelf *f = NULL;
	struct change *c;
	struct err ignored;

	(void)e;
	for (size_t i = 0; i < s->shelves; i++)
		if (!strcmp(s->shelf[i]->stage, STAT_STAGE))
			f = s->shelf[i];
	if (!f || !s->stamps)
		return 0;
	c = xcalloc(s->stamps, sizeof *c);
	for (size_t i = 0; i < s->stamps; i++)
		c[i] = (struct change){ ENV_PUT, ENV_META, s->stamp[i].path.at, 16,
			{ { s->stamp[i].value, sizeof s->stamp[i].value } } };
	/* Not remembering is no failure: the file is hashed again next time. */
	(void)env_write(f->env, c, s->stamps, &ignored);
	free(c);
	s->stamps = 0;
	return 0;
}

/* ---- files ---- */

static int hash_open(int fd, const char *path, struct oid *out, struct err *e)
{
	struct oid_state *hash = oid_start(KIND_BYTES);
	char *piece = xmalloc(PIECE);
	ssize_t n;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	do {
		n = read(fd, piece, PIECE);
		if (n > 0)
			oid_add(hash, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		fail_errno(e, "cannot read '%s'", path);
	oid_end(hash, out);
	free(piece);
	return n < 0 ? -1 : 0;
}

static int hash_file(struct stores *s, const char *path, struct oid *out, struct err *e)
{
	char *whole = realpath(path, NULL);
	struct stat before, after;
	struct oid name;
	int fd = -1, ret = -1;

	/* looked at before it is opened: opening costs more, and waits forever for a pipe */
	if (!whole || stat(path, &before) < 0) {
		fail_errno(e, "cannot open '%s'", path);
		goto out;
	}
	if (!S_ISREG(before.st_mode)) {
		fail(e, "'%s' is neither a file nor a folder", path);
		goto out;
	}
	oid_of(&name, KIND_BYTES, whole, strlen(whole));
	if (cache_find(s, &name, &before, out)) {
		ret = 0;
		goto out;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fail_errno(e, "cannot open '%s'", path);
		goto out;
	}
	if (hash_open(fd, path, out, e) < 0)
		goto out;
	if (fstat(fd, &after) < 0 || !same_stamp(&before, &after)) {
		fail(e, "'%s' was changed while it was read", path);
		goto out;
	}
	cache_add(s, &name, &after, out);
	ret = 0;
out:
	if (fd >= 0)
		close(fd);
	free(whole);
	return ret;
}

/* ---- folders ---- */

/* A link that leads back into its own folder would never end. */
#define DEPTH 32

/* One line a file: hash, NUL, path below the folder, NUL. */
static int hash_folder(struct stores *s, const char *path, const char *below, int depth,
		       struct oid_state *all, struct err *e)
{
	struct names list;
	int ret = 0;

	if (depth > DEPTH)
		return fail(e, "'%s' is more than %d folders deep", path, DEPTH);
	if (folder_list(&list, path, e) < 0)
		return -1;
	for (size_t i = 0; i < list.n && ret == 0; i++) {
		char *inside, *name, hex[OID_HEX + 1];
		struct oid id;

		if (list.at[i][0] == '.')
			continue;
		inside = path_join(path, list.at[i]);
		name = path_join(below, list.at[i]);
		if (is_folder(inside)) {
			ret = hash_folder(s, inside, name, depth + 1, all, e);
		} else {
			ret = hash_file(s, inside, &id, e);
			if (ret == 0) {
				oid_add(all, oid_hex(&id, hex), sizeof hex);
				oid_add(all, name, strlen(name) + 1);
			}
		}
		free(inside);
		free(name);
	}
	names_release(&list);
	return ret;
}

int outside_hash(struct stores *s, const char *path, struct oid *out, struct err *e)
{
	struct oid_state *all;
	int ret;

	if (!is_folder(path))
		return hash_file(s, path, out, e);
	all = oid_start(KIND_BYTES);
	oid_add(all, "folder", sizeof "folder");
	ret = hash_folder(s, path, "", 0, all, e);
	oid_end(all, out);
	return ret;
}
