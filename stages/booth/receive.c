#include "stages/booth/share.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/copy.h"

static struct ref ref_of(const struct stream_record *rec)
{
	struct ref r = { .id = rec->id };

	memcpy(r.stage, rec->stage, STAGE_NAME);
	return r;
}

static int take_object(struct receive *r, const struct stream_record *rec, struct err *e)
{
	struct ref ref = ref_of(rec);
	int table = rec->len > 1 && ((const unsigned char *)rec->at)[1] == KIND_TABLE, put;

	/* what a table names is on disk before the table is */
	if (table && !r->flushed) {
		if (stores_flush(r->to, e) < 0)
			return -1;
		r->flushed = 1;
	}
	put = value_put(r->to, &ref, rec->at, rec->len, e);
	r->got.objects += put > 0;
	r->got.left_out += put == 0;
	return put;
}

static int take_kept(struct receive *r, const struct stream_record *rec, struct err *e)
{
	struct ref ref = ref_of(rec);
	char text[STAGE_NAME + 1 + OID_HEX];
	struct kept *k;

	if (!ref_is(ref_text(&ref, text)))
		return fail(e, "what is to be kept is no reference: '%s'", text);
	r->kept = grow(r->kept, r->n_kept, &r->cap_kept, sizeof *r->kept);
	k = &r->kept[r->n_kept++];
	*k = (struct kept){ ref, xstrndup(rec->at, rec->len) };
	return 0;
}

int receive_record(struct receive *r, const struct stream_record *rec, struct err *e)
{
	int put = 0;

	switch (rec->type) {
	case 'o':
		put = take_object(r, rec, e);
		break;
	case 'a':
		put = record_put(r->to, rec->stage, &rec->id, rec->at, rec->len, e);
		r->got.actions += put > 0;
		break;
	case 'k':
		put = take_kept(r, rec, e);
		break;
	default:
		return fail(e, "a record of type '%c' has no meaning here", rec->type);
	}
	if (put > 0)
		r->got.bytes += (int64_t)rec->len;
	return put < 0 ? -1 : 0;
}

/* Of the line "name TARGET", if there is one. */
static size_t name_length(const struct kept *k)
{
	size_t n = strcspn(k->lines, "\n");

	return starts_with(k->lines, "name ") ? n + (k->lines[n] == '\n') : 0;
}

/* A table in the store 'run' that names what is to be kept; gc keeps what it names. */
static int keep_table(struct receive *r, const struct kept *k, struct ref *out, struct err *e)
{
	struct table t = { 0 };
	int ret = 0, item = table_add_column(&t, "item"), ref = table_add_column(&t, "ref");
	const char *p = k->lines + name_length(k);

	while (*p && ret == 0) {
		size_t n = strcspn(p, "\n"), row;
		char *line = xstrndup(p, n);
		struct ref one;

		ret = ref_parse(r->to, line, &one, e);
		row = table_add_row(&t);
		table_setf(&t, row, item, "%zu", row);
		table_set(&t, row, ref, line);
		p += n + (p[n] == '\n');
		free(line);
	}
	if (ret == 0)
		ret = store_put_table(r->to, "run", &t, out, e);
	table_release(&t);
	return ret;
}

/* As `booth gc --keep` does it, so that --unkeep takes it back. */
static int keep(struct receive *r, const struct kept *k, struct err *e)
{
	struct action a = { 0 };
	struct result res = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	int ret = keep_table(r, k, &res.out, e);

	if (ret == 0) {
		action_begin(&a, "run", 1, "pin");
		action_param(&a, "ref", ref_text(&k->ref, text));
		buf_add(&res.note, k->lines, name_length(k));
		ret = store_record(r->to, &a, &res, e);
		action_release(&a);
	}
	result_release(&res);
	return ret;
}

int receive_end(struct receive *r, struct err *e)
{
	if (stores_flush(r->to, e) < 0)
		return -1;
	for (size_t i = 0; i < r->n_kept && r->keep; i++)
		if (keep(r, &r->kept[i], e) < 0)
			return -1;
	return 0;
}

void receive_release(struct receive *r)
{
	for (size_t i = 0; i < r->n_kept; i++)
		free(r->kept[i].lines);
	free(r->kept);
	*r = (struct receive){ 0 };
}
