/* booth push, pull: from store to store. See share.h. */
#include "stages/booth/share.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/copy.h"
#include "common/flow/lock.h"
#include "stages/booth/booth.h"

enum reach_depth share_depth(const struct share_options *o)
{
	return !o->only ? REACH_CHAIN : !strcmp(o->only, "result") ? REACH_RESULT : REACH_ACTIONS;
}

void share_print(FILE *to, const char *did, const struct sent *n)
{
	struct buf b = { 0 };

	text_bytes(&b, n->bytes);
	fprintf(to, "%zu objects and %zu actions%s, %s; %zu objects were there\n", n->objects, n->actions, did,
		buf_str(&b), n->left_out);
	buf_release(&b);
}

/* ---- folder to folder ---- */

static int folder_has(void *data, char type, const struct ref *r, struct err *e)
{
	struct receive *to = data;
	struct buf b = { 0 };
	int found;

	if (type == 'o')
		return store_has(to->to, r, e);
	/* record_put knows better, but what is there word for word need not be sent */
	found = record_get(to->to, r->stage, &r->id, &b, e);
	buf_release(&b);
	return found;
}

static int folder_put(void *data, const struct stream_record *r, struct err *e)
{
	return receive_record(data, r, e);
}

static int transfer(struct stores *from, struct stores *to, char *const *words, int n,
		    const struct share_options *o, struct err *e)
{
	struct receive end = { .to = to, .keep = o->keep };
	const struct sink sink = { folder_has, o->dry_run ? NULL : folder_put, &end };
	struct send s = { 0 };
	struct sent sent;
	int ret = -1;

	if (send_roots(&s, from, words, n, e) < 0 || send_gather(&s, share_depth(o), o->states, e) < 0 ||
	    send_all(&s, &sink, 1, &sent, e) < 0)
		goto out;
	if (!o->dry_run && receive_end(&end, e) < 0)
		goto out;
	share_print(stdout, o->dry_run ? " would be sent" : " sent", &sent);
	ret = 0;
out:
	if (ret < 0 && !o->dry_run) {
		struct err ignored;

		(void)stores_flush(to, &ignored);       /* what came whole is kept */
	}
	send_release(&s);
	receive_release(&end);
	return ret;
}

/* The store that a word means: the folder, or the .booth in it. The caller's to free. */
static char *store_in(const char *folder)
{
	char *inside = path_join(folder, ".booth");

	if (!stores_there(folder) && stores_there(inside))
		return inside;
	free(inside);
	return xstrdup(folder);
}

static int fail_same(const char *root, struct err *e)
{
	return fail(e, "'%s' is this store itself", root);
}

static int same_store(const char *a, const char *b)
{
	char *x = realpath(a, NULL), *y = realpath(b, NULL);
	int same = x && y && !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

/* A new store wants a folder of its own; and its parent, as a disk may not be mounted. */
static int check_new(const char *root, struct err *e)
{
	struct names all = { 0 };
	char *parent = xstrdup(root), *slash;
	int ret = 0;

	for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; )
		parent[--n] = 0;
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = 0;
	if (is_folder(root)) {
		ret = folder_list(&all, root, e);
		if (ret == 0 && all.n)
			ret = fail(e, "'%s' is no store and not empty; name a folder of its own, such as %s/booth", root,
				   root);
	} else if (slash && !is_folder(parent)) {
		ret = fail(e, "there is no folder '%s' to make the store in (is the disk mounted?)", parent);
	}
	names_release(&all);
	free(parent);
	return ret;
}

int share_check_own(struct stores *s, struct err *e)
{
	stores_first_only(s);
	return stores_there(stores_root(s)) ? 0 : fail(e, "there is no store '%s'", stores_root(s));
}

/* Both locks are held: what is sent stays, and so does what has arrived and nothing names yet. */
static int locked_transfer(struct stores *from, struct stores *to, char *const *words, int n,
			   const struct share_options *o, struct err *e)
{
	int hold = stores_hold(from), lock = o->dry_run ? -1 : lock_take(stores_root(to), 0, e), ret;

	ret = lock < 0 && !o->dry_run ? -1 : transfer(from, to, words, n, o, e);
	if (lock >= 0)
		close(lock);
	if (hold >= 0)
		close(hold);
	return ret;
}

static int open_folder(struct stores **out, const char *root, struct err *e)
{
	if (strchr(root, ':'))
		return fail(e, "'%s' holds a ':', one folder is wanted", root);
	return stores_open(out, root, e);
}

static int push(struct stores *s, const char *folder, char *const *words, int n,
		const struct share_options *o, struct err *e)
{
	char *root = store_in(folder);
	struct stores *to = NULL;
	int ret = share_check_own(s, e);

	if (ret == 0 && same_store(root, stores_root(s)))
		ret = fail_same(root, e);
	if (ret == 0 && !stores_there(root))
		ret = check_new(root, e);
	if (ret == 0)
		ret = open_folder(&to, root, e);
	if (ret == 0)
		ret = locked_transfer(s, to, words, n, o, e);
	stores_close(to);
	free(root);
	return ret;
}

static int pull(struct stores *s, const char *folder, char *const *words, int n,
		const struct share_options *o, struct err *e)
{
	char *root = store_in(folder);
	struct stores *from = NULL;
	int ret = 0;

	stores_first_only(s);
	if (same_store(root, stores_root(s)))
		ret = fail_same(root, e);
	if (ret == 0)
		ret = stores_open_look(&from, root, e);
	if (ret == 0)
		ret = locked_transfer(from, s, words, n, o, e);
	stores_close(from);
	free(root);
	return ret;
}

typedef int folder_command(struct stores *s, const char *folder, char *const *words, int n,
			   const struct share_options *o, struct err *e);

static int folder_words(int argc, char **argv, const struct command *c, folder_command *run)
{
	struct share_options o = { .keep = 1 };
	const struct opt rows[] = { ROW_ONLY(&o), ROW_STATES(&o), ROW_KEEP(&o), ROW_DRY(&o), { 0 } };
	struct stores *s = NULL;
	struct err e;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1)
		code = command_usage(c, "no folder of a store was given");
	else if (run(s, argv[1], argv + 2, words - 1, &o, &e) < 0)
		code = command_failed(&e);
	stores_close(s);
	return code;
}

int cmd_push(int argc, char **argv, const struct command *c)
{
	return folder_words(argc, argv, c, push);
}

int cmd_pull(int argc, char **argv, const struct command *c)
{
	return folder_words(argc, argv, c, pull);
}
