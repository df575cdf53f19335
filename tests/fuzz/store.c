/*
 * What lies in a store: packed objects, recorded actions, references, and the texts of two actions
 * held against each other. The first byte says which.
 */
#include <stdlib.h>
#include <string.h>

#include "common/data/store_env.h"
#include "common/data/store_pack.h"
#include "common/flow/why.h"
#include "tests/fuzz/shared/fuzz.h"

/* Opened once: an input's pairs are gone when it is done. The stages that a reference names stay known: forgotten. */
static struct stores *opened;

static struct stores *stores(void)
{
	struct err e;

	if (!opened)
		HOLDS(stores_open(&opened, "memory", &e) == 0);
	return opened;
}

static void forget(void)
{
	stores_close(opened);
	opened = NULL;
}

static void as_its_kind(const struct ref *r, const struct blob *b)
{
	struct table table;
	struct tensor tensor;
	struct pin pin;
	struct err e;

	if (b->kind == KIND_TABLE && store_get_table(stores(), r, &table, &e) == 0)
		table_release(&table);
	if (b->kind == KIND_TENSOR && store_get_tensor(stores(), r, &tensor, &e) == 0) {
		fuzz_read(tensor.at, (size_t)tensor_bytes(&tensor));
		tensor_release(&tensor);
	}
	HOLDS(store_pin(stores(), r, &pin, &e) == 1);
	HOLDS(pin.len == b->len && (!b->len || !memcmp(pin.at, b->at, b->len)));
	store_unpin(&pin);
}

/* What was unpacked, packed and unpacked again, is the same. */
static void pack_again(const struct blob *b)
{
	size_t cut = b->len / 3;
	struct packed p;
	struct blob again;
	struct buf value = { 0 };
	struct err e;

	/* planes are of whole numbers of two bytes, which only a tensor's head promises */
	if (b->kind == KIND_TENSOR)
		return;
	HOLDS(object_pack(&p, b->kind, b->at, cut, b->at + cut, b->len - cut, &e) == 0);
	buf_add(&value, p.head, VALUE_HEAD);
	for (int i = 0; i < 2; i++)
		buf_add(&value, p.at[i], p.len[i]);
	HOLDS(object_unpack(&again, value.at, value.len, &e) == 0);
	HOLDS(again.kind == b->kind && again.len == b->len);
	HOLDS(!b->len || !memcmp(again.at, b->at, b->len));
	blob_release(&again);
	buf_release(&value);
	packed_release(&p);
}

static int seen(void *data, const struct ref *r, enum kind kind, size_t size)
{
	(void)data, (void)r, (void)kind, (void)size;
	return 0;
}

static void object(const uint8_t *at, size_t len)
{
	struct ref r = { .stage = "prep" };
	struct blob b, got;
	struct err e;

	memory_pair(ENV_OBJECTS, r.id.at, sizeof r.id.at, at, len);     /* under a wrong name */
	HOLDS(store_get(stores(), &r, &got, &e) < 0);
	store_objects(stores(), "prep", seen, NULL, &e);
	if (object_unpack(&b, at, len, &e) < 0)
		return;
	oid_of(&r.id, b.kind, b.at, b.len);
	memory_pair(ENV_OBJECTS, r.id.at, sizeof r.id.at, at, len);
	HOLDS(store_get(stores(), &r, &got, &e) == 1);
	blob_release(&got);
	as_its_kind(&r, &b);
	pack_again(&b);
	blob_release(&b);
}

static int visited(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct action *a = data;

	(void)key;
	HOLDS(strlen(r->host) < sizeof r->host);
	return strcmp(text, buf_str(&a->text)) == 7;
}

static void action(const uint8_t *at, size_t len)
{
	struct action a;
	struct result r;
	struct oid key;
	struct err e;

	action_begin(&a, "prep", 1, "stage");
	action_param(&a, "steps", "200");
	action_key(&a, &key);
	memory_pair(ENV_ACTIONS, key.at, sizeof key.at, at, len);
	if (store_find(stores(), &a, &r, &e) == 1)
		result_release(&r);
	store_actions(stores(), "prep", visited, &a, &e);
	action_release(&a);
}

static void reference(const uint8_t *at, size_t len)
{
	char *text = fuzz_text(&at, &len, '\n');
	struct ref r;
	struct err e;

	memory_pair(ENV_OBJECTS, at, len < 64 ? len : 64, at, len);
	HOLDS(ref_is(text) || ref_parse(stores(), text, &r, &e) < 0);
	if (ref_is(text))
		ref_parse(stores(), text, &r, &e);
	forget();
	free(text);
}

static void difference(const uint8_t *at, size_t len)
{
	char *one = fuzz_text(&at, &len, 0xff), *two = fuzz_text(&at, &len, 0xff);
	struct buf out = { 0 };

	HOLDS(action_diff(one, one, &out) == 0);
	action_diff(one, two, &out);
	action_diff(two, one, NULL);
	free(one);
	free(two);
	buf_release(&out);
}

FUZZ(store)
{
	if (!len)
		return 0;
	switch (*at & 3) {
	case 0: object(at + 1, len - 1); break;
	case 1: action(at + 1, len - 1); break;
	case 2: reference(at + 1, len - 1); break;
	default: difference(at + 1, len - 1);
	}
	memory_pairs_clear();
	return 0;
}
