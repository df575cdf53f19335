#include "tests/test.h"

#include "common/base/mem.h"
#include "common/data/safetensors.h"

static const char *folder;

/*
 * A file of that header and that many zero bytes of data;
 * `claim` replaces the header's length if not 0.
 */
static char *make(const char *header, size_t data, uint64_t claim)
{
	char *path = xasprintf("%s/made.safetensors", folder);
	struct buf b = { 0 };
	struct err e;
	uint64_t len = claim ? claim : strlen(header);

	for (int i = 0; i < 8; i++)
		buf_addc(&b, (char)(len >> 8 * i & 255));
	buf_adds(&b, header);
	memset(buf_extend(&b, data), 0, data);
	CHECK(file_replace(path, b.at, b.len, &e) == 0);
	buf_release(&b);
	return path;
}

static void refused(const char *header, size_t data, uint64_t claim, const char *want)
{
	char *path = make(header, data, claim);
	struct safetensors s;
	struct err e = { "" };

	if (safetensors_open(&s, path, &e) == 0) {
		printf("# accepted: %s\n", header);
		CHECK(0);
		safetensors_close(&s);
	} else if (!strstr(e.text, want) || !strstr(e.text, path)) {
		printf("# %s\n", e.text);
		CHECK(0);
	}
	free(path);
}

static void hostile_files(void)
{
	refused("{}", 0, 2000000000, "header would have 2000000000 bytes");
	refused("{}", 0, UINT64_MAX, "header would have");
	refused("{}", 0, 100, "cut off");
	refused("{", 0, 0, "no safetensors file");
	refused("[]", 0, 0, "not an object");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, 0,
		"cut off");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, 0,
		"has 4 bytes");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, 0,
		"tensors end at byte 4");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, 0,
		"begins at byte 4");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
		"\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, 0, "inside another");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		"\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, 0, "no safetensors file");
	refused("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, 0,
		"type 'F31'");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, 0,
		"no valid shape");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, 0,
		"no valid shape");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
		4, 0, "no valid shape");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
		0, 0, "damaged");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, 0,
		"no valid offsets");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, 0,
		"no valid offsets");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, 0, "no valid offsets");
	refused("{\"__metadata__\":{\"a\":1}}", 0, 0, "not a text");
	refused("{\"__metadata__\":[]}", 0, 0, "not an object");
}

static void missing_and_empty(void)
{
	char *path = xasprintf("%s/empty", folder);
	struct safetensors s;
	struct err e = { "" };

	CHECK(safetensors_open(&s, path, &e) < 0);
	CHECK(file_replace(path, "", 0, &e) == 0);
	CHECK(safetensors_open(&s, path, &e) < 0);
	CHECK(strstr(e.text, "0 bytes") != NULL);
	free(path);
}

/* A header whose length is odd puts the values on odd addresses: they are copied. */
static void odd_header(void)
{
	char *path =
		make("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]} }", 8, 0);
	struct safetensors s;
	struct err e;

	CHECK_OK(safetensors_open(&s, path, &e), e);
	CHECK_INT(s.n, 1);
	CHECK((uintptr_t)s.at[0].t.at % 4 == 0);
	CHECK_NEAR(((const float *)s.at[0].t.at)[1], 0, 0);
	safetensors_close(&s);
	safetensors_close(&s);
	free(path);
}

