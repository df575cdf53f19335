/* Objects looked at in place, listed and deleted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/store_impl.h"

struct hold {
	struct env_held held;
	struct blob copy;       /* where looking in place is not possible */
};

/*
 * LMDB puts small values between others, unaligned; packed ones have to be unpacked. Such objects
 * are copied: the caller need not know.
 */
static int pin_copy(struct stores *s, const struct ref *r, struct pin *p, struct hold *h,
		    struct err *e)
{
	int found;

	env_drop(&h->held);
	found = store_get(s, r, &h->copy, e);
	if (found == 1) {
		p->at = h->copy.at;
		p->len = h->copy.len;
	}
	return found;
}

static int pin_place(struct stores *s, struct shelf *f, const struct ref *r, struct pin *p,
		     struct hold *h, struct err *e)
{
	struct value_head head;
	int found = env_hold(f->env, ENV_OBJECTS, r->id.at, sizeof r->id.at, &h->held, e);

	if (found < 0)
		return -1;
	if (found && value_head(&head, h->held.at, h->held.len, e) < 0)
		return fail_object(r, e);
	if (!found || head.codec != 'r' || (uintptr_t)h->held.at % 16)
		return pin_copy(s, r, p, h, e);
	p->at = h->held.at + VALUE_HEAD;
	p->len = head.len;
	return object_check(r, head.kind, p->at, p->len, e) < 0 ? -1 : 1;
}

static int pin_own(struct stores *s, const struct ref *r, struct pin *p, struct err *e)
{
	struct shelf *f;
	struct hold *h;
	int found = shelf_find(s, r->stage, 0, &f, e);

	*p = (struct pin){ 0 };
	if (found <= 0)
		return found;
	h = xcalloc(1, sizeof *h);
	found = pin_place(s, f, r, p, h, e);
	p->hold = h;
	if (found <= 0)
		store_unpin(p);
	return found;
}

int store_pin(struct stores *s, const struct ref *r, struct pin *p, struct err *e)
{
	int found = pin_own(s, r, p, e);

	while (found == 0 && (s = s->second))
		found = pin_own(s, r, p, e);
	return found;
}

void store_unpin(struct pin *p)
{
	struct hold *h = p->hold;

	if (h) {
		env_drop(&h->held);
		blob_release(&h->copy);
		free(h);
	}
	*p = (struct pin){ 0 };
}

/* ---- listing ---- */

struct seen {
	struct ref r;
	enum kind kind;
	size_t size;
};

struct listing {
	const char *stage;
	struct seen *at;
	size_t n, cap;
};

static int list_one(void *data, const void *key, size_t key_len, const void *at, size_t len,
		    struct err *e)
{
	struct listing *l = data;
	struct seen one = { .size = len };
	struct value_head h;

	if (key_len != sizeof one.r.id.at)
		return fail(e, "store of '%s' is damaged: a key has %zu bytes, 16 are wanted", l->stage, key_len);
	memcpy(one.r.stage, l->stage, strlen(l->stage));
	memcpy(one.r.id.at, key, key_len);
	/* a damaged head is listed too, so that it can be checked and deleted */
	one.kind = value_head(&h, at, len, e) < 0 ? (enum kind)0 : h.kind;
	l->at = grow(l->at, l->n, &l->cap, sizeof *l->at);
	l->at[l->n++] = one;
	return 0;
}

int store_objects(struct stores *s, const char *stage, object_visit *visit, void *data,
		  struct err *e)
{
	struct listing l = { .stage = stage };
	struct shelf *f;
	int ret = stores_flush(s, e), found = ret < 0 ? -1 : shelf_find(s, stage, 0, &f, e);

	if (found <= 0)
		return found;
	/* Listed first: the visitor may delete, and no read transaction may be open meanwhile. */
	ret = env_visit(f->env, ENV_OBJECTS, NULL, 0, list_one, &l, e);
	for (size_t i = 0; i < l.n && ret == 0; i++)
		if (visit(data, &l.at[i].r, l.at[i].kind, l.at[i].size))
			break;
	free(l.at);
	return ret;
}

int store_check(struct stores *s, const char *stage, struct err *e)
{
	struct shelf *f;
	int found = stores_flush(s, e) < 0 ? -1 : shelf_find(s, stage, 0, &f, e);

	return found <= 0 ? found : env_check(f->env, e);
}

/* ---- deleting ---- */

static int delete_key(struct stores *s, const char *stage, enum env_table table,
		      const struct oid *key, struct err *e)
{
	struct change c = { ENV_DELETE, table, key->at, sizeof key->at, { { NULL, 0 } } };
	struct shelf *f;
	int found = stores_flush(s, e) < 0 ? -1 : shelf_find(s, stage, 0, &f, e);

	return found <= 0 ? found : env_write(f->env, &c, 1, e);
}

int store_delete(struct stores *s, const struct ref *r, struct err *e)
{
	return delete_key(s, r->stage, ENV_OBJECTS, &r->id, e);
}

int store_delete_action(struct stores *s, const char *stage, const struct oid *key, struct err *e)
{
	return delete_key(s, stage, ENV_ACTIONS, key, e);
}
