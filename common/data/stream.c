#include "common/data/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/store_pack.h"

#define HEAD 52
#define HEAD_CHECK 8
#define CHECK 16
#define RECORD_LIMIT (OBJECT_LIMIT + VALUE_HEAD)
#define MAGIC_LIMIT 64
#define PIECE ((size_t)1 << 24) /* bytes of a record that are taken before any of them has come */

static void put_number(unsigned char *to, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		to[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_number(const unsigned char *at)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | at[i];
	return v;
}

static void check_of(struct oid *out, const unsigned char head[HEAD], const void *at, size_t len)
{
	struct oid_state *s = oid_start(KIND_BYTES);

	oid_add(s, head, HEAD);
	oid_add(s, at, len);
	oid_end(s, out);
}

static int is_type(int c)
{
	return c == 'o' || c == 'a' || c == 'k' || c == 'e';
}

void stream_release(struct stream_record *r)
{
	free(r->own);
	*r = (struct stream_record){ 0 };
}

void stream_close(struct stream *s)
{
	struct oid ignored;

	if (s->all)
		oid_end(s->all, &ignored);
	*s = (struct stream){ 0 };
}

/* ---- writing ---- */

static int put_bytes(struct stream *s, const void *at, size_t len, struct err *e)
{
	if (len && fwrite(at, 1, len, s->file) != len)
		return fail_errno(e, "cannot write the stream after %lld bytes", (long long)s->bytes);
	s->bytes += (int64_t)len;
	return 0;
}

int stream_begin(struct stream *s, FILE *to, struct err *e)
{
	char line[MAGIC_LIMIT];
	int n = snprintf(line, sizeof line, "booth stream %d, store format %d\n", STREAM_VERSION,
			 STORE_FORMAT);

	*s = (struct stream){ .file = to, .all = oid_start(KIND_BYTES) };
	return put_bytes(s, line, (size_t)n, e);
}

int stream_write(struct stream *s, const struct stream_record *r, struct err *e)
{
	unsigned char head[HEAD] = { (unsigned char)r->type };
	struct oid short_check, check;

	memcpy(head + 4, r->stage, strnlen(r->stage, STAGE_NAME));
	memcpy(head + 28, r->id.at, sizeof r->id.at);
	put_number(head + 44, r->len);
	oid_of(&short_check, KIND_BYTES, head, HEAD);
	check_of(&check, head, r->at, r->len);
	oid_add(s->all, check.at, CHECK);
	s->records++;
	if (put_bytes(s, head, HEAD, e) < 0 || put_bytes(s, short_check.at, HEAD_CHECK, e) < 0 ||
	    put_bytes(s, r->at, r->len, e) < 0)
		return -1;
	return put_bytes(s, check.at, CHECK, e);
}

int stream_end(struct stream *s, struct err *e)
{
	unsigned char count[8];
	struct stream_record end = { .type = 'e', .at = count, .len = sizeof count };

	put_number(count, s->records);
	oid_end(s->all, &end.id);
	s->all = oid_start(KIND_BYTES);
	if (stream_write(s, &end, e) < 0)
		return -1;
	return fflush(s->file) ? fail_errno(e, "cannot write the stream") : 0;
}

/* ---- reading ---- */

static int fail_short(struct stream *s, struct err *e)
{
	if (ferror(s->file))
		return fail_errno(e, "cannot read the stream after %lld bytes", (long long)s->bytes);
	return fail(e, "the stream is truncated: it ends after %lld bytes in record %llu, and its end is not "
		    "there; send it again, what came whole is kept", (long long)s->bytes,
		    (unsigned long long)s->records + 1);
}

static int fail_damaged(struct stream *s, struct err *e)
{
	return fail(e, "the stream is damaged in record %llu, at about byte %lld; send it again, what came whole "
		    "is kept", (unsigned long long)s->records + 1, (long long)s->bytes);
}

static int get_bytes(struct stream *s, void *to, size_t len, struct err *e)
{
	size_t n = len ? fread(to, 1, len, s->file) : 0;

	s->bytes += (int64_t)n;
	return n == len ? 0 : fail_short(s, e);
}

int stream_open(struct stream *s, FILE *from, struct err *e)
{
	char line[MAGIC_LIMIT] = "";
	int version, format, n = 0;

	*s = (struct stream){ .file = from };
	if (!fgets(line, sizeof line, from))
		return ferror(from) ? fail_short(s, e)
				    : fail(e, "the stream is empty; did the command that writes it fail?");
	s->bytes = (int64_t)strlen(line);
	if (sscanf(line, "booth stream %d, store format %d%n", &version, &format, &n) != 2 ||
	    strcmp(line + n, "\n"))
		return fail(e, "this is no stream of booth export: it begins with '%.*s'",
			    (int)strspn(line, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					      "[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"), line);
	if (version != STREAM_VERSION)
		return fail(e, "the stream is of version %d, this program reads version %d; use the same booth on "
			    "both sides", version, STREAM_VERSION);
	if (format != STORE_FORMAT)
		return fail(e, "the stream holds objects of store format %d, this program reads format %d; use the "
			    "same booth on both sides", format, STORE_FORMAT);
	s->all = oid_start(KIND_BYTES);
	return 0;
}

static int read_head(struct stream *s, struct stream_record *out, unsigned char head[HEAD],
		     struct err *e)
{
	unsigned char check[HEAD_CHECK];
	struct oid is;
	uint64_t len;

	if (get_bytes(s, head, HEAD, e) < 0 || get_bytes(s, check, HEAD_CHECK, e) < 0)
		return -1;
	oid_of(&is, KIND_BYTES, head, HEAD);
	len = get_number(head + 44);
	if (memcmp(is.at, check, HEAD_CHECK) || !is_type(head[0]) || head[27] || len > RECORD_LIMIT)
		return fail_damaged(s, e);
	out->type = (char)head[0];
	memcpy(out->stage, head + 4, STAGE_NAME);
	memcpy(out->id.at, head + 28, sizeof out->id.at);
	out->len = (size_t)len;
	return 0;
}

static int check_end(struct stream *s, const struct stream_record *r, struct err *e)
{
	struct oid all;

	oid_end(s->all, &all);
	s->all = NULL;
	if (r->len != 8 || get_number(r->at) != s->records || !oid_equal(&all, &r->id))
		return fail(e, "the stream is damaged: records are missing, it has %llu", (unsigned long long)s->records);
	if (getc(s->file) != EOF)
		return fail(e, "the stream goes on behind its end, after %lld bytes", (long long)s->bytes);
	return 0;
}

/* Memory grows with what has come: whoever writes a length can write its check. */
static int read_payload(struct stream *s, struct stream_record *out, struct err *e)
{
	size_t have = 0, room = out->len < PIECE ? out->len : PIECE;
	void *more;

	for (;;) {
		more = realloc(out->own, room + 1);
		if (!more)
			return fail(e, "no memory for a record of the stream, %zu bytes wanted", out->len);
		out->at = out->own = more;
		if (get_bytes(s, (char *)out->own + have, room - have, e) < 0)
			return -1;
		have = room;
		if (have == out->len)
			return 0;
		room = out->len - room < room ? out->len : 2 * room;
	}
}

int stream_read(struct stream *s, struct stream_record *out, struct err *e)
{
	unsigned char head[HEAD], check[CHECK];
	struct oid is;
	int ret = -1;

	*out = (struct stream_record){ 0 };
	if (read_head(s, out, head, e) < 0)
		return -1;
	if (read_payload(s, out, e) < 0 || get_bytes(s, check, CHECK, e) < 0)
		goto out;
	((char *)out->own)[out->len] = 0;       /* texts are strings then */
	check_of(&is, head, out->at, out->len);
	if (memcmp(is.at, check, CHECK)) {
		fail_damaged(s, e);
	} else if (out->type == 'e') {
		ret = check_end(s, out, e);
	} else {
		oid_add(s->all, check, CHECK);
		s->records++;
		ret = 1;
	}
out:
	if (ret <= 0)
		stream_release(out);
	return ret;
}
