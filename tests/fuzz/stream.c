/*
 * What `booth import` reads. The first byte says how: 0 the bytes are a stream; else they are records
 * (type, stage up to a NUL, 16 bytes of name, two of length, payload) that are written as a stream by
 * our own writer, so that every check in it is right and what is behind the checks is met. Bit 2:
 * objects get the names that their payloads have.
 */
#include <stdlib.h>
#include <string.h>

#include "common/data/store_pack.h"
#include "stages/booth/share.h"
#include "tests/fuzz/shared/fuzz.h"

#define RECORDS 16

static void name_object(struct stream_record *r)
{
	struct blob b;
	struct err e;

	if (r->type != 'o' || object_unpack(&b, r->at, r->len, &e) < 0)
		return;
	oid_of(&r->id, b.kind, b.at, b.len);
	blob_release(&b);
}

static int next_frame(struct stream_record *r, const uint8_t **at, size_t *len)
{
	struct piece stage;
	size_t n;

	*r = (struct stream_record){ 0 };
	if (*len < 20)
		return 0;
	r->type = "oak"[**at % 3];
	++*at, --*len;
	stage = fuzz_piece(at, len, 0);
	memcpy(r->stage, stage.at, stage.len < STAGE_NAME ? stage.len : STAGE_NAME - 1);
	if (*len < 18)
		return 0;
	memcpy(r->id.at, *at, sizeof r->id.at);
	n = (size_t)((*at)[16] | (*at)[17] << 8);
	*at += 18, *len -= 18;
	r->at = *at;
	r->len = n < *len ? n : *len;
	*at += r->len, *len -= r->len;
	return 1;
}

/* All records must come out again as they went in. */
static void write_and_read(const struct stream_record *rec, size_t n, char *bytes, size_t len)
{
	FILE *f = fmemopen(bytes, len, "r");
	struct stream s;
	struct stream_record got;
	struct err e;

	HOLDS(f && stream_open(&s, f, &e) == 0);
	for (size_t i = 0; i < n; i++) {
		HOLDS(stream_read(&s, &got, &e) == 1);
		HOLDS(got.type == rec[i].type && !memcmp(got.stage, rec[i].stage, STAGE_NAME));
		HOLDS(oid_equal(&got.id, &rec[i].id) && got.len == rec[i].len);
		HOLDS(!got.len || !memcmp(got.at, rec[i].at, got.len));
		stream_release(&got);
	}
	HOLDS(stream_read(&s, &got, &e) == 0);
	stream_close(&s);
	fclose(f);
}

static void receive(char *bytes, size_t len)
{
	struct stores *s;
	struct receive to = { .keep = 1 };
	struct stream in;
	struct stream_record rec;
	FILE *f = fmemopen(bytes, len, "r");
	struct err e;
	int more;

	HOLDS(f && stores_open(&s, "memory", &e) == 0);
	to.to = s;
	more = stream_open(&in, f, &e) < 0 ? -1 : 1;
	while (more > 0) {
		more = stream_read(&in, &rec, &e);
		if (more > 0 && receive_record(&to, &rec, &e) < 0)
			more = -1;
		stream_release(&rec);
	}
	if (more == 0)
		receive_end(&to, &e);
	stream_close(&in);
	receive_release(&to);
	stores_close(s);
	fclose(f);
}

static void records(const uint8_t *at, size_t len, int name)
{
	struct stream_record rec[RECORDS];
	struct stream s;
	char *bytes = NULL;
	size_t n = 0, size = 0;
	FILE *f = open_memstream(&bytes, &size);
	struct err e;

	HOLDS(f && stream_begin(&s, f, &e) == 0);
	for (; n < RECORDS && next_frame(&rec[n], &at, &len); n++) {
		if (name)
			name_object(&rec[n]);
		HOLDS(stream_write(&s, &rec[n], &e) == 0);
	}
	HOLDS(stream_end(&s, &e) == 0);
	stream_close(&s);
	fclose(f);
	write_and_read(rec, n, bytes, size);
	receive(bytes, size);
	free(bytes);
}

FUZZ(stream)
{
	char *bytes;

	if (len < 2)
		return 0;
	memory_keep(1);
	if (*at) {
		records(at + 1, len - 1, *at >> 1 & 1);
	} else {
		bytes = malloc(len - 1);
		HOLDS(bytes);
		memcpy(bytes, at + 1, len - 1);
		receive(bytes, len - 1);
		free(bytes);
	}
	memory_keep(0);
	memory_pairs_clear();
	return 0;
}
