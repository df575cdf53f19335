/* Files that steps wrote outside of the store. */
#include "stages/booth/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static int note_file(struct runner *r, const char *path, struct buf *note, struct err *e)
{
	struct oid id;
	char hex[OID_HEX + 1], *line = xasprintf(" %s\n", path);
	int ret = 0;

	if (!strstr(buf_str(note), line)) {
		ret = outside_hash(r->stores, path, &id, e);
		if (ret == 0)
			buf_addf(note, "file %s%s", oid_hex(&id, hex), line);
	}
	free(line);
	return ret;
}

int files_note(struct runner *r, const struct task *t, const struct ref *result, struct buf *note,
	       struct err *e)
{
	struct table table = { 0 };
	struct blob b = { 0 };
	int file, ret = -1;

	if (store_need(r->stores, result, KIND_TABLE, &b, e) < 0)
		return -1;
	if (t->rule->kind == RULE_FILE && note_file(r, t->rule->target, note, e) < 0)
		goto out;
	/* a table of many items is not taken apart for a column that it does not have */
	ret = table_text_has((const char *)b.at, b.len, "file") ?
		store_get_table(r->stores, result, &table, e) : 0;
	file = table_column(&table, "file");
	for (size_t i = 0; i < table.rows && file >= 0 && ret == 0; i++)
		if (*table_get(&table, i, file))
			ret = note_file(r, table_get(&table, i, file), note, e);
out:
	table_release(&table);
	blob_release(&b);
	return ret;
}

int files_same(struct runner *r, const char *note, struct buf *why, struct err *e)
{
	int same = 1;

	for (const char *p = note, *next; *p && same > 0; p = next) {
		size_t n = strcspn(p, "\n");
		char *line = xstrndup(p, n), *path = line + 6 + OID_HEX;
		struct oid was, is;

		next = p + n + (p[n] == '\n');
		if (starts_with(line, "file ") && n > 6 + OID_HEX) {
			line[5 + OID_HEX] = 0;
			if (oid_parse(&was, line + 5) < 0)
				same = 0;
			else if (access(path, F_OK) < 0)
				same = 0, buf_addf(why, "'%s' is not there", path);
			else if (outside_hash(r->stores, path, &is, e) < 0)
				same = -1;
			else if (!oid_equal(&was, &is))
				same = 0, buf_addf(why, "'%s' was changed by something else", path);
		}
		free(line);
	}
	return same;
}
