#include "tests/test.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/pickle.h"

static const char *folder;

static char *path_of(const char *name)
{
	return xasprintf("%s/golden/models/%s", test_shared(), name);
}

static const struct tensor *find(const struct pickle *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->at[i].name, name))
			return &p->at[i].t;
	return NULL;
}

/* The recorded checkpoint in both formats against its safetensors twin. */
static void same_as_safetensors(void)
{
	static const char *const files[] = { "sd1-tiny-single.ckpt", "sd1-tiny-novae-legacy.ckpt" };
	struct safetensors s;
	struct err e;
	char *twin;

	if (!test_shared())
		SKIP("no recorded models");
	twin = path_of("sd1-tiny-single.safetensors");
	CHECK_OK(safetensors_open(&s, twin, &e), e);
	for (int k = 0; k < 2; k++) {
		char *path = path_of(files[k]);
		struct pickle p;
		int seen = 0, wrong = 0;
		CHECK(pickle_is(path) && !pickle_is(twin));
		CHECK_OK(pickle_open(&p, path, &e), e);
		for (size_t i = 0; i < p.n; i++) {
			const struct tensor *t = &p.at[i].t, *other;
			CHECK(!strncmp(p.at[i].name, "state_dict.", 11));
			other = safetensors_find(&s, p.at[i].name + 11);
			if (!other || other->type != t->type)
				continue;
			seen++;
			wrong += tensor_bytes(t) != tensor_bytes(other) ||
				memcmp(t->at, other->at, (size_t)tensor_bytes(t)) != 0;
		}
		CHECK(seen >= 700);
		CHECK_INT(wrong, 0);
		pickle_close(&p);
		pickle_close(&p);
		free(path);
	}
	safetensors_close(&s);
	free(twin);
}

static void other_files(void)
{
	static const struct { const char *file, *name; } list[] = {
		{ "deepdanbooru-tiny.pt", "n_Conv_0.weight" }, { "hypernetwork-kohya-tiny.pt", "32.0.linear.0.weight" },
		{ "hypernetwork-a1111-tiny.pt.optim", "optimizer_state_dict.state.0.exp_avg" },
		{ "blip-tiny-original.pth", "model.visual_encoder.cls_token" },
	};
	struct pickle p;
	struct err e;

	if (!test_shared())
		SKIP("no recorded models");
	for (int i = 0; i < 4; i++) {
		char *path = path_of(list[i].file);
		CHECK_OK(pickle_open(&p, path, &e), e);
		CHECK(find(&p, list[i].name) != NULL);
		pickle_close(&p);
		free(path);
	}
}

/* ---- files made by hand: one stored entry ARCHIVE/data.pkl, and data/0 of 12 floats ---- */

static void put(struct buf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		buf_addc(b, (char)(v >> 8 * i & 255));
}

static void zip_entry(struct buf *zip, struct buf *directory, const char *name, const void *at,
		      size_t len)
{
	size_t offset = zip->len;

	for (int central = 0; central < 2; central++) {
		struct buf *b = central ? directory : zip;
		buf_add(b, central ? "PK\1\2" : "PK\3\4", 4);
		put(b, 0, central ? 6 : 4);     /* versions, flags */
		put(b, 0, 2);                   /* stored */
		put(b, 0, 8);                   /* time, checksum */
		put(b, len, 4);
		put(b, len, 4);
		put(b, strlen(name), 2);
		put(b, 0, 2);
		if (central) {
			put(b, 0, 6);
			put(b, 0, 4);
			put(b, offset, 4);
		}
		buf_adds(b, name);
	}
	buf_add(zip, at, len);
}

