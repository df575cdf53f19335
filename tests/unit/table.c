#include "tests/test.h"

#include "common/base/mem.h"
#include "common/data/table.h"
#include "common/data/tensor.h"

static int parse(struct table *t, const char *text, struct err *e)
{
	return table_parse(t, text, strlen(text), "x", e);
}

static void tables_go_around(void)
{
	static const char text[] = "item\tcaption\twidth\nrex/1\ta \\\\ b\\tc\\nd\t12\nrex/2\t\t\n";
	struct table t, u;
	struct buf b = { 0 };
	struct err e;
	int64_t w;

	CHECK_OK(parse(&t, text, &e), e);
	CHECK_INT(t.rows, 2);
	CHECK_STR(table_get(&t, 0, 1), "a \\ b\tc\nd");
	CHECK_STR(table_get(&t, 1, 1), "");
	CHECK_STR(table_get(&t, 1, -1), "");
	CHECK_OK(table_int(&t, 0, 2, &w, &e), e);
	CHECK_INT(w, 12);
	CHECK(table_int(&t, 1, 2, &w, &e) < 0);
	CHECK_STR(e.text, "item 'rex/2': column 'width' is '', a whole number is wanted");
	table_text(&b, &t);
	CHECK_STR(buf_str(&b), text);
	table_copy(&u, &t);
	buf_clear(&b);
	table_text(&b, &u);
	CHECK_STR(buf_str(&b), text);
	table_release(&t);
	table_release(&t);
	CHECK_OK(parse(&t, "item\tcaption\r\na\tb\r\n", &e), e);
	CHECK_STR(table_get(&t, 0, 1), "b");
	table_release(&t);
	table_release(&u);
	buf_release(&b);
}

static void columns_are_added(void)
{
	struct table t = { 0 }, u = { 0 };
	struct err e;

	CHECK_INT(table_add_column(&t, "item"), 0);
	for (int i = 0; i < 100; i++)
		table_setf(&t, table_add_row(&t), 0, "%d", i);
	CHECK_INT(table_add_column(&t, "b"), 1);
	CHECK_INT(table_add_column(&t, "c"), 2);
	CHECK_INT(table_add_column(&t, "b"), 1);
	table_set(&t, 99, 2, "last");
	CHECK_STR(table_get(&t, 57, 0), "57");
	CHECK_STR(table_get(&t, 57, 2), "");
	table_set(&t, 99, 2, table_get(&t, 99, 2));
	table_add_column(&u, "c");
	table_append(&u, &t, 99);
	CHECK_INT(u.columns, 3);
	CHECK_STR(table_get(&u, 0, 0), "last");
	CHECK_STR(table_get(&u, 0, table_column(&u, "item")), "99");
	CHECK(table_need(&t, "caption", "bucket", &e) < 0);
	CHECK_STR(e.text, "'bucket' needs a column 'caption'; the table has item, b, c");
	table_release(&t);
	table_release(&u);
}

static void damage_is_told_with_its_line(void)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "", "x: empty, a header line is wanted" },
		{ "item\tb\nq\tw\nonly\n", "x:3: the line has 1 values, the header has 2 columns" },
		{ "item\titem\n", "x:1: there are two columns 'item'" },
		{ "item\t\n", "x:1: column 2 has no name" },
		{ "item\tb\na\t\xff\n", "x:2: not valid UTF-8" },
		{ "item\tb\na\t\\q\n", "x:2: column 'b' holds a backslash that is not \\t, \\n, \\r or \\\\" },
		{ "item\tb\na\t1\na\t2\n", "x: there are two items 'a'" },
		{ "item\tb\n\t1\n", "x: row 1: the item has no name" },
		{ "item\twidth\na\twide\n", "x: item 'a': column 'width' is 'wide', a whole number is wanted" },
		{ "item\timage\na\tnothing\n", "x: item 'a': column 'image' is 'nothing', a reference such as prep/1f0c9a52 is wanted" },
		{ "step\tloss\n1\ttwo\n", "x: row 1: column 'loss' is 'two', a number is wanted" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct table t;
		struct err e = { "" };

		CHECK(parse(&t, cases[i].text, &e) < 0);
		CHECK_STR(e.text, cases[i].want);
		CHECK(!t.cell && !t.name);
	}
	CHECK(table_is("item\n", 5) && table_is("a\tb", 3) && table_is("item", 4));
	CHECK(!table_is("prep/12345678\n", 14) && !table_is("", 0) && !table_is("items\nx\ty", 9));
}

