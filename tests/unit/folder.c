#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/folder.h"
#include "tests/test.h"

static const char *root;

/* Make ROOT/path with its folders and these bytes. */
static void put(const char *path, const char *text)
{
	char *whole = path_join(root, path),
	     *folder = xstrndup(whole, path_base(whole) - whole - 1);
	struct err e = { "" };

	CHECK_OK(make_folder(folder, &e), e);
	CHECK_OK(file_replace(whole, text, strlen(text), &e), e);
	free(folder);
	free(whole);
}

static int scan(struct photos *out, const char *path, const struct scan_rules *r, struct err *e)
{
	static const struct scan_rules none;
	char *whole = path_join(root, path);
	int ret = photos_scan(out, &whole, 1, r ? r : &none, e);

	free(whole);
	return ret;
}

static void repeats_of_names(void)
{
	const char *words;

	CHECK_INT(folder_repeats("10_sks dog", &words), 10);
	CHECK_STR(words, "sks dog");
	CHECK_INT(folder_repeats("1_a_b", &words), 1);
	CHECK_STR(words, "a_b");
	CHECK_INT(folder_repeats("-1_dog", &words), -1);
	CHECK_INT(folder_repeats("\xd9\xa3_dog", &words), 3);
	CHECK_INT(folder_repeats("99999999999999999999_dog", &words), 2147483647);
	CHECK_INT(folder_repeats("1.5_dog", &words), 0);
	CHECK_STR(words, "");
	CHECK_INT(folder_repeats("", &words), 0);
	CHECK_INT(folder_repeats("rex", &words), 0);
}

static void captions_of_files(void)
{
	struct buf b = { 0 };

	caption_of_file(&b, "  a dog \r\n\n b\xe3\x80\x80\n", 17, 0);
	CHECK_STR(buf_str(&b), "a dog");
	buf_clear(&b);
	caption_of_file(&b, "  a dog \r\n\n b\xe3\x80\x80\n", 17, 1);
	CHECK_STR(buf_str(&b), "a dog\nb");
	buf_release(&b);
}

static void caption_files_that_are_wrong(void)
{
	struct buf b = { 0 };
	struct err e;
	char *path;

	root = test_folder("folder-captions");
	put("empty.txt", " \n\n");
	put("bytes.txt", "a dog\xff\n");
	put("mark.txt", "\xef\xbb\xbf" "a dog\n");
	path = path_join(root, "empty.txt");
	CHECK(caption_file_read(&b, path, &e) < 0);
	CHECK_STR(e.text, "caption file 'empty.txt' is empty");
	free(path);
	path = path_join(root, "bytes.txt");
	CHECK(caption_file_read(&b, path, &e) < 0);
	CHECK_STR(e.text, "caption file 'bytes.txt' is not UTF-8 text (at byte 5)");
	free(path);
	path = path_join(root, "mark.txt");
	CHECK_OK(caption_file_read(&b, path, &e), e);
	CHECK_STR(buf_str(&b), "a dog");
	free(path);
	buf_release(&b);
}

static void a_plain_folder(void)
{
	struct photos p;
	struct err e = { "" };

	root = test_folder("folder-plain");
	put("rex/b.JPG", "");
	put("rex/a.png", "");
	put("rex/a.txt", "a dog");
	put("rex/b.JPG.caption", "b");
	put("rex/b-masklabel.png", "");
	put("rex/notes.md", "");
	put("rex/.hidden.jpg", "");
	put("rex/more/c.heic", "");
	put("rex/more/masks/c.png", "");
	CHECK_OK(scan(&p, "rex", NULL, &e), e);
	CHECK_INT(p.n, 3);
	CHECK_STR(p.at[0].item, "a.png");
	CHECK_STR(p.at[1].item, "b.JPG");
	CHECK_STR(p.at[2].item, "more/c.heic");
	CHECK_STR(path_base(p.at[0].sidecar), "a.txt");
	CHECK_STR(path_base(p.at[1].sidecar), "b.JPG.caption");
	CHECK(!p.at[2].sidecar && p.at[2].source == CAPTION_NONE);
	CHECK(!p.at[0].mask);
	CHECK_STR(path_base(p.at[1].mask), "b-masklabel.png");
	CHECK_STR(path_base(p.at[2].mask), "c.png");
	CHECK_INT(p.at[0].repeats, 1);
	photos_release(&p);
}