static char *make_zip(const char *pkl, size_t len)
{
	static const float values[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	char *path = xasprintf("%s/made.ckpt", folder);
	struct buf zip = { 0 }, directory = { 0 };
	size_t offset;
	struct err e;

	zip_entry(&zip, &directory, "archive/data.pkl", pkl, len);
	zip_entry(&zip, &directory, "archive/data/0", values, sizeof values);
	offset = zip.len;
	buf_add(&zip, directory.at, directory.len);
	buf_add(&zip, "PK\5\6\0\0\0\0", 8);
	put(&zip, 2, 2);
	put(&zip, 2, 2);
	put(&zip, directory.len, 4);
	put(&zip, offset, 4);
	put(&zip, 0, 2);
	CHECK(file_replace(path, zip.at, zip.len, &e) == 0);
	buf_release(&zip);
	buf_release(&directory);
	return path;
}

#define STORAGE "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\014tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"

static int open_made(struct pickle *p, const char *pkl, size_t len, struct err *e)
{
	char *path = make_zip(pkl, len);
	int ret;

	e->text[0] = 0;
	ret = pickle_open(p, path, e);
	free(path);
	return ret;
}
#define OPEN(p, pkl, e) open_made(p, pkl, sizeof(pkl) - 1, e)

static void strides_and_sharing(void)
{
	/* {"a": storage[0:12] as 3x4 transposed to 4x3, "b": elements 4..7} */
	static const char pkl[] =
		"\x80\2}(X\1\0\0\0a" REBUILD "(" STORAGE "K\0K\4K\3\x86K\1K\4\x86\x89NtR"
		"X\1\0\0\0b" REBUILD "(" STORAGE "K\4K\4\x85K\1\x85\x89NtRu.";
	struct pickle p;
	struct err e;

	CHECK_OK(OPEN(&p, pkl, &e), e);
	CHECK_INT(p.n, 2);
	if (p.n == 2) {
		const float *a = p.at[0].t.at, *b = p.at[1].t.at;
		CHECK(p.at[0].t.own != NULL);
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 3; j++)
				CHECK_NEAR(a[3 * i + j], 4 * j + i, 0);
		CHECK_NEAR(b[0], 4, 0);
		CHECK_NEAR(b[3], 7, 0);
	}
	pickle_close(&p);
}

static void refused(const char *pkl, size_t len, const char *want)
{
	struct pickle p;
	struct err e;

	if (open_made(&p, pkl, len, &e) == 0) {
		CHECK(0);
		pickle_close(&p);
	}
	if (!strstr(e.text, want))
		printf("# '%s' lacks '%s'\n", e.text, want);
	CHECK(strstr(e.text, want) != NULL);
}
#define REFUSED(pkl, want) refused(pkl, sizeof(pkl) - 1, want)

static void nothing_is_called(void)
{
	char *witness = xasprintf("%s/witness", folder);
	char *command = xasprintf("touch %s", witness);
	struct buf pkl = { 0 };

	buf_adds(&pkl, "\x80\2}U\1acposix\nsystem\nU");
	buf_addc(&pkl, (char)strlen(command));
	buf_adds(&pkl, command);
	buf_adds(&pkl, "\x85Rs.");
	refused(pkl.at, pkl.len, "refuses to load 'posix.system'");
	CHECK(!is_file(witness));
	buf_release(&pkl);
	free(command);
	free(witness);
	REFUSED("\x80\2cos\nsystem\n.", "refuses to load 'os.system'");
	REFUSED("\x80\2c__builtin__\neval\n.", "refuses to load '__builtin__.eval'");
	REFUSED("\x80\4\x8c\x08" "builtins\x8c\4exec\x93.", "refuses to load 'builtins.exec'");
	REFUSED("\x80\2(csubprocess\nPopen\no.", "refuses to load 'subprocess.Popen'");
	REFUSED("\x80\2(isubprocess\nrun\n.", "refuses to load 'subprocess.run'");
	REFUSED("\x80\2ctorch.storage\n_load_from_bytes\n.", "refuses to load");
	REFUSED("\x80\2csome.where\nThing\n.", "refuses to load 'some.where.Thing'");
}

static void harmless_names_are_opaque(void)
{
	static const char pkl[] =
		"\x80\2}(cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n}"
		"X\1\0\0\0x"
		"cnumpy.core.multiarray\nscalar\n)R"
		"X\1\0\0\0t" REBUILD "(" STORAGE "K\0K\2\x85K\1\x85\x89NtRu.";
	struct pickle p;
	struct err e;

	CHECK_OK(OPEN(&p, pkl, &e), e);
	CHECK_INT(p.n, 1);
	CHECK(find(&p, "t") != NULL);
	pickle_close(&p);
}

