/* The stream of booth export: written, read, damaged at every byte, cut at every byte. */
#include "tests/test.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/data/stream.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/copy.h"
#include "common/data/reach.h"
#include "common/data/store.h"

static struct stream_record record(char type, const char *stage, const char *text)
{
	struct stream_record r = { .type = type, .at = text, .len = strlen(text) };

	memcpy(r.stage, stage, strlen(stage));
	oid_of(&r.id, KIND_TEXT, text, r.len);
	return r;
}

/* Three records as bytes. */
static void make(struct buf *b)
{
	const struct stream_record all[] = { record('o', "prep", "one"), record('a', "caption", ""),
		record('k', "encode-latents", "three three") };
	struct stream s;
	struct err e = { "" };
	FILE *f = tmpfile();
	long len;

	CHECK_OK(stream_begin(&s, f, &e), e);
	for (size_t i = 0; i < 3; i++)
		CHECK_OK(stream_write(&s, &all[i], &e), e);
	CHECK_OK(stream_end(&s, &e), e);
	CHECK_INT(s.bytes, ftell(f));
	len = ftell(f);
	rewind(f);
	stream_close(&s);
	CHECK_INT(fread(buf_extend(b, (size_t)len), 1, (size_t)len, f), len);
	fclose(f);
}

/* Read all: how many records were right, and how it ended (0, -1). */
static int read_all(const void *at, size_t len, int *records, struct err *e)
{
	FILE *f = len ? fmemopen((void *)(uintptr_t)at, len, "r") : tmpfile();
	struct stream s;
	struct stream_record r;
	int more = stream_open(&s, f, e) < 0 ? -1 : 1;

	*records = 0;
	while (more > 0) {
		more = stream_read(&s, &r, e);
		*records += more > 0;
		stream_release(&r);
	}
	stream_close(&s);
	fclose(f);
	return more;
}

static void what_is_written_is_read(void)
{
	struct buf b = { 0 };
	struct stream s;
	struct stream_record r;
	struct err e = { "" };
	FILE *f;

	make(&b);
	f = fmemopen(b.at, b.len, "r");
	CHECK_OK(stream_open(&s, f, &e), e);
	CHECK_INT(stream_read(&s, &r, &e), 1);
	CHECK(r.type == 'o' && r.len == 3 && !memcmp(r.at, "one", 3));
	CHECK_STR(r.stage, "prep");
	stream_release(&r);
	CHECK_INT(stream_read(&s, &r, &e), 1);
	CHECK(r.type == 'a' && r.len == 0);
	stream_release(&r);
	CHECK_INT(stream_read(&s, &r, &e), 1);
	CHECK_STR((const char *)r.at, "three three");
	stream_release(&r);
	CHECK_INT(stream_read(&s, &r, &e), 0);
	stream_close(&s);
	fclose(f);
	buf_release(&b);
}

static void every_damaged_byte_is_refused(void)
{
	struct buf b = { 0 };
	struct err e = { "" };
	int records;

	make(&b);
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit += 7) {
			b.at[i] ^= (char)(1 << bit);
			e.text[0] = 0;
			if (read_all(b.at, b.len, &records, &e) != -1 || !e.text[0]) {
				printf("# byte %zu, bit %d: not noticed\n", i, bit);
				CHECK(0);
			}
			b.at[i] ^= (char)(1 << bit);
		}
	CHECK_INT(read_all(b.at, b.len, &records, &e), 0);
	CHECK_INT(records, 3);
	buf_release(&b);
}

static void every_cut_is_refused(void)
{
	struct buf b = { 0 };
	struct err e = { "" };
	int records;

	make(&b);
	for (size_t len = 0; len < b.len; len++) {
		e.text[0] = 0;
		if (read_all(b.at, len, &records, &e) != -1 || !e.text[0] || records > 3) {
			printf("# %zu bytes: not noticed\n", len);
			CHECK(0);
		}
	}
	CHECK(strstr(e.text, "truncated"));
	buf_adds(&b, "x");
	CHECK_INT(read_all(b.at, b.len, &records, &e), -1);
	CHECK(strstr(e.text, "behind its end"));
	buf_release(&b);
}

/* A whole record taken out or sent twice: each is right by itself, the end is not. */
static void missing_records_are_noticed(void)
{
	struct buf b = { 0 }, c = { 0 };
	struct err e = { "" };
	size_t magic, one = 52 + 8 + 3 + 16;
	int records;

	make(&b);
	magic = strcspn(b.at, "\n") + 1;
	buf_add(&c, b.at, magic);
	buf_add(&c, b.at + magic + one, b.len - magic - one);
	CHECK_INT(read_all(c.at, c.len, &records, &e), -1);
	CHECK(records == 2 && strstr(e.text, "missing"));
	buf_clear(&c);
	buf_add(&c, b.at, magic + one);
	buf_add(&c, b.at + magic, b.len - magic);
	CHECK_INT(read_all(c.at, c.len, &records, &e), -1);
	buf_release(&b);
	buf_release(&c);
}

static void refused(const char *says, const char *fmt, ...)
{
	struct err e = { "" };
	struct buf b = { 0 };
	va_list ap;
	int records;

	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	CHECK_INT(read_all(buf_str(&b), b.len, &records, &e), -1);
	if (!strstr(e.text, says)) {
		printf("# '%s'\n", e.text);
		CHECK(0);
	}
	buf_release(&b);
}

