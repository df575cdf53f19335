#include "common/data/tokenizer.h"

#include "common/base/buf.h"
#include "common/base/file.h"
#include "tests/test.h"

static char folder[300];

static void put(const char *name, const char *text)
{
	char *path = path_join(folder, name);
	struct err e;

	CHECK_OK(file_replace(path, text, strlen(text), &e), e);
	free(path);
}

/* Letters a b c d, with and without the mark; merges a+b, ab+c</w>, d+d</w>. */
static const char vocab[] =
	"{\"!\": 0, \"a\": 1, \"b\": 2, \"c\": 3, \"d\": 4, \"!</w>\": 5, \"a</w>\": 6,"
	" \"b</w>\": 7, \"c</w>\": 8, \"d</w>\": 9, \"ab\": 10, \"abc</w>\": 11, \"dd</w>\": 12,"
	" \"1</w>\": 13, \"'\": 14, \"s</w>\": 15, \"'s</w>\": 16,"
	" \"<|startoftext|>\": 17, \"<|endoftext|>\": 18}";
static const char merges[] = "#version: 0.2\na b\nab c</w>\nd d</w>\n' s</w>\n";

static void start(void)
{
	snprintf(folder, sizeof folder, "%s", test_folder("tokenizer"));
	put("vocab.json", vocab);
	put("merges.txt", merges);
}

static void text_of(struct buf *b, const int32_t *id, int n)
{
	buf_clear(b);
	for (int i = 0; i < n; i++)
		buf_addf(b, "%s%d", i ? " " : "", (int)id[i]);
}

static void encodes(const struct tokenizer *t, const char *text, const char *want)
{
	struct buf b = { 0 };
	struct err e;
	int32_t *id = NULL;
	int n = tokenizer_encode(t, text, &id, &e);

	CHECK_OK(n, e);
	if (n >= 0)
		text_of(&b, id, n);
	CHECK_STR(buf_str(&b), want);
	buf_release(&b);
	free(id);
}

static void words(void)
{
	struct tokenizer *t = NULL;
	struct err e;

	start();
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	CHECK_INT(tokenizer_vocab(t), 19);
	CHECK_INT(tokenizer_bos(t), 17);
	CHECK_INT(tokenizer_pad(t), 18);
	encodes(t, "", "");
	encodes(t, " \t\n", "");
	encodes(t, "abc", "11");
	encodes(t, "ABC  dd\ta", "11 12 6");
	encodes(t, "abab", "10 1 7");
	encodes(t, "a1dd", "6 13 12");
	encodes(t, "a's", "6 16");
	encodes(t, "a<|endoftext|>b", "6 18 7");
	encodes(t, "<|ENDOFTEXT|>", "18 18 18 18 4 18 18 18 18 18 18 18 18");
	tokenizer_close(t);
}

static void special_pad(void)
{
	struct tokenizer *t = NULL;
	struct err e;

	start();
	put("tokenizer_config.json",
	    "{\"pad_token\": {\"content\": \"!\"}, \"model_max_length\": 77}");
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	CHECK_INT(tokenizer_pad(t), 0);
	encodes(t, "a!!b", "6 0 0 7");
	tokenizer_close(t);
}

static void rows(void)
{
	struct tokenizer *t = NULL;
	struct buf b = { 0 };
	struct err e;
	int32_t row[77 * 2];

	start();
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	CHECK_INT(tokenizer_row(t, "a b", row, 6, &e), 0);
	text_of(&b, row, 6);
	CHECK_STR(b.at, "17 6 7 18 18 18");
	CHECK_INT(tokenizer_row(t, "a b c dd", row, 5, &e), 1);
	text_of(&b, row, 5);
	CHECK_STR(b.at, "17 6 7 8 18");
	CHECK_INT(tokenizer_chunks(t, "a b", row, 150, &e), 0);
	CHECK_INT(row[0], 17);
	CHECK_INT(row[2], 7);
	CHECK_INT(row[77], 17);
	CHECK_INT(row[78], 18);
	CHECK_INT(tokenizer_chunks(t, "a b", row, 100, &e), -1);
	buf_release(&b);
	tokenizer_close(t);
}

/* The same from tokenizer.json, with merges in both spellings. */
static void one_file(void)
{
	struct tokenizer *t = NULL;
	struct buf b = { 0 };
	struct err e;

	snprintf(folder, sizeof folder, "%s", test_folder("tokenizer"));
	buf_adds(&b, "{\"added_tokens\": [{\"id\": 19, \"content\": \"<cat>\"}],");
	buf_addf(&b, "\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": %s,", vocab);
	buf_adds(&b, "\"merges\": [\"a b\", [\"ab\", \"c</w>\"]]}}");
	put("tokenizer.json", b.at);
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (t) {
		encodes(t, "abc<cat>a", "11 19 6");
		CHECK_INT(tokenizer_vocab(t), 20);
	}
	tokenizer_close(t);
	buf_release(&b);
}

static void fails_with(const char *part)
{
	struct tokenizer *t = NULL;
	struct err e = { { 0 } };

	CHECK_INT(tokenizer_open(&t, folder, &e), -1);
	if (!strstr(e.text, part))
		CHECK_STR(e.text, part);
}

static void bad_files(void)
{
	snprintf(folder, sizeof folder, "%s", test_folder("tokenizer"));
	fails_with("no vocab.json with merges.txt");
	start();
	put("merges.txt", "#version: 0.2\na b\na q\n");
	fails_with("merge 2: 'q' is not in");
	put("merges.txt", "#version: 0.2\nab\n");
	fails_with("two pieces");
	put("merges.txt", merges);
	put("vocab.json", "{\"a\": -4}");
	fails_with("the id of 'a'");
	put("vocab.json", "{\"a\": 1");
	fails_with("vocab.json");
	put("vocab.json", "[1]");
	fails_with("no vocabulary");
	put("vocab.json", vocab);
	put("tokenizer_config.json", "{\"pad_token\": \"<pad>\"}");
	fails_with("'<pad>' is not in");
}

static void bad_text(void)
{
	struct tokenizer *t = NULL;
	struct err e = { { 0 } };
	int32_t *id = NULL;

	start();
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	CHECK_INT(tokenizer_encode(t, "ab\xff" "c", &id, &e), -1);
	CHECK_STR(e.text, "the text 'ab' is not UTF-8 at byte 3");
	tokenizer_close(t);
}

static void clip(void)
{
	struct tokenizer *t = NULL;
	struct err e;

	if (!test_shared())
		SKIP("no ../shared");
	snprintf(folder, sizeof folder, "%s/data/clip-tokenizer", test_shared());
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	CHECK_INT(tokenizer_vocab(t), 49408);
	encodes(t, "a photo of SKS dog", "320 1125 539 48136 1929");
	encodes(t, "nai\xcc\x88ve \xe6\x97\xa5\xe6\x9c\xac", "1097 35689 563 39121 19277 361");
	tokenizer_close(t);
}

int main(void)
{
	TEST(words);
	TEST(special_pad);
	TEST(rows);
	TEST(one_file);
	TEST(bad_files);
	TEST(bad_text);
	TEST(clip);
	return test_end();
}
