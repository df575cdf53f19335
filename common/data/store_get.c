/* Objects found and unpacked. */
#include <stdlib.h>
#include <string.h>

#include "common/data/store_impl.h"

int store_has(struct stores *s, const struct ref *r, struct err *e)
{
	struct shelf *f;
	int found = shelf_find(s, r->stage, 0, &f, e);

	if (found <= 0)
		return found;
	pthread_mutex_lock(&s->lock);
	found = shelf_waiting(f, &r->id) != NULL;
	pthread_mutex_unlock(&s->lock);
	return found ? 1 : env_get(f->env, ENV_OBJECTS, r->id.at, sizeof r->id.at, NULL, NULL, e);
}

int fail_object(const struct ref *r, struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX];

	return err_prefix(e, "object '%s'", ref_text(r, text));
}

int object_check(const struct ref *r, enum kind kind, const void *at, size_t len, struct err *e)
{
	struct oid is;
	char hex[OID_HEX + 1];

	oid_of(&is, kind, at, len);
	if (oid_equal(&is, &r->id))
		return 0;
	fail(e, "damaged, its content has the hash %s", oid_hex(&is, hex));
	return fail_object(r, e);
}

struct unpack_to {
	struct blob *out;
	const struct ref *ref;
};

static int unpack_into(void *data, const void *at, size_t len, struct err *e)
{
	struct unpack_to *to = data;

	return object_unpack(to->out, at, len, e) < 0 ? fail_object(to->ref, e) : 0;
}

/* An object that waits, unpacked: 1, 0, -1. */
static int get_waiting(struct stores *s, struct shelf *f, const struct oid *id, struct blob *out,
		       struct err *e)
{
	struct waiting_object *o;
	struct buf value = { 0 };
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	o = shelf_waiting(f, id);
	if (o) {
		buf_add(&value, o->packed.head, VALUE_HEAD);
		buf_add(&value, o->packed.at[0], o->packed.len[0]);
		ret = 1;
	}
	pthread_mutex_unlock(&s->lock);
	if (ret && object_unpack(out, value.at, value.len, e) < 0)
		ret = -1;
	buf_release(&value);
	return ret;
}

static int get_own(struct stores *s, const struct ref *r, struct blob *out, struct err *e)
{
	struct unpack_to to = { out, r };
	struct shelf *f;
	int found = shelf_find(s, r->stage, 0, &f, e);

	*out = (struct blob){ 0 };
	if (found <= 0)
		return found;
	found = get_waiting(s, f, &r->id, out, e);
	if (found == 0)
		found = env_get(f->env, ENV_OBJECTS, r->id.at, sizeof r->id.at,
				unpack_into, &to, e);
	if (found > 0 && object_check(r, out->kind, out->at, out->len, e) < 0) {
		blob_release(out);
		return -1;
	}
	return found;
}

int store_get(struct stores *s, const struct ref *r, struct blob *out, struct err *e)
{
	int found = get_own(s, r, out, e);

	while (found == 0 && (s = s->second))
		found = get_own(s, r, out, e);
	return found;
}

void blob_release(struct blob *b)
{
	free(b->at);
	*b = (struct blob){ 0 };
}

int store_need(struct stores *s, const struct ref *r, enum kind kind, struct blob *out,
	       struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX];
	int found = store_get(s, r, out, e);

	if (found < 0)
		return -1;
	if (!found)
		return fail(e, "there is no object '%s' in '%s'", ref_text(r, text), s->root);
	if (out->kind != kind) {
		fail(e, "'%s' is a %s, a %s is wanted", ref_text(r, text), kind_name(out->kind), kind_name(kind));
		blob_release(out);
		return -1;
	}
	return 0;
}

int store_get_table(struct stores *s, const struct ref *r, struct table *out, struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX];
	struct blob b;
	int ret;

	*out = (struct table){ 0 };
	if (store_need(s, r, KIND_TABLE, &b, e) < 0)
		return -1;
	ret = table_parse(out, (char *)b.at, b.len, ref_text(r, text), e);
	blob_release(&b);
	return ret;
}

int store_get_tensor(struct stores *s, const struct ref *r, struct tensor *out, struct err *e)
{
	struct blob b;

	*out = (struct tensor){ 0 };
	if (store_need(s, r, KIND_TENSOR, &b, e) < 0)
		return -1;
	if (tensor_unpack(out, b.at, b.len, e) < 0) {
		blob_release(&b);
		return fail_object(r, e);
	}
	out->own = b.at;        /* the values lie behind the head in the same memory */
	return 0;
}
