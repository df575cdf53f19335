#include "common/data/copy.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/store_impl.h"

/* ---- objects ---- */

static int copy_value(void *data, const void *at, size_t len, struct err *e)
{
	struct blob *b = data;
	void *to;

	if (mem_try(&to, len, "an object", e) < 0)
		return -1;
	memcpy(to, at, len);
	b->at = to;
	b->len = len;
	return 0;
}

static int look_at(struct stores *s, const struct ref *r, env_use *use, void *data, struct err *e)
{
	struct shelf *f;
	int found = shelf_find(s, r->stage, 0, &f, e);

	return found == 1 ? env_get(f->env, ENV_OBJECTS, r->id.at, sizeof r->id.at, use, data, e)
			  : found;
}

int value_get(struct stores *s, const struct ref *r, struct blob *out, struct err *e)
{
	*out = (struct blob){ 0 };
	return look_at(s, r, copy_value, out, e);
}

struct look {
	enum kind kind;
	size_t size;
};

static int read_head(void *data, const void *at, size_t len, struct err *e)
{
	struct look *l = data;
	struct value_head h;

	if (value_head(&h, at, len, e) < 0)
		return -1;
	*l = (struct look){ h.kind, len };
	return 0;
}

int value_look(struct stores *s, const struct ref *r, enum kind *kind, size_t *size, struct err *e)
{
	struct look l = { 0 };
	int found = look_at(s, r, read_head, &l, e);

	if (found < 0)
		return fail_object(r, e);
	*kind = l.kind;
	*size = l.size;
	return found;
}

/* With `out` the unpacked object is the caller's. */
static int unpack_checked(const struct ref *r, const void *at, size_t len, struct blob *out,
			  struct err *e)
{
	struct value_head h;
	struct blob b = { 0 };
	int ret;

	if (value_head(&h, at, len, e) < 0)
		return fail_object(r, e);
	if (h.codec == 'r' && !out)
		return object_check(r, h.kind, (const char *)at + VALUE_HEAD, h.len, e);
	if (object_unpack(&b, at, len, e) < 0)
		return fail_object(r, e);
	ret = object_check(r, b.kind, b.at, b.len, e);
	if (ret == 0 && out)
		*out = b;
	else
		blob_release(&b);
	return ret;
}

int value_check(const struct ref *r, const void *at, size_t len, struct err *e)
{
	return unpack_checked(r, at, len, NULL, e);
}

static int is_there(void *data, const struct ref *r, int must, struct err *e)
{
	struct stores *s = data;
	char text[STAGE_NAME + 1 + OID_HEX];
	int found = must ? store_has(s, r, e) : 1;

	if (found == 0)
		return fail(e, "names '%s', which is not in '%s'", ref_text(r, text), s->root);
	return found < 0 ? -1 : 0;
}

static int check_named(struct stores *s, const struct ref *r, const struct blob *b, struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX];
	struct table t = { 0 };
	int ret = table_parse(&t, (const char *)b->at, b->len, ref_text(r, text), e);

	if (ret == 0 && table_named(s, &t, is_there, s, e) < 0)
		ret = err_prefix(e, "table '%s'", ref_text(r, text));
	table_release(&t);
	return ret;
}

static int check_value(struct stores *s, const struct ref *r, const void *at, size_t len,
		       struct err *e)
{
	struct value_head h;
	struct blob b = { 0 };
	int ret;

	if (value_head(&h, at, len, e) < 0)
		return fail_object(r, e);
	if (h.kind != KIND_TABLE)
		return value_check(r, at, len, e);
	ret = unpack_checked(r, at, len, &b, e);
	if (ret == 0)
		ret = check_named(s, r, &b, e);
	blob_release(&b);
	return ret;
}

int value_put(struct stores *s, const struct ref *r, const void *at, size_t len, struct err *e)
{
	struct packed p = { 0 };
	struct shelf *f;
	int found, ret;

	if (!stage_name_valid(r->stage, strlen(r->stage)) || !strcmp(r->stage, STAT_STAGE) ||
	    !strcmp(r->stage, "run"))
		return fail(e, "'%s' is no stage whose objects are shared", r->stage);
	found = store_has(s, r, e);
	if (found)
		return found < 0 ? -1 : 0;
	if (check_value(s, r, at, len, e) < 0 || shelf_find(s, r->stage, 1, &f, e) < 0)
		return -1;
	memcpy(p.head, at, VALUE_HEAD);
	p.at[0] = (const char *)at + VALUE_HEAD;
	p.len[0] = len - VALUE_HEAD;
	ret = shelf_put(s, f, &r->id, &p, e);
	packed_release(&p);
	return ret < 0 ? -1 : 1;
}

/* ---- actions ---- */

static int copy_record(void *data, const void *at, size_t len, struct err *e)
{
	(void)e;
	buf_add(data, at, len);
	return 0;
}

int record_get(struct stores *s, const char *stage, const struct oid *key, struct buf *out,
	       struct err *e)
{
	struct shelf *f;
	int found = shelf_find(s, stage, 0, &f, e);

	return found == 1 ? env_get(f->env, ENV_ACTIONS, key->at, sizeof key->at, copy_record, out, e)
			  : found;
}

int record_text(struct stores *s, const char *stage, const struct oid *key, struct buf *out,
		struct err *e)
{
	struct result r = { 0 };
	struct buf b = { 0 };
	int found = record_get(s, stage, key, &b, e);

