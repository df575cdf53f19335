#include "tests/test.h"

#include "common/base/mem.h"
#include "common/data/json.h"

static struct json *parse(const char *s)
{
	struct json *doc = NULL;
	struct err e;

	if (json_parse(&doc, s, strlen(s), "test", &e) < 0) {
		printf("# %s\n", e.text);
		return NULL;
	}
	return doc;
}

static void values(void)
{
	struct json *d = parse(
		"{\"a\": 1, \"b\": [true, null, -2.5, \"x\\u00e4\\ud83d\\ude00\"], \"c\": {\"d\": 1e3}}");
	const struct json *b = json_get(d, "b");

	CHECK_INT(json_type(d), JSON_OBJECT);
	CHECK_INT(json_count(d), 3);
	CHECK_INT(json_int(json_get(d, "a"), 0), 1);
	CHECK_INT(json_count(b), 4);
	CHECK_INT(json_bool(json_at(b, 0), 0), 1);
	CHECK_INT(json_type(json_at(b, 1)), JSON_NULL);
	CHECK_NEAR(json_float(json_at(b, 2), 0), -2.5, 0);
	CHECK_INT(json_int(json_at(b, 2), 0), -2);
	CHECK_STR(json_text(json_at(b, 3), ""), "x\xc3\xa4\xf0\x9f\x98\x80");
	CHECK_NEAR(json_float(json_get(json_get(d, "c"), "d"), 0), 1000, 0);
	CHECK_INT(json_type(json_at(b, 4)), JSON_NONE);
	json_free(d);
}

static void absent_things_have_defaults(void)
{
	struct json *d = parse("{\"a\": \"text\"}");

	CHECK_INT(json_int(json_get(json_get(json_get(d, "x"), "y"), "z"), 7), 7);
	CHECK_INT(json_int(json_get(d, "a"), 7), 7);
	CHECK_STR(json_text(json_get(d, "b"), "none"), "none");
	CHECK(json_get(NULL, "a") == NULL);
	CHECK(json_at(d, 0) == NULL);
	CHECK(json_member(d, 1, NULL) == NULL);
	CHECK_INT(json_count(NULL), 0);
	json_free(d);
	json_free(NULL);
}

static void members_in_order(void)
{
	struct buf b = { 0 };
	struct json *d;
	const char *name = "";
	char want[16];

	buf_addc(&b, '{');
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%s\"k%d\": %d", i ? "," : "", 997 * i % 1000, i);
	buf_addc(&b, '}');
	d = parse(buf_str(&b));
	CHECK_INT(json_count(d), 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(want, sizeof want, "k%d", 997 * i % 1000);
		CHECK_INT(json_int(json_member(d, (size_t)i, &name), -1), i);
		CHECK_STR(name, want);
		CHECK_INT(json_int(json_get(d, want), -1), i);
	}
	CHECK(json_get(d, "k1000") == NULL);
	json_free(d);
	buf_release(&b);
}

static void large_numbers(void)
{
	struct json *d = parse("[9223372036854775807, -9223372036854775808]");

	CHECK(json_int(json_at(d, 0), 0) == INT64_MAX);
	CHECK(json_int(json_at(d, 1), 0) == INT64_MIN);
	json_free(d);
	/* as tokenizer_config.json has it */
	d = parse("{\"model_max_length\": 1000000000000000019884624838656, \"n\": 77, \"f\": 0.5}");
	CHECK_INT(json_type(json_get(d, "n")), JSON_INT);
	CHECK_INT(json_int(json_get(d, "n"), 0), 77);
	CHECK_INT(json_int(json_get(d, "model_max_length"), -1), -1);
	CHECK_NEAR(json_float(json_get(d, "f"), 0), 0.5, 0);
	json_free(d);
}

static void bad(const char *s, size_t len)
{
	struct json *d = NULL;
	struct err e = { "" };

	CHECK(json_parse(&d, s, len, "bad.json", &e) < 0);
	CHECK(strstr(e.text, "'bad.json'") != NULL);
	CHECK(strstr(e.text, "line") != NULL);
}

static void broken_text(void)
{
	struct buf deep = { 0 };

	bad("", 0);
	bad("{", 1);
	bad("{\"a\": 1, \"a\": 2}", 16);
	bad("[1, 2] x", 8);
	bad("\"\xff\"", 3);
	bad("{\"a\\u0000b\": 1}", 15);
	bad("[NaN]", 5);
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	bad(deep.at, deep.len);
	buf_release(&deep);
}

static void text_comes_back(void)
{
	static const char text[] = "tab\t \"quoted\" back\\slash\n \x01 \xc3\xa4\x7f";
	struct buf b = { 0 };
	struct json *d;

	json_put_text(&b, text);
	d = parse(buf_str(&b));
	CHECK_STR(json_text(d, ""), text);
	json_free(d);
	buf_release(&b);
}

int main(void)
{
	TEST(values);
	TEST(absent_things_have_defaults);
	TEST(members_in_order);
	TEST(large_numbers);
	TEST(broken_text);
	TEST(text_comes_back);
	return test_end();
}
