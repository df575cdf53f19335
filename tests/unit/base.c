#include "tests/test.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/opt.h"
#include "common/base/talk.h"
#include "common/base/oid.h"
#include "common/base/text.h"

/* ---- text ---- */

static void numbers_are_read_strictly(void)
{
	static const char *const bad[] = { "", " 1", "1 ", "0x10", "1e", "nan", "inf", "--1", "+1", "1_0", "9223372036854775808" };
	int64_t i = 7;
	double f = 7;

	for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
		CHECK(text_int(bad[n], &i) < 0);
		CHECK(!strcmp(bad[n], "9223372036854775808") || text_float(bad[n], &f) < 0);
	}
	CHECK(i == 7 && f == 7);
	CHECK(text_int("-9223372036854775808", &i) == 0 && i == INT64_MIN);
	CHECK(text_float("1e-4", &f) == 0 && f == 0.0001);
	CHECK(text_float("1e999", &f) < 0);
	CHECK(text_size("1.5G", &i) == 0 && i == 1610612736);
	CHECK(text_size("512M", &i) == 0 && i == 512 << 20);
	CHECK(text_size("8GiB", &i) == 0 && i == 8LL << 30);
	CHECK(text_size("100", &i) == 0 && i == 100);
	CHECK(text_size("-1G", &i) < 0 && text_size("1X", &i) < 0 && text_size("G", &i) < 0 &&
	      text_size("", &i) < 0);
}

static void numbers_are_printed(void)
{
	static const long long v[] = { 0, 7, -7, 10, -1234567890123, INT64_MAX, INT64_MIN };
	struct buf a = { 0 }, b = { 0 };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		buf_addi(&a, v[i]);
		buf_addf(&b, "%lld", v[i]);
		CHECK_STR(buf_str(&a), buf_str(&b));
	}
	for (int i = 0; i < 300; i++)           /* at every distance from the end of the room */
		buf_addf(&a, "%d,", i);
	CHECK(ends_with(buf_str(&a), ",298,299,") && strlen(a.at) == a.len);
	buf_release(&a);
	buf_release(&b);
}

/* At one go and in pieces: the same hash at every size around the limit between the two ways. */
static void hashes_do_not_depend_on_pieces(void)
{
	char bytes[3000];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		struct oid_state *s = oid_start(KIND_TEXT);
		struct oid a, b;

		oid_add(s, bytes, n / 3);
		oid_add(s, bytes + n / 3, n - n / 3);
		oid_end(s, &a);
		oid_of(&b, KIND_TEXT, bytes, n);
		CHECK(oid_equal(&a, &b));
	}
}

static void utf8_is_checked(void)
{
	static const struct { const char *s; size_t valid; } cases[] = {
		{ "abc", 3 }, { "a\xc3\xa9", 3 }, { "\xe2\x82\xac", 3 }, { "\xf0\x9f\x90\xb6", 4 },
		{ "a\xc3", 1 }, { "\xc0\x80", 0 }, { "\xed\xa0\x80", 0 }, { "\xf4\x90\x80\x80", 0 }, { "ab\xff", 2 },
		{ "\xe0\x80\xaf", 0 },
	};
	uint32_t code;
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		CHECK_INT(utf8_valid(cases[i].s, strlen(cases[i].s)), cases[i].valid);
	for (uint32_t c = 1; c < 0x110000; c += c < 0x900 ? 1 : 997) {
		if (c >= 0xd800 && c < 0xe000)
			continue;
		buf_clear(&b);
		utf8_put(&b, c);
		CHECK(utf8_next(b.at, b.len, &code) == (int)b.len && code == c);
	}
	CHECK(utf8_next("\xff", 1, &code) == 1 && code == 0xfffd);
	buf_release(&b);
}

static const char *bytes_text(int64_t n)
{
	static struct buf b;

	buf_clear(&b);
	text_bytes(&b, n);
	return buf_str(&b);
}

static const char *seconds_text(double s)
{
	static struct buf b;

	buf_clear(&b);
	text_seconds(&b, s);
	return buf_str(&b);
}

