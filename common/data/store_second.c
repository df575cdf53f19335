/* The stores behind the first: opened for reading, looked through, copied from on use. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/copy.h"
#include "common/data/reach.h"
#include "common/data/store_impl.h"

/* ---- opening ---- */

/* A store is a folder with stages' stores in it, or one that was used (and is empty). */
int stores_there(const char *root)
{
	char *lock = path_join(root, "lock");
	struct names all = { 0 };
	struct err ignored;
	int there = is_file(lock);

	if (!there && is_folder(root) && folder_list(&all, root, &ignored) == 0)
		for (size_t i = 0; i < all.n && !there; i++) {
			char *data = xasprintf("%s/%s/data.mdb", root, all.at[i]);

			there = is_file(data);
			free(data);
		}
	names_release(&all);
	free(lock);
	return there;
}

int stores_open_look(struct stores **out, const char *root, struct err *e)
{
	*out = NULL;
	if (!is_folder(root))
		return fail(e, "there is no folder '%s', a store to read from is wanted there", root);
	if (!stores_there(root))
		return fail(e, "there is no store in '%s' (is the disk mounted?)", root);
	*out = stores_new(root, strlen(root));
	(*out)->read_only = 1;
	return 0;
}

/* LMDB must not open one file twice in a process. */
static int same_folder(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int open_behind(struct stores *s, const char *root, struct err *e)
{
	struct stores *last = s;

	if (!*root)
		return fail(e, "an empty name of a store stands behind ':'; '%s:FOLDER' is wanted", s->root);
	for (struct stores *one = s; one; one = one->second) {
		last = one;
		if (same_folder(one->root, root))
			return fail(e, "the store '%s' is named twice", root);
	}
	if (stores_open_look(&last->second, root, e) < 0)
		return err_prefix(e, "store behind '%s'", s->root);
	return 0;
}

int second_open_list(struct stores *s, const char *list, struct err *e)
{
	int ret = 0;

	for (const char *p = list; ret == 0; ) {
		size_t n = strcspn(p, ":");
		char *root = xstrndup(p, n);

		ret = open_behind(s, root, e);
		free(root);
		if (!p[n])
			break;
		p += n + 1;
	}
	return ret;
}

void second_close(struct stores *s)
{
	stores_close(s->second);
	reach_free(s->reach);
	s->second = NULL;
	s->reach = NULL;
}

struct stores *stores_second(const struct stores *s)
{
	return s->second;
}

void stores_first_only(struct stores *s)
{
	second_close(s);
}

void stores_only_look(struct stores *s)
{
	s->only_look = 1;
}

struct taken stores_taken(struct stores *s)
{
	struct taken t;

	pthread_mutex_lock(&s->taking);
	t = s->taken;
	pthread_mutex_unlock(&s->taking);
	return t;
}

/* ---- copying ---- */

static int copy_object(struct stores *to, struct stores *from, const struct ref *r, struct err *e)
{
	struct blob b;
	int found = store_has(to, r, e), put;

	if (found)
		return found < 0 ? -1 : 0;
	found = value_get(from, r, &b, e);
	if (found == 0)
		fail(e, "gone from '%s' while it was copied", from->root);
	put = found == 1 ? value_put(to, r, b.at, b.len, e) : -1;
	if (put > 0) {
		to->taken.objects++;
		to->taken.bytes += (int64_t)b.len;
	}
	blob_release(&b);
	return put < 0 ? -1 : 0;
}

static int copy_action(struct stores *to, struct stores *from, const char *stage,
		       const struct oid *key, struct err *e)
{
	struct buf b = { 0 };
	int found = record_get(from, stage, key, &b, e), put = 0;

	if (found == 1)
		put = record_put(to, stage, key, b.at, b.len, e);
	to->taken.actions += put > 0;
	buf_release(&b);
	return found < 0 || put < 0 ? -1 : 0;
}

static int copy_reached(struct stores *to, struct stores *from, struct err *e)
{
	struct reach *g = from->reach;

	for (size_t i = 0; i < g->objects; i++)
		if (copy_object(to, from, &g->object[i], e) < 0)
			return -1;
	for (size_t i = 0; i < g->tables; i++)
		if (copy_object(to, from, &g->table[i], e) < 0)
			return -1;
	for (size_t i = 0; i < g->actions; i++)
		if (copy_action(to, from, g->action[i].stage, &g->action[i].key, e) < 0)
			return -1;
	return 0;
}

int stores_hold(const struct stores *from)
{
	char *path = path_join(from->root, "lock");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		flock(fd, LOCK_SH);
	free(path);
	return fd;
}

/* With to->taking held. */
static int copy_from(struct stores *to, struct stores *from, const struct ref *r,
		     enum reach_depth depth, struct err *e)
{
	int lock = stores_hold(from), ret;

	if (!from->reach)
		from->reach = reach_new(from);
	reach_clear(from->reach);
	ret = reach_add(from->reach, r, depth, e);
	if (ret == 0)
		ret = copy_reached(to, from, e);
	if (lock >= 0)
		close(lock);
	return ret < 0 ? err_prefix(e, "copying from '%s'", from->root) : 0;
}

/* ---- on use ---- */

static int is_item(const struct action *a)
{
	const char *level = strchr(buf_str(&a->text), '\n');

	return level && starts_with(level, "\nitem\n");
}

static int is_reached(const struct reach *g, const struct oid *key)
{
	for (size_t i = 0; i < g->actions; i++)
		if (oid_equal(&g->action[i].key, key))
			return 1;
	return 0;
}

/* A stage's result comes with its items' actions, so that one more picture stays one picture. */
static int take_found(struct stores *s, struct stores *from, const struct action *a,
		      const struct result *r, struct err *e)
{
	struct oid key;
	int ret;

	action_key(a, &key);
	pthread_mutex_lock(&s->taking);
	ret = copy_from(s, from, &r->out, is_item(a) ? REACH_RESULT : REACH_ACTIONS, e);
	if (ret == 0 && !is_reached(from->reach, &key))
		ret = copy_action(s, from, a->stage, &key, e);
	pthread_mutex_unlock(&s->taking);
	return ret;
}

int second_find(struct stores *s, const struct action *a, struct result *out, struct err *e)
{
	struct result r = { 0 };
	int found = 0;

	if (s->read_only || !s->second || !action_is_shared(buf_str(&a->text)))
		return 0;
	for (struct stores *from = s->second; from && found == 0; from = from->second) {
		found = find_own(from, a, &r, e);
		if (found == 1 && !s->only_look && take_found(s, from, a, &r, e) < 0)
			found = -1;
	}
	if (found == 1 && out) {
		*out = r;
		r = (struct result){ 0 };
	}
	result_release(&r);
	return found;
}

int second_take(struct stores *s, const struct ref *r, struct err *e)
{
	int found;

	if (s->read_only || !s->second)
		return 0;
	found = store_has(s, r, e);
	for (struct stores *from = s->second; from && found == 0; from = from->second) {
		found = store_has(from, r, e);
		if (found == 1) {
			pthread_mutex_lock(&s->taking);
			if (copy_from(s, from, r, REACH_RESULT, e) < 0)
				found = -1;
			pthread_mutex_unlock(&s->taking);
		}
	}
	return found < 0 ? -1 : 0;
}

static int take_named(void *data, const struct ref *r, int must, struct err *e)
{
	(void)must;
	return strcmp(r->stage, "run") ? second_take(data, r, e) : 0;
}

int second_take_named(struct stores *s, const struct table *t, struct err *e)
{
	return s->read_only || !s->second ? 0 : table_named(s, t, take_named, s, e);
}
