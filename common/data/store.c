#include "common/data/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/data/store_impl.h"

/*
 * So much may wait for the next transaction. Keys are hashes, so that in a store with a million
 * items each transaction writes nearly all of its leaves again: few large ones cost less.
 */
#define WAIT_BYTES ((size_t)32 << 20)
#define WAIT_SECONDS 1.0
#define LARGE ((size_t)1 << 20)         /* an object of this size is written at once */

const char *kind_name(enum kind kind)
{
	switch (kind) {
	case KIND_TEXT: return "text";
	case KIND_IMAGE: return "image";
	case KIND_TENSOR: return "tensor";
	case KIND_TABLE: return "table";
	case KIND_BYTES: return "file";
	}
	return "object";
}

/* ---- stores ---- */

struct stores *stores_new(const char *root, size_t len)
{
	struct stores *s = xcalloc(1, sizeof *s);

	s->root = xstrndup(root, len);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->taking, NULL);
	return s;
}

int stores_open(struct stores **out, const char *root, struct err *e)
{
	const char *env = getenv("BOOTH_STORE");
	struct stores *s;
	size_t len;
	int ret = 0;

	*out = NULL;
	if (!root)
		root = env ? env : "";
	len = strcspn(root, ":");
	s = len ? stores_new(root, len) : stores_new(STORE_USUAL, strlen(STORE_USUAL));
	if (is_file(s->root))
		ret = fail(e, "'%s' is a file, a folder is wanted for the store", s->root);
	else if (root[len])
		ret = second_open_list(s, root + len + 1, e);
	if (ret == 0)
		*out = s;
	else
		stores_close(s);
	return ret;
}

static void shelf_free(struct shelf *f)
{
	for (size_t i = 0; i < f->objects; i++)
		packed_release(&f->object[i].packed);
	for (size_t i = 0; i < f->actions; i++)
		buf_release(&f->action[i].record);
	free(f->object);
	free(f->action);
	oid_index_clear(&f->object_at);
	oid_index_clear(&f->action_at);
	env_close(f->env);
	free(f);
}

void stores_close(struct stores *s)
{
	struct err ignored;

	if (!s)
		return;
	/* Nothing was promised about what still waits; it is only worth a try. */
	(void)stores_flush(s, &ignored);
	for (size_t i = 0; i < s->shelves; i++)
		shelf_free(s->shelf[i]);
	second_close(s);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->taking);
	free(s->shelf);
	stamps_release(s);
	free(s->root);
	free(s);
}

const char *stores_root(const struct stores *s)
{
	return s->root;
}

int stage_name_valid(const char *stage, size_t len)
{
	if (!len || len >= STAGE_NAME || stage[0] == '-')
		return 0;
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", stage[i]) || !stage[i])
			return 0;
	return 1;
}

int stores_list(struct stores *s, struct names *out, struct err *e)
{
	struct names all;

	*out = (struct names){ 0 };
	if (!is_folder(s->root))
		return 0;
	if (folder_list(&all, s->root, e) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++) {
		char *path = xasprintf("%s/%s/data.mdb", s->root, all.at[i]);

		if (stage_name_valid(all.at[i], strlen(all.at[i])) &&
		    strcmp(all.at[i], STAT_STAGE) && is_file(path))
			names_add(out, all.at[i]);
		free(path);
	}
	names_release(&all);
	return 0;
}

static struct shelf *shelf_known(struct stores *s, const char *stage)
{
	for (size_t i = 0; i < s->shelves; i++)
		if (!strcmp(s->shelf[i]->stage, stage))
			return s->shelf[i];
	return NULL;
}

int shelf_find_locked(struct stores *s, const char *stage, int create, struct shelf **out,
		      struct err *e)
{
	size_t len = strlen(stage);
	enum env_mode mode = s->read_only ? ENV_LOOK : create ? ENV_CREATE : ENV_THERE;
	char *folder;
	struct env *env;
	int found = 1;