static void sizes_and_times_for_people(void)
{
	CHECK_STR(bytes_text(840), "840 bytes");
	CHECK_STR(bytes_text(12300000), "12.3 MB");
	CHECK_STR(bytes_text(1500000000), "1.5 GB");
	CHECK_STR(bytes_text(999999), "1.0 MB");
	CHECK_STR(seconds_text(12.34), "12.3 s");
	CHECK_STR(seconds_text(59.99), "1 min 00 s");
	CHECK_STR(seconds_text(250), "4 min 10 s");
	CHECK_STR(seconds_text(3 * 3600 + 125), "3 h 02 min");
	CHECK_INT(text_distance("resolution", "resoluton"), 1);
	CHECK_INT(text_distance("", "abc"), 3);
	CHECK_INT(text_distance("kitten", "sitting"), 3);
}

/* ---- options ---- */

struct values {
	int flip, quiet;
	int64_t step, memory;
	double rate;
	const char *text, *mode, *ref;
	struct opt_list list, more;
};

#define ROWS(v) { \
	{ "flip", OPT_FLAG, &(v)->flip, "", .help = "mirror" }, \
	{ "step", OPT_INT, &(v)->step, "pixels", "sides", .min = 1, .max = 4096 }, \
	{ "memory", OPT_SIZE, &(v)->memory, "bytes", "budget", .quiet = 1 }, \
	{ "rate", OPT_FLOAT, &(v)->rate, "", .help = "learning rate" }, \
	{ "text", OPT_TEXT, &(v)->text, "", .help = "caption" }, \
	{ "mode", OPT_CHOICE, &(v)->mode, "", "how", .choices = "center random all" }, \
	{ "ref", OPT_REF, &(v)->ref, "", .help = "another table" }, \
	{ "list", OPT_LIST, &(v)->list, "", .help = "several" }, \
	{ "more", OPT_LIST, &(v)->more, "", .help = "several more" }, \
	{ 0 } }

static int parse(struct values *v, const char *line, int *words, char *argv[32], struct err *e)
{
	static char copy[512];
	const struct opt rows[] = ROWS(v);
	int argc = 1;
	char *p = copy;

	snprintf(copy, sizeof copy, "%s", line);
	argv[0] = copy + sizeof copy - 1;
	for (char *w; (w = strsep(&p, " ")); )
		argv[argc++] = w;
	argv[argc] = NULL;
	return opt_parse(rows, argc, argv, words, e);
}

static void options_are_parsed(void)
{
	struct values v = { .step = 64, .flip = 1 };
	struct err e;
	char *argv[32];
	int words;

	CHECK_OK(parse(&v, "one --step 8 --list a --more=x two --no-flip --list b --rate=1e-4 --memory 2G --mode all -- --three",
		       &words, argv, &e), e);
	CHECK_INT(words, 3);
	CHECK_STR(argv[1], "one");
	CHECK_STR(argv[2], "two");
	CHECK_STR(argv[3], "--three");
	CHECK(v.step == 8 && !v.flip && v.rate == 1e-4 && v.memory == 2LL << 30);
	CHECK_STR(v.mode, "all");
	CHECK_INT(v.list.n, 2);
	CHECK_STR(v.list.at[0], "a");
	CHECK_STR(v.list.at[1], "b");
	CHECK_INT(v.more.n, 1);
	CHECK_STR(v.more.at[0], "x");
}