static void damaged(void)
{
	REFUSED("", "cut off");
	REFUSED("\x80\2", "cut off");
	REFUSED("\x80\2.", "result");
	REFUSED("\x80\2R.", "empty stack");
	REFUSED("\x80\2u.", "no mark");
	REFUSED("\x80\2h\7.", "memo that was never set");
	REFUSED("\x80\2X\xff\xff\xff\xff.", "cut off");
	REFUSED("\x80\2\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut off");
	REFUSED("\x80\2}K\1a.", "no container");
	REFUSED("\x80\2}(K\1u.", "key without value");
	REFUSED("\x80\2Nr\xff\xff\xff\x7f.", "memo of millions");
	REFUSED("\x80\2\xee.", "opcode 0xee");
	REFUSED("\x80\2NQ.", "something else than a storage");
	/* beyond the storage: 13 elements; offset 12; a stride that overflows */
	REFUSED("\x80\2" REBUILD "(" STORAGE "K\0K\015\x85K\1\x85\x89NtR.", "beyond its storage");
	REFUSED("\x80\2" REBUILD "(" STORAGE "K\014K\1\x85K\1\x85\x89NtR.", "beyond its storage");
	REFUSED("\x80\2" REBUILD "(" STORAGE
		"K\0K\2\x85\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85\x89NtR.",
		"beyond its storage");
	REFUSED("\x80\2" REBUILD "(" STORAGE "K\0J\xff\xff\xff\xff\x85K\1\x85\x89NtR.",
		"valid shape");
	/* 2^30 elements out of one */
	REFUSED("\x80\2" REBUILD "(" STORAGE "K\0J\0\0\0\x40\x85K\0\x85\x89NtR.", "stretched");
	/* more than data/0 holds */
	REFUSED("\x80\2" REBUILD "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
		"0X\3\0\0\0cpuK\015tQ"
		"K\0K\1\x85K\1\x85\x89NtR.",
		"13 elements");
	REFUSED("\x80\2" REBUILD "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
		"1X\3\0\0\0cpuK\014tQ"
		"K\0K\1\x85K\1\x85\x89NtR.",
		"holds no 'data/1'");
	/* a list that holds itself */
	REFUSED("\x80\2]q\0h\0a.", "without end");
}

/* Tuples of the one before, twice: 2^27 ways down to an empty list. */
static void doubled(void)
{
	struct buf b = { 0 };

	buf_add(&b, "\x80\2]q\0" "0", 6);
	for (int i = 1; i < 28; i++)
		for (const char *op = "hh\x86q0"; *op; op++) {
			buf_addc(&b, *op);
			if (*op == 'h' || *op == 'q')
				buf_addc(&b, (char)(*op == 'h' ? i - 1 : i));
		}
	buf_add(&b, "h\x1b.", 3);
	refused(b.at, b.len, "without end");
	buf_release(&b);
}

/* Cut or changed anywhere, a file is refused or read, never read outside (the sanitizers watch). */
static void cut_and_changed(void)
{
	static const char pkl[] =
		"\x80\2}X\1\0\0\0a" REBUILD "(" STORAGE "K\0K\4K\3\x86K\1K\4\x86\x89NtRs.";
	char *path = make_zip(pkl, sizeof pkl - 1);
	struct buf whole = { 0 };
	struct pickle p;
	struct err e;

	CHECK(file_read(&whole, path, 1 << 20, &e) == 0);
	CHECK(pickle_open(&p, path, &e) == 0);
	pickle_close(&p);
	for (size_t n = 0; n < whole.len; n += 7) {
		CHECK(file_replace(path, whole.at, n, &e) == 0);
		CHECK(pickle_open(&p, path, &e) < 0);
	}
	for (size_t i = 0; i < whole.len; i++) {
		char old = whole.at[i];
		whole.at[i] = (char)(i % 3 ? old ^ (1 << i % 8) : 0xff);
		CHECK(file_replace(path, whole.at, whole.len, &e) == 0);
		if (pickle_open(&p, path, &e) == 0)
			pickle_close(&p);
		whole.at[i] = old;
	}
	buf_release(&whole);
	free(path);
}

static void legacy_cut(void)
{
	char *path = xasprintf("%s/legacy.ckpt", folder), *from;
	struct buf whole = { 0 };
	struct pickle p;
	struct err e;

	if (!test_shared()) {
		free(path);
		SKIP("no recorded models");
	}
	from = path_of("sd1-tiny-novae-legacy.ckpt");
	CHECK(file_read(&whole, from, 1 << 28, &e) == 0);
	for (size_t k = 1; k < 12; k++) {
		CHECK(file_replace(path, whole.at,
				   whole.len - (k < 4 ? k * 7 : whole.len * (k - 3) / 9), &e) == 0);
		CHECK(pickle_open(&p, path, &e) < 0);
	}
	buf_release(&whole);
	free(path);
	free(from);
}

int main(void)
{
	folder = test_folder("pickle");
	TEST(same_as_safetensors);
	TEST(other_files);
	TEST(strides_and_sharing);
	TEST(nothing_is_called);
	TEST(harmless_names_are_opaque);
	TEST(damaged);
	TEST(doubled);
	TEST(cut_and_changed);
	TEST(legacy_cut);
	return test_end();
}