	if (found == 1 && record_read(&r, key, out, b.at, b.len, e) < 0)
		found = -1;
	result_release(&r);
	buf_release(&b);
	return found;
}

int action_is_shared(const char *text)
{
	return !starts_with(text, "stage run ") || starts_with(text, "stage run 1\nstep\n");
}

static int check_record(struct stores *s, const char *stage, const struct oid *key,
			const struct result *r, const char *text, size_t len, struct err *e)
{
	char hex[OID_HEX + 1], name[STAGE_NAME + 1 + OID_HEX], *first;
	struct oid is;
	int ok, found;

	oid_of(&is, KIND_TEXT, text, len);
	if (!oid_equal(&is, key))
		return fail(e, "an action of '%s' is damaged: its text is not that of %s", stage,
			    oid_hex(key, hex));
	first = xasprintf("stage %s ", stage);
	ok = starts_with(text, first) && action_is_shared(text);
	free(first);
	if (!ok)
		return fail(e, "an action of '%s' is none that is shared: '%.*s'", stage,
			    (int)strcspn(text, "\n"), text);
	found = store_has(s, &r->out, e);
	if (found == 0)
		fail(e, "an action of '%s' has the result '%s', which is not in '%s'", stage,
		     ref_text(&r->out, name), s->root);
	return found == 1 ? 0 : -1;
}

/* 1: known with a result that is there */
static int is_known(struct stores *s, const char *stage, const struct oid *key, struct err *e)
{
	struct result r = { 0 };
	struct buf b = { 0 };
	int found = record_get(s, stage, key, &b, e);

	if (found == 1 && record_read(&r, key, NULL, b.at, b.len, e) < 0)
		found = -1;
	if (found == 1)
		found = store_has(s, &r.out, e);
	result_release(&r);
	buf_release(&b);
	return found;
}

/* Written with others, behind all objects that wait. */
static int add_record(struct stores *s, const char *stage, const struct oid *key, const void *at,
		      size_t len, struct err *e)
{
	struct waiting_action w = { .key = *key };
	struct shelf *f;
	int ret;

	if (shelf_find(s, stage, 1, &f, e) < 0)
		return -1;
	buf_add(&w.record, at, len);
	pthread_mutex_lock(&s->lock);
	shelf_add_action_locked(s, f, &w);
	ret = flush_some_locked(s, e);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int record_put(struct stores *s, const char *stage, const struct oid *key, const void *at,
	       size_t len, struct err *e)
{
	struct result r = { 0 };
	struct buf text = { 0 };
	int known = 0, ret = -1;

	if (!stage_name_valid(stage, strlen(stage)) || !strcmp(stage, STAT_STAGE))
		return fail(e, "'%s' is no stage whose actions are shared", stage);
	if (record_read(&r, key, &text, at, len, e) == 0 &&
	    check_record(s, stage, key, &r, buf_str(&text), text.len, e) == 0)
		known = is_known(s, stage, key, e);
	else
		known = -1;
	if (known >= 0)
		ret = known ? 0 : add_record(s, stage, key, at, len, e) < 0 ? -1 : 1;
	result_release(&r);
	buf_release(&text);
	return ret;
}

struct walk {
	record_visit *visit;
	void *data;
};

static int walk_one(void *data, const void *key, size_t key_len, const void *at, size_t len,
		    struct err *e)
{
	struct walk *w = data;
	struct result r = { 0 };
	struct buf text = { 0 };
	struct oid id;
	int ret = 0;

	if (key_len != sizeof id.at)
		return 0;
	memcpy(id.at, key, sizeof id.at);
	if (record_read(&r, &id, &text, at, len, e) == 0)       /* a damaged one is not known */
		ret = w->visit(w->data, &id, &r, buf_str(&text), e);
	result_release(&r);
	buf_release(&text);
	return ret;
}

int records_visit(struct stores *s, const char *stage, record_visit *visit, void *data,
		  struct err *e)
{
	struct walk w = { visit, data };
	struct shelf *f;
	int found = shelf_find(s, stage, 0, &f, e);

	return found == 1 ? env_visit(f->env, ENV_ACTIONS, NULL, 0, walk_one, &w, e) : found;
}

/* ---- what tables name ---- */

/* 1 a reference, 0 not, -1 */
static int cell_ref(struct stores *s, const char *cell, int typed, struct ref *out, struct err *e)
{
	const char *slash = strchr(cell, '/');

	if (!slash || !ref_is(cell))
		return 0;
	*out = (struct ref){ 0 };
	memcpy(out->stage, cell, (size_t)(slash - cell));
	if (oid_parse(&out->id, slash + 1) == 0)
		return 1;
	return !typed ? 0 : ref_parse(s, cell, out, e) < 0 ? -1 : 1;    /* edited by hand */
}

int table_named(struct stores *s, const struct table *t, named_visit *visit, void *data,
		struct err *e)
{
	for (int c = 0; c < t->columns; c++) {
		int typed = table_column_is_ref(t->name[c]);

		for (size_t i = 0; i < t->rows; i++) {
			struct ref r;
			int is = cell_ref(s, table_get(t, i, c), typed, &r, e);

			if (is < 0 || (is && visit(data, &r, typed, e) < 0))
				return -1;
		}
	}
	return 0;
}
