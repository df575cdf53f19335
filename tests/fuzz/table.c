/* Tables, from standard input or a store. What was read is written so that it reads the same. */
#include <string.h>

#include "common/data/table.h"
#include "tests/fuzz/shared/fuzz.h"

static void write_and_read(const struct table *t)
{
	struct table again = { 0 };
	struct buf one = { 0 }, two = { 0 };
	struct err e;

	table_text(&one, t);
	HOLDS(table_parse(&again, one.at, one.len, "again", &e) == 0);
	table_text(&two, &again);
	HOLDS(one.len == two.len && !memcmp(one.at, two.at, one.len));
	table_release(&again);
	buf_release(&one);
	buf_release(&two);
}

FUZZ(table)
{
	struct table t = { 0 }, copy;
	struct err e;
	int64_t i;
	double f;

	if (len)
		table_is((const char *)at, len);
	if (table_parse(&t, (const char *)at, len, "in", &e) < 0)
		return 0;
	write_and_read(&t);
	for (size_t row = 0; row < t.rows && row < 4; row++) {
		table_int(&t, row, t.columns - 1, &i, &e);
		table_float(&t, row, t.columns - 1, &f, &e);
	}
	table_copy(&copy, &t);
	table_add_column(&copy, "caption");
	if (t.rows)
		table_append(&copy, &t, t.rows - 1);
	table_release(&copy);
	table_release(&t);
	return 0;
}