static void wrong_options_are_told(void)
{
	static const struct { const char *line, *want; } cases[] = {
		{ "--stepp 3", "there is no option '--stepp', did you mean '--step'" },
		{ "--step", "option '--step' needs a value" },
		{ "--step 0", "option '--step' is '0', 1 to 4096 is wanted" },
		{ "--step 3.5", "option '--step' is '3.5', a whole number is wanted" },
		{ "--rate nan", "option '--rate' is 'nan', a number is wanted" },
		{ "--mode some", "option '--mode' is 'some', one of these is wanted: center random all" },
		{ "--flip=1", "option '--flip' takes no value, '1' was given" },
		{ "--no-step", "there is no option '--no-step', did you mean '--step'" },
		{ "-x", "there is no option '-x'; options begin with two dashes" },
		{ "--text a\nb", "option '--text' holds a line end, one line of text is wanted" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct values v = { .step = 64 };
		struct err e = { "" };
		char *argv[32];
		int words;

		CHECK(parse(&v, cases[i].line, &words, argv, &e) < 0);
		CHECK_STR(e.text, cases[i].want);
		CHECK(v.step == 64);
	}
}

static void values_are_canonical(void)
{
	struct values v = { .step = 64 };
	const struct opt rows[] = ROWS(&v);
	struct err e;
	struct buf b = { 0 };
	char *argv[32];
	int words;

	CHECK_OK(parse(&v, "--rate 0.0001 --text a\\b --list x --list y\\z", &words, argv, &e), e);
	for (const struct opt *r = rows; r->name; r++) {
		size_t before = b.len;

		buf_addf(&b, "%s=", r->name);
		if (opt_value(r, &b) < 0)
			b.len = before;
		else
			buf_addc(&b, ';');
	}
	b.at[b.len] = 0;
	CHECK_STR(b.at, "flip=0;step=64;memory=0;rate=0.0001;text=a\\\\b;list=x\ty\\\\z;");
	buf_release(&b);
}

/* An option that came later leaves the keys of before alone while it is 0. */
static void an_added_option_enters_when_used(void)
{
	int64_t tile = 0;
	double rate = 0;
	const struct opt rows[] = {
		{ "tile", OPT_INT, &tile, "", "tile", .added = 1 },
		{ "rate", OPT_FLOAT, &rate, "", "rate", .added = 1 }, { 0 }
	};
	struct buf b = { 0 };

	CHECK_INT(opt_value(&rows[0], &b), -1);
	CHECK_INT(opt_value(&rows[1], &b), -1);
	CHECK_INT((int)b.len, 0);
	tile = 512;
	rate = .5;
	CHECK_INT(opt_value(&rows[0], &b), 0);
	CHECK_INT(opt_value(&rows[1], &b), 0);
	CHECK_STR(buf_str(&b), "5120.5");
	buf_release(&b);
}

static void help_tells_defaults_and_limits(void)
{
	struct values v = { .step = 64, .memory = 8LL << 30, .flip = 1 };
	const struct opt rows[] = ROWS(&v);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	opt_help(rows, f);
	fclose(f);
	CHECK(strstr(text, "--step N") && strstr(text, "pixels; 1 to 4096; default 64"));
	CHECK(strstr(text, "default 8G") && strstr(text, "--no-flip"));
	CHECK(strstr(text, "one of center random all"));
	free(text);
}

/* ---- files ---- */

static void files_are_replaced_in_one_step(void)
{
	const char *folder = test_folder("base");
	char *path = path_join(folder, "a/b/x.txt"), *parent = path_join(folder, "a/b");
	struct buf b = { 0 };
	struct err e;
	struct file_new *f;
	struct names list;

	CHECK(file_replace(path, "one", 3, &e) < 0);
	CHECK_OK(make_folder(parent, &e), e);
	CHECK_OK(make_folder(parent, &e), e);
	CHECK_OK(file_replace(path, "one", 3, &e), e);
	CHECK_OK(file_begin(&f, path, &e), e);
	CHECK_OK(file_write(f, "other", 5, &e), e);
	CHECK_INT(file_tell(f), 5);
	CHECK_OK(file_read(&b, path, 100, &e), e);
	CHECK_STR(buf_str(&b), "one");
	file_abort(f);
	CHECK_OK(folder_list(&list, parent, &e), e);
	CHECK_INT(list.n, 1);
	names_release(&list);
	CHECK_OK(file_begin(&f, path, &e), e);
	CHECK_OK(file_write(f, "two", 3, &e), e);
	CHECK_OK(file_commit(f, &e), e);
	CHECK_OK(file_read(&b, path, 100, &e), e);
	CHECK_STR(buf_str(&b), "onetwo");
	CHECK(file_read(&b, path, 2, &e) < 0);
	CHECK(file_read(&b, parent, 2, &e) < 0 && strstr(e.text, "is a folder"));
	CHECK(make_folder(path, &e) < 0);
	buf_release(&b);
	free(path);
	free(parent);
}

static void a_full_disk_leaves_the_old_file(void)
{
	const char *folder = test_folder("base-full");
	char *path = path_join(folder, "x"), big[65536] = { 0 };
	struct rlimit old, small = { 20000, 20000 };
	struct err e = { "" };
	struct buf b = { 0 };
	struct names list;

	CHECK_OK(file_replace(path, "old", 3, &e), e);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(file_replace(path, big, sizeof big, &e) < 0);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK(strstr(e.text, "cannot write '") && strstr(e.text, "File too large"));
	CHECK_OK(file_read(&b, path, 100, &e), e);
	CHECK_STR(buf_str(&b), "old");
	CHECK_OK(folder_list(&list, folder, &e), e);
	CHECK_INT(list.n, 1);
	names_release(&list);
	buf_release(&b);
	free(path);
}

/* kB of files' pages that count as this process' memory. */
static long file_pages(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = -1;

	while (f && fgets(line, sizeof line, f) && sscanf(line, "RssFile: %ld", &kb) != 1)
		continue;
	if (f)
		fclose(f);
	return kb;
}

static void what_was_read_of_a_map_is_let_go(void)
{
	size_t n = (size_t)16 << 20;
	char *path = path_join(test_folder("base-trim"), "x"), *bytes = malloc(n);
	struct map m;
	struct err e;
	long before;
	int sum = 0;

	memset(bytes, 3, n);
	CHECK_OK(file_replace(path, bytes, n, &e), e);
	CHECK_OK(map_open(&m, path, &e), e);
	before = file_pages();
	for (size_t i = 0; i < n; i += 4096)
		sum += m.at[i];
	CHECK(file_pages() - before > 15 << 10);
	map_trim(&m);
	CHECK(file_pages() - before < 1 << 10);
	CHECK(sum == 3 << 12 && !memcmp(m.at, bytes, n));
	map_close(&m);
	map_trim(&m);
	free(bytes);
	free(path);
}

static void files_are_mapped(void)
{
	const char *folder = test_folder("base-map");
	char *path = path_join(folder, "x");
	struct map m;
	struct err e;

	CHECK_OK(file_replace(path, "", 0, &e), e);
	CHECK_OK(map_open(&m, path, &e), e);
	CHECK(!m.at && !m.len);
	map_close(&m);
	CHECK_OK(file_replace(path, "hello", 5, &e), e);
	CHECK_OK(map_open(&m, path, &e), e);
	CHECK(m.len == 5 && !memcmp(m.at, "hello", 5));
	map_close(&m);
	map_close(&m);
	CHECK(map_open(&m, "no/such", &e) < 0 && strstr(e.text, "cannot open 'no/such'"));
	CHECK_STR(path_base("a/b/c"), "c");
	CHECK_STR(path_base("c"), "c");
	free(path);
}

static void stopping_sets_a_flag(void)
{
	stop_catch();
	CHECK(!stop_wanted());
	raise(SIGTERM);
	CHECK(stop_wanted());
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
}

int main(void)
{
	TEST(numbers_are_read_strictly);
	TEST(numbers_are_printed);
	TEST(hashes_do_not_depend_on_pieces);
	TEST(utf8_is_checked);
	TEST(sizes_and_times_for_people);
	TEST(options_are_parsed);
	TEST(wrong_options_are_told);
	TEST(values_are_canonical);
	TEST(an_added_option_enters_when_used);
	TEST(help_tells_defaults_and_limits);
	TEST(files_are_replaced_in_one_step);
	TEST(a_full_disk_leaves_the_old_file);
	TEST(files_are_mapped);
	TEST(what_was_read_of_a_map_is_let_go);
	TEST(stopping_sets_a_flag);
	return test_end();
}