static void kohyas_layout(void)
{
	struct photos p;
	struct err e = { "" };

	root = test_folder("folder-kohya");
	put("set/10_sks dog/a.png", "");
	put("set/10_sks dog/b_1_2_3_4.png", "");
	put("set/10_sks dog/b.txt", "own");
	put("set/2_sks cat/a.png", "");
	put("set/0_out/a.png", "");
	put("set/loose.png", "");
	CHECK_OK(scan(&p, "set", NULL, &e), e);
	CHECK_INT(p.n, 3);
	CHECK_INT(p.left_out, 1);
	CHECK_STR(p.at[0].item, "10_sks dog/a.png");
	CHECK_STR(p.at[0].caption, "sks dog");
	CHECK_STR(p.at[0].concept, "sks dog");
	CHECK_INT(p.at[0].repeats, 10);
	CHECK(p.at[0].source == CAPTION_FOLDER && p.at[1].source == CAPTION_SIDECAR);
	CHECK_STR(p.at[2].item, "2_sks cat/a.png");
	CHECK_INT(p.at[2].repeats, 2);
	photos_release(&p);

	CHECK_OK(scan(&p, "set/10_sks dog", NULL, &e), e);      /* one of them by itself */
	CHECK_INT(p.n, 2);
	CHECK_STR(p.at[0].item, "a.png");
	CHECK_INT(p.at[0].repeats, 10);
	CHECK_STR(p.at[0].caption, "sks dog");
	CHECK_STR(p.at[0].concept, "");
	photos_release(&p);
}

static void masks_elsewhere(void)
{
	struct photos p;
	struct err e = { "" };
	struct scan_rules r = { 0 };
	char *masks;

	root = test_folder("folder-masks");
	put("set/a/1.png", "");
	put("set/m/a/1.png", "");
	put("set/2.jpg", "");
	put("set/m/2.png", "");
	masks = path_join(root, "set/m");
	r.masks = masks;
	CHECK_OK(scan(&p, "set", &r, &e), e);
	CHECK_INT(p.n, 2);
	CHECK(p.at[0].mask && strstr(p.at[0].mask, "m/2.png"));
	CHECK(p.at[1].mask && strstr(p.at[1].mask, "m/a/1.png"));
	photos_release(&p);
	free(masks);
}

static void concepts(void)
{
	struct photos p;
	struct err e = { "" };

	root = test_folder("folder-concepts");
	put("dog/in/1.png", "");
	put("dog/reg/1.png", "");
	put("cat/in/1.png", "");
	put("list.json",
	    "[{\"instance_prompt\": \"sks dog\", \"class_prompt\": \"dog\", \"instance_data_dir\": \"dog/in\","
	    "\"class_data_dir\": \"dog/reg\"}, {\"instance_prompt\": \"zwx cat\", \"instance_data_dir\": \"cat/in\"}]");
	CHECK_OK(scan(&p, "list.json", NULL, &e), e);
	CHECK_INT(p.n, 3);
	CHECK_STR(p.at[0].item, "in.2/1.png");
	CHECK_STR(p.at[0].concept, "zwx cat");
	CHECK_STR(p.at[1].item, "in/1.png");
	CHECK_STR(p.at[1].caption, "sks dog");
	CHECK_STR(p.at[2].item, "reg/1.png");
	CHECK_STR(p.at[2].caption, "dog");
	CHECK_STR(p.at[2].concept, "sks dog");
	CHECK_INT(p.at[2].class, 1);
	photos_release(&p);

	put("bad.json", "[{\"instance_prompt\": \"sks dog\"}]");
	CHECK(scan(&p, "bad.json", NULL, &e) < 0);
	CHECK(strstr(e.text, "concept 1 has no instance_data_dir") != NULL);
	photos_release(&p);
}

static void nothing_there(void)
{
	struct photos p;
	struct err e = { "" };

	root = test_folder("folder-nothing");
	put("set/notes.md", "");
	CHECK(scan(&p, "set", NULL, &e) < 0);
	CHECK(strstr(e.text, "holds no picture") != NULL);
	photos_release(&p);
	CHECK(scan(&p, "absent", NULL, &e) < 0);
	CHECK(strstr(e.text, "is neither a folder nor a file") != NULL);
	photos_release(&p);
}

static void doubles(void)
{
	const struct oid a = { { 9 } }, b = { { 1 } }, c = { { 9 } };
	const struct oid *hash[] = { &b, &a, NULL, &c, NULL, &a };
	size_t first[6], want[] = { 0, 1, 2, 1, 4, 1 };

	photos_doubles(first, hash, 6);
	for (int i = 0; i < 6; i++)
		CHECK_INT(first[i], want[i]);
}

static void odd_names_are_one_line(void)
{
	struct photos p;
	struct err e = { "" };

	root = test_folder("folder-odd");
	put("set/a\tb\nc\xff.png", "");
	CHECK_OK(scan(&p, "set", NULL, &e), e);
	CHECK_STR(p.at[0].item, "a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd.png");
	photos_release(&p);
}

int main(void)
{
	program_name = "folder";
	TEST(repeats_of_names);
	TEST(captions_of_files);
	TEST(caption_files_that_are_wrong);
	TEST(a_plain_folder);
	TEST(kohyas_layout);
	TEST(masks_elsewhere);
	TEST(concepts);
	TEST(nothing_there);
	TEST(doubles);
	TEST(odd_names_are_one_line);
	return test_end();
}