static void round_trip(void)
{
	static const float f[6] = { 1, 2, 3, 4, 5, 6 };
	static const uint16_t h[3] = { 0x3c00, 0x4000, 0 };
	static const int64_t i[1] = { 42 };
	struct named at[] = {
		{ .name = (char *)(uintptr_t)"z.half",
		  .t = { .type = DT_F16, .rank = 1, .side = { 3 }, .at = h } },
		{ .name = (char *)(uintptr_t)"b.float",
		  .t = { .type = DT_F32, .rank = 2, .side = { 2, 3 }, .at = f } },
		{ .name = (char *)(uintptr_t)"a.float", .t = { .type = DT_F32, .rank = 0, .at = f + 1 } },
		{ .name = (char *)(uintptr_t)"c.int",
		  .t = { .type = DT_I64, .rank = 1, .side = { 1 }, .at = i } },
		{ .name = (char *)(uintptr_t)"d.none",
		  .t = { .type = DT_F32, .rank = 2, .side = { 0, 3 }, .at = f } },
	};
	char *meta[] = { (char *)(uintptr_t)"k", (char *)(uintptr_t)"\"v\"\n" };
	char *path = xasprintf("%s/round.safetensors", folder);
	struct safetensors s;
	struct buf raw = { 0 };
	struct err e;

	CHECK_OK(safetensors_write(path, at, 5, meta, 1, &e), e);
	CHECK_OK(safetensors_open(&s, path, &e), e);
	CHECK_INT(s.n, 5);
	CHECK_STR(safetensors_meta(&s, "k"), "\"v\"\n");
	CHECK(safetensors_meta(&s, "x") == NULL);
	for (int k = 0; k < 5; k++) {
		const struct tensor *t = safetensors_find(&s, at[k].name);
		CHECK(t && t->type == at[k].t.type && t->rank == at[k].t.rank);
		CHECK(t && !memcmp(t->at, at[k].t.at, (size_t)tensor_bytes(t)));
	}
	/* laid out as the format's own library does: by type, then by name */
	CHECK(safetensors_find(&s, "c.int")->at < safetensors_find(&s, "a.float")->at);
	CHECK(safetensors_find(&s, "a.float")->at < safetensors_find(&s, "b.float")->at);
	CHECK(safetensors_find(&s, "b.float")->at < safetensors_find(&s, "z.half")->at);
	CHECK(safetensors_find(&s, "nothing") == NULL);
	safetensors_close(&s);
	CHECK(file_read(&raw, path, 1 << 20, &e) == 0);
	CHECK_INT((unsigned char)raw.at[0] % 8, 0);
	buf_release(&raw);
	at[0].name = at[1].name;        /* of another type */
	CHECK(safetensors_write(path, at, 5, NULL, 0, &e) < 0);
	CHECK(strstr(e.text, "two tensors") != NULL);
	free(path);
}

/* What the format's own library wrote is written again to the same bytes. */
static void same_bytes_as_the_library(void)
{
	char *from, *to = xasprintf("%s/again.safetensors", folder);
	struct buf a = { 0 }, b = { 0 };
	struct safetensors s;
	struct err e;

	if (!test_shared()) {
		free(to);
		SKIP("no recorded models");
	}
	from = xasprintf("%s/golden/models/sd1-tiny/unet/diffusion_pytorch_model.safetensors",
			 test_shared());
	CHECK_OK(safetensors_open(&s, from, &e), e);
	CHECK_OK(safetensors_write(to, s.at, s.n, s.meta, s.n_meta, &e), e);
	CHECK(file_read(&a, from, 1 << 28, &e) == 0 && file_read(&b, to, 1 << 28, &e) == 0);
	CHECK_INT(a.len, b.len);
	CHECK(a.len == b.len && !memcmp(a.at, b.at, a.len));
	safetensors_close(&s);
	buf_release(&a);
	buf_release(&b);
	free(from);
	free(to);
}

/* Cut anywhere, a file is refused, and with bytes changed in its header never read outside. */
static void cut_and_changed(void)
{
	static const float f[8] = { 0 };
	struct named at[] = {
		{ .name = (char *)(uintptr_t)"a",
		  .t = { .type = DT_F32, .rank = 2, .side = { 2, 2 }, .at = f } },
		{ .name = (char *)(uintptr_t)"b",
		  .t = { .type = DT_F32, .rank = 1, .side = { 4 }, .at = f } },
	};
	char *path = xasprintf("%s/cut.safetensors", folder);
	struct buf whole = { 0 };
	struct safetensors s;
	struct err e;

	CHECK_OK(safetensors_write(path, at, 2, NULL, 0, &e), e);
	CHECK(file_read(&whole, path, 1 << 20, &e) == 0);
	for (size_t n = 0; n < whole.len; n += 3) {
		CHECK(file_replace(path, whole.at, n, &e) == 0);
		CHECK(safetensors_open(&s, path, &e) < 0);
	}
	for (size_t i = 0; i < whole.len - 32; i += 2) {
		char old = whole.at[i];
		whole.at[i] = (char)(old ^ (1 << i % 7));
		CHECK(file_replace(path, whole.at, whole.len, &e) == 0);
		if (safetensors_open(&s, path, &e) == 0)
			safetensors_close(&s);
		whole.at[i] = old;
	}
	buf_release(&whole);
	free(path);
}

int main(void)
{
	folder = test_folder("safetensors");
	TEST(hostile_files);
	TEST(missing_and_empty);
	TEST(odd_header);
	TEST(round_trip);
	TEST(same_bytes_as_the_library);
	TEST(cut_and_changed);
	return test_end();
}