static void other_versions_are_refused_by_name(void)
{
	refused("of version 2, this program reads version 1", "booth stream 2, store format %d\n", STORE_FORMAT);
	refused("store format 99", "booth stream 1, store format 99\n");
	refused("begins with 'item'", "item\timage\n");
	refused("no stream", "booth stream 1, store format %d and more\n", STORE_FORMAT);
	refused("empty", "%s", "");
}

/* ---- what arrives is checked against the store ---- */

static struct stores *open_at(const char *root)
{
	struct stores *s;
	struct err e;

	if (stores_open(&s, root, &e) < 0)
		die(1, "%s", e.text);
	return s;
}

/* A store with a picture, a table that names it, and the action that made the table. */
static void fill(struct stores *s, struct ref *picture, struct ref *table, struct oid *key)
{
	struct table t = { 0 };
	struct action a = { 0 };
	struct result r = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX];
	struct err e = { "" };

	CHECK_OK(store_put(s, "prep", KIND_IMAGE, "a picture", 9, picture, &e), e);
	table_add_column(&t, "item");
	table_add_column(&t, "image");
	table_add_row(&t);
	table_set(&t, 0, 0, "a.jpg");
	table_set(&t, 0, 1, ref_text(picture, text));
	CHECK_OK(store_put_table(s, "bucket", &t, table, &e), e);
	action_begin(&a, "bucket", 1, "stage");
	action_key(&a, key);
	r.out = *table;
	CHECK_OK(store_record(s, &a, &r, &e), e);
	action_release(&a);
	result_release(&r);
	table_release(&t);
}

static void nothing_half_is_put(void)
{
	const char *folder = test_folder("stream-put");
	char *a = path_join(folder, "a"), *b = path_join(folder, "b");
	struct stores *from = open_at(a), *to = open_at(b);
	struct ref picture, table;
	struct blob value, other;
	struct buf record = { 0 };
	struct oid key;
	struct err e = { "" };

	fill(from, &picture, &table, &key);
	CHECK_INT(value_get(from, &table, &value, &e), 1);
	CHECK_INT(value_get(from, &picture, &other, &e), 1);
	CHECK_INT(record_get(from, "bucket", &key, &record, &e), 1);
	CHECK(value_put(to, &table, value.at, value.len, &e) < 0 && strstr(e.text, "names 'prep/"));
	CHECK(record_put(to, "bucket", &key, record.at, record.len, &e) < 0 && strstr(e.text, "which is not in"));
	for (size_t i = 0; i < other.len; i++) {
		if (i >= 2 && i < 8)
			continue;       /* bytes of the head without meaning for a raw object */
		other.at[i] ^= 1;
		CHECK(value_put(to, &picture, other.at, other.len, &e) < 0);
		other.at[i] ^= 1;
	}
	CHECK_INT(value_put(to, &picture, other.at, other.len, &e), 1);
	CHECK_INT(value_put(to, &picture, other.at, other.len, &e), 0);
	CHECK_INT(value_put(to, &table, value.at, value.len, &e), 1);
	record.at[record.len - 1] ^= 1;
	CHECK(record_put(to, "bucket", &key, record.at, record.len, &e) < 0 && strstr(e.text, "damaged"));
	record.at[record.len - 1] ^= 1;
	CHECK(record_put(to, "prep", &key, record.at, record.len, &e) < 0);
	CHECK_INT(record_put(to, "bucket", &key, record.at, record.len, &e), 1);
	CHECK_OK(stores_flush(to, &e), e);
	CHECK_INT(record_put(to, "bucket", &key, record.at, record.len, &e), 0);
	blob_release(&value);
	blob_release(&other);
	buf_release(&record);
	stores_close(from);
	stores_close(to);
	free(a);
	free(b);
}

static void a_second_store_is_looked_through(void)
{
	const char *folder = test_folder("stream-second");
	char *a = path_join(folder, "a"), *b = path_join(folder, "b"), *both = xasprintf("%s:%s", b, a);
	struct stores *s = open_at(a);
	struct ref picture, table;
	struct action act = { 0 };
	struct result r = { 0 };
	struct blob got;
	struct oid key;
	struct err e = { "" };

	fill(s, &picture, &table, &key);
	stores_close(s);
	s = open_at(both);
	CHECK_INT(store_get(s, &picture, &got, &e), 1);
	blob_release(&got);
	CHECK_INT(store_has(s, &picture, &e), 0);
	action_begin(&act, "bucket", 1, "stage");
	stores_only_look(s);
	CHECK_INT(store_find(s, &act, &r, &e), 1);
	result_release(&r);
	CHECK_INT(store_has(s, &table, &e), 0);
	stores_close(s);
	s = open_at(both);
	CHECK_INT(store_find(s, &act, &r, &e), 1);
	CHECK_INT(stores_taken(s).objects, 2);
	CHECK_INT(stores_taken(s).actions, 1);
	stores_close(s);
	s = open_at(b);                 /* and now without it */
	result_release(&r);
	CHECK_INT(store_find(s, &act, &r, &e), 1);
	CHECK_INT(store_has(s, &picture, &e), 1);
	stores_close(s);
	result_release(&r);
	action_release(&act);
	free(a);
	free(b);
	free(both);
}

int main(void)
{
	TEST(what_is_written_is_read);
	TEST(every_damaged_byte_is_refused);
	TEST(every_cut_is_refused);
	TEST(missing_records_are_noticed);
	TEST(other_versions_are_refused_by_name);
	TEST(nothing_half_is_put);
	TEST(a_second_store_is_looked_through);
	return test_end();
}