static void tensors_go_around(void)
{
	static const int64_t side[3] = { 2, 3, 4 };
	struct tensor t, u, v;
	struct buf b = { 0 };
	struct err e;
	void *values;
	char shape[96];

	CHECK_OK(tensor_new(&t, DT_F32, 3, side, &values, &e), e);
	for (int i = 0; i < 24; i++)
		((float *)values)[i] = (float)i / 8;
	CHECK_STR(tensor_shape_text(&t, shape), "2x3x4");
	tensor_pack(&b, &t);
	CHECK_INT(b.len, 32 + 96);
	CHECK_OK(tensor_unpack(&u, b.at, b.len, &e), e);
	CHECK(u.type == DT_F32 && u.rank == 3 && u.side[2] == 4 && !u.own);
	CHECK(!memcmp(u.at, t.at, 96));
	CHECK_OK(tensor_convert(&u, DT_BF16, &e), e);
	CHECK_INT(tensor_bytes(&u), 48);
	CHECK_OK(tensor_to_f32(&u, &e), e);
	CHECK(!memcmp(u.at, t.at, 96));
	for (size_t cut = 0; cut < b.len; cut++)
		CHECK(tensor_unpack(&v, b.at, cut, &e) < 0);
	b.at[15] = 0x7f;        /* a side of 2^63 or so */
	CHECK(tensor_unpack(&v, b.at, b.len, &e) < 0);
	b.at[4] = 77;
	CHECK(tensor_unpack(&v, b.at, b.len, &e) < 0);
	tensor_release(&t);
	tensor_release(&u);
	CHECK_OK(tensor_new(&t, DT_I64, 0, NULL, &values, &e), e);
	CHECK_INT(tensor_count(&t), 1);
	CHECK_STR(tensor_shape_text(&t, shape), "1");
	tensor_release(&t);
	buf_release(&b);
}

/* Values that grow, shrink and come from the cell itself; more text than one piece holds. */
static void cells_are_set_again(void)
{
	struct table t = { 0 };
	char *big = xcalloc(1, 3000001);

	table_add_column(&t, "a");
	table_add_column(&t, "b");
	for (int i = 0; i < 20000; i++) {
		table_setf(&t, table_add_row(&t), 0, "%d and some more", i);
		table_set(&t, (size_t)i, 1, "kept");
	}
	table_set(&t, 7, 0, "short");
	table_set(&t, 7, 0, table_get(&t, 7, 0) + 2);
	CHECK_STR(table_get(&t, 7, 0), "ort");
	table_set(&t, 7, 0, "longer than what was there at first");
	CHECK_STR(table_get(&t, 7, 0), "longer than what was there at first");
	table_set(&t, 8, 0, "");
	CHECK_STR(table_get(&t, 8, 0), "");
	table_set(&t, 8, 0, table_get(&t, 7, 0));
	memset(big, 'x', 3000000);
	table_set(&t, 9, 0, big);
	table_setf(&t, 10, 0, "%s.", big);
	CHECK_INT(strlen(table_get(&t, 9, 0)), 3000000);
	CHECK_INT(strlen(table_get(&t, 10, 0)), 3000001);
	table_set(&t, 11, 0, "after it");
	CHECK_STR(table_get(&t, 8, 0), "longer than what was there at first");
	CHECK_STR(table_get(&t, 6, 0), "6 and some more");
	CHECK_STR(table_get(&t, 19999, 0), "19999 and some more");
	CHECK_STR(table_get(&t, 10, 1), "kept");
	table_release(&t);
	free(big);
}

static void columns_are_seen_in_text(void)
{
	static const char text[] = "item\tfile name\tfile\r\nfoo\tbar\tbaz\n";

	CHECK(table_text_has(text, strlen(text), "item"));
	CHECK(table_text_has(text, strlen(text), "file"));
	CHECK(!table_text_has(text, strlen(text), "fil"));
	CHECK(!table_text_has(text, strlen(text), "name"));
	CHECK(!table_text_has(text, strlen(text), "baz"));
	CHECK(table_text_has("file", 4, "file"));
	CHECK(!table_text_has("", 0, "file"));
}

int main(void)
{
	TEST(tables_go_around);
	TEST(columns_are_added);
	TEST(cells_are_set_again);
	TEST(columns_are_seen_in_text);
	TEST(damage_is_told_with_its_line);
	TEST(tensors_go_around);
	return test_end();
}
