/* The programs of examples/: scenes with captions, and a vocabulary learned from them. */
#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/oid.h"
#include "common/data/image.h"
#include "common/data/tokenizer.h"
#include "tests/test.h"

#include <unistd.h>

static char folder[300];

/* A program of this build, with arguments: its exit status. */
static int tool(const char *args)
{
	const char *b = getenv("B");
	char cmd[900];

	snprintf(cmd, sizeof cmd, "%s/tools/%s >/dev/null 2>&1", b ? b : "build/gcc", args);
	return system(cmd);
}

static int has_tools(void)
{
	const char *b = getenv("B");
	char path[300];

	snprintf(path, sizeof path, "%s/tools/scenes", b ? b : "build/gcc");
	return access(path, X_OK) == 0;
}

static void in_folder(struct buf *b, const char *name)
{
	char *path = path_join(folder, name);
	struct err e;

	buf_clear(b);
	CHECK_OK(file_read(b, path, 1 << 20, &e), e);
	free(path);
}

static void draws(void)
{
	char args[700];
	struct image im = { 0 };
	struct image_info info;
	struct buf first = { 0 }, again = { 0 };
	struct err e;

	if (!has_tools())
		SKIP("examples are not built");
	snprintf(folder, sizeof folder, "%s", test_folder("scenes"));
	snprintf(args, sizeof args, "scenes --out %s/a --count 3 --seed 5", folder);
	CHECK_INT(tool(args), 0);
	snprintf(args, sizeof args, "scenes --out %s/b --count 4 --seed 5", folder);
	CHECK_INT(tool(args), 0);
	in_folder(&first, "a/00003.png");
	in_folder(&again, "b/00003.png");
	CHECK(first.len == again.len && !memcmp(first.at, again.at, first.len));
	CHECK_OK(image_decode(&im, &info, first.at, first.len, &e), e);
	CHECK_INT(im.w, 64);
	CHECK_INT(im.h, 64);
	in_folder(&first, "a/00003.txt");
	CHECK(first.len > 5 && first.at[0] == 'a' && first.at[first.len - 1] == '\n');
	image_release(&im);
	buf_release(&first);
	buf_release(&again);
}

static void subject(void)
{
	char args[700];
	struct buf b = { 0 };

	if (!has_tools())
		SKIP("examples are not built");
	snprintf(folder, sizeof folder, "%s", test_folder("scenes"));
	snprintf(args, sizeof args, "scenes --out %s/s --subject 'sks dog'", folder);
	CHECK_INT(tool(args), 0);
	in_folder(&b, "s/00006.txt");
	CHECK_STR(buf_str(&b), "a photo of sks dog in the snow\n");
	snprintf(args, sizeof args, "scenes --out %s/s --subject 'sks chair'", folder);
	CHECK(tool(args) != 0);
	buf_release(&b);
}

static void learns_words(void)
{
	static const char *const words[] = { "sks", "dog", "mountains", "yellow", "photo", "," };
	struct tokenizer *t = NULL;
	char args[700];
	struct err e;
	int32_t *id;

	if (!has_tools())
		SKIP("examples are not built");
	snprintf(folder, sizeof folder, "%s", test_folder("scenes"));
	snprintf(args, sizeof args,
		 "vocabulary --out %s --extra 'a photo of sks dog, yellow mountains'", folder);
	CHECK_INT(tool(args), 0);
	CHECK_OK(tokenizer_open(&t, folder, &e), e);
	if (!t)
		return;
	for (int i = 0; i < (int)(sizeof words / sizeof *words); i++) {
		CHECK_INT(tokenizer_encode(t, words[i], &id, &e), 1);
		free(id);
	}
	CHECK_INT(tokenizer_encode(t, "zebra", &id, &e), 5);
	free(id);
	CHECK_INT(tokenizer_eos(t), tokenizer_vocab(t) - 1);
	CHECK_INT(tokenizer_bos(t), tokenizer_vocab(t) - 2);
	tokenizer_close(t);
}

int main(void)
{
	TEST(draws);
	TEST(subject);
	TEST(learns_words);
	return test_end();
}