	if (!stage_name_valid(stage, len))
		BUG("'%s' is not a stage's name", stage);
	*out = shelf_known(s, stage);
	if (!*out) {
		folder = path_join(s->root, stage);
		found = env_open(&env, folder, STORE_FORMAT, mode, s->map, e);
		free(folder);
		if (found == 1) {
			*out = xcalloc(1, sizeof **out);
			memcpy((*out)->stage, stage, len);
			(*out)->env = env;
			s->shelf = grow(s->shelf, s->shelves, &s->cap_shelves, sizeof *s->shelf);
			s->shelf[s->shelves++] = *out;
		}
	}
	return found;
}

int shelf_find(struct stores *s, const char *stage, int create, struct shelf **out, struct err *e)
{
	int found;

	pthread_mutex_lock(&s->lock);
	found = shelf_find_locked(s, stage, create, out, e);
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* ---- what waits ---- */

static int compare_change(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->table != y->table ? (x->table > y->table) - (x->table < y->table) :
		memcmp(x->key, y->key, sizeof(struct oid));
}

/*
 * One transaction: the objects of a shelf and, if asked, its actions. In the order of keys, so that
 * each leaf is looked at once; of two actions with the same key the later one is written.
 */
static int shelf_write(struct shelf *f, int with_actions, struct err *e)
{
	size_t n = f->objects + (with_actions ? f->actions : 0);
	struct change *c = xcalloc(n, sizeof *c);
	int ret;

	for (size_t i = 0; i < f->objects; i++) {
		struct waiting_object *o = &f->object[i];

		c[i] = (struct change){ ENV_PUT_NEW, ENV_OBJECTS, o->id.at, sizeof o->id.at,
			{ { o->packed.head, VALUE_HEAD }, { o->packed.at[0], o->packed.len[0] } } };
	}
	n = f->objects;
	for (size_t i = 0; with_actions && i < f->actions; i++) {
		struct waiting_action *a = &f->action[i];

		if (oid_index_find(&f->action_at, &a->key, f->action, sizeof *a) == (ptrdiff_t)i)
			c[n++] = (struct change){ ENV_PUT, ENV_ACTIONS, a->key.at, sizeof a->key.at,
				{ { a->record.at, a->record.len } } };
	}
	if (n)
		qsort(c, n, sizeof *c, compare_change);
	ret = env_write(f->env, c, n, e);
	free(c);
	if (ret < 0)
		return -1;
	for (size_t i = 0; i < f->objects; i++)
		packed_release(&f->object[i].packed);
	f->objects = 0;
	oid_index_clear(&f->object_at);
	for (size_t i = 0; with_actions && i < f->actions; i++)
		buf_release(&f->action[i].record);
	if (with_actions) {
		f->actions = 0;
		oid_index_clear(&f->action_at);
	}
	return 0;
}

/*
 * An action may name an object on another shelf, which must then be on disk first. With one shelf
 * that has actions (the usual case) its objects and actions share a transaction.
 */
int flush_locked(struct stores *s, struct err *e)
{
	size_t acting = 0;

	stamps_flush_locked(s);
	for (size_t i = 0; i < s->shelves; i++)
		acting += s->shelf[i]->actions > 0;
	for (size_t i = 0; i < s->shelves; i++)
		if (s->shelf[i]->objects && (acting > 1 || !s->shelf[i]->actions) &&
		    shelf_write(s->shelf[i], 0, e) < 0)
			return -1;
	for (size_t i = 0; i < s->shelves; i++)
		if (s->shelf[i]->actions && shelf_write(s->shelf[i], 1, e) < 0)
			return -1;
	s->waiting_bytes = 0;
	s->waiting_since = 0;
	return 0;
}

int stores_flush(struct stores *s, struct err *e)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = flush_locked(s, e);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

void wait_bytes_locked(struct stores *s, size_t bytes)
{
	s->waiting_bytes += bytes;
	if (!s->waiting_since)
		s->waiting_since = clock_now();
}

int flush_some_locked(struct stores *s, struct err *e)
{
	if (s->waiting_bytes < WAIT_BYTES && clock_now() - s->waiting_since < WAIT_SECONDS)
		return 0;
	return flush_locked(s, e);
}

struct waiting_object *shelf_waiting(struct shelf *f, const struct oid *id)
{
	ptrdiff_t at = oid_index_find(&f->object_at, id, f->object, sizeof *f->object);

	return at < 0 ? NULL : &f->object[at];
}

/* ---- put ---- */

static int write_now(struct shelf *f, const struct oid *id, const struct packed *p, struct err *e)
{
	struct change c = { ENV_PUT_NEW, ENV_OBJECTS, id->at, sizeof id->at,
		{ { p->head, VALUE_HEAD }, { p->at[0], p->len[0] }, { p->at[1], p->len[1] } } };

	return env_write(f->env, &c, 1, e);
}

static int write_later(struct stores *s, struct shelf *f, const struct oid *id, struct packed *p,
		       struct err *e)
{
	int ret = 0;

	packed_keep(p);
	pthread_mutex_lock(&s->lock);
	if (!shelf_waiting(f, id)) {
		f->object = grow(f->object, f->objects, &f->cap_objects, sizeof *f->object);
		f->object[f->objects] = (struct waiting_object){ *id, *p };
		oid_index_add(&f->object_at, f->objects++, f->object, sizeof *f->object);
		wait_bytes_locked(s, packed_size(p));
		*p = (struct packed){ 0 };
		ret = flush_some_locked(s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int shelf_put(struct stores *s, struct shelf *f, const struct oid *id, struct packed *p,
	      struct err *e)
{
	return packed_size(p) < LARGE ? write_later(s, f, id, p, e) : write_now(f, id, p, e);
}

/* An object in two pieces (a tensor's head and its values), so that big values are not copied. */
static int put_pieces(struct stores *s, const char *stage, enum kind kind, const void *a,
		      size_t a_len, const void *b, size_t b_len, struct ref *out, struct err *e)
{
	struct oid_state *hash = oid_start(kind);
	struct ref r = { 0 };
	struct packed p;
	struct shelf *f;
	int ret;

	oid_add(hash, a, a_len);
	oid_add(hash, b, b_len);
	oid_end(hash, &r.id);
	memcpy(r.stage, stage, strnlen(stage, STAGE_NAME - 1));
	ret = store_has(s, &r, e);
	if (ret == 0) {
		ret = object_pack(&p, kind, a, a_len, b, b_len, e);
		if (ret == 0 && shelf_find(s, stage, 1, &f, e) < 0)
			ret = -1;
		else if (ret == 0)
			ret = shelf_put(s, f, &r.id, &p, e);
		packed_release(&p);
	}
	if (ret < 0)
		return -1;
	if (out)
		*out = r;
	return 0;
}

int store_put(struct stores *s, const char *stage, enum kind kind, const void *at, size_t len,
	      struct ref *out, struct err *e)
{
	struct tensor t;
	size_t head = len;

	if (kind == KIND_TENSOR) {
		if (tensor_unpack(&t, at, len, e) < 0)
			return -1;
		head = (size_t)((const char *)t.at - (const char *)at);
	}
	return put_pieces(s, stage, kind, at, head, (const char *)at + head, len - head, out, e);
}

int store_put_tensor(struct stores *s, const char *stage, const struct tensor *t, struct ref *out,
		     struct err *e)
{
	struct buf head = { 0 };
	int ret;

	tensor_pack_head(&head, t);
	ret = put_pieces(s, stage, KIND_TENSOR, head.at, head.len, t->at,
			 (size_t)tensor_bytes(t), out, e);
	buf_release(&head);
	return ret;
}

int store_put_table(struct stores *s, const char *stage, const struct table *t, struct ref *out,
		    struct err *e)
{
	struct buf b = { 0 };
	int ret = table_check(t, e);

	if (ret == 0)
		ret = second_take_named(s, t, e);
	if (ret == 0) {
		table_text(&b, t);
		ret = store_put(s, stage, KIND_TABLE, b.at, b.len, out, e);
	}
	buf_release(&b);
	return ret;
}
