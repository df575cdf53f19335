#include "common/base/file.h"
#include "common/data/pickle.h"
#include "stages/shared/convert.h"
#include "tests/test.h"

static struct tensor row(const float *v, int64_t n)
{
	return (struct tensor){ .type = DT_F32, .rank = 1, .side = { n }, .at = v };
}

static int fits(float v, enum dtype type, struct err *e)
{
	float at[5000] = { 0 };
	struct tensor t = row(at, 5000);

	at[4999] = v;
	return values_fit("w", &t, type, e);
}

static void limits_of_types(void)
{
	struct err e = { "" };

	CHECK(fits(65504, DT_F16, &e) == 0 && fits(-65519.9f, DT_F16, &e) == 0);
	CHECK(fits(65520, DT_F16, &e) < 0);
	CHECK_STR(e.text, "weight 'w' does not fit into f16: element 4999 is 65520, the largest number is 65504; use --dtype bf16 or f32");
	CHECK(fits(1e38f, DT_BF16, &e) == 0 && fits(0x1.fefffep127f, DT_BF16, &e) == 0);
	CHECK(fits(0x1.ffp127f, DT_BF16, &e) < 0 && strstr(e.text, "use --dtype f32"));
	CHECK(fits(0x1.fffffep127f, DT_F32, &e) == 0);
	CHECK(fits(NAN, DT_F32, &e) < 0 && strstr(e.text, "not finite"));
	CHECK(fits(-INFINITY, DT_F16, &e) < 0 && strstr(e.text, "not finite"));
}

/* The limits are those of the conversion. */
static void limits_are_exact(void)
{
	CHECK(isfinite(f16_to_f32(f16_of_f32(65519.99f))) && isinf(f16_to_f32(f16_of_f32(65520))));
	CHECK(isfinite(bf16_to_f32(bf16_of_f32(0x1.fefffep127f))) &&
	      isinf(bf16_to_f32(bf16_of_f32(0x1.ffp127f))));
}

static void compares_every_bit(void)
{
	const float v[3] = { 1, -0.f, 1e-3f };
	uint16_t half[3];
	struct tensor want = row(v, 3), got = row(v, 3);
	struct err e = { "" };

	row_from_f32(half, DT_F16, v, 3);
	got.type = DT_F16;
	got.at = half;
	CHECK_OK(values_same("w", &want, &got, DT_F16, &e), e);
	CHECK(values_same("w", &want, &got, DT_F32, &e) < 0);
	half[1] = 0;    /* 0 for -0 */
	CHECK(values_same("w", &want, &got, DT_F16, &e) < 0 && strstr(e.text, "other values"));
	half[1] = 0x8000;
	got.rank = 2;
	got.side[1] = 1;
	CHECK(values_same("w", &want, &got, DT_F16, &e) < 0 && strstr(e.text, "read back, weight 'w' is F16 3x1, not F16 3"));
}

static void widest_type(void)
{
	CHECK_INT(values_widest(DT_NONE, DT_F16), DT_F16);
	CHECK_INT(values_widest(DT_F16, DT_F16), DT_F16);
	CHECK_INT(values_widest(DT_F16, DT_BF16), DT_F32);
	CHECK_INT(values_widest(DT_BF16, DT_F32), DT_F32);
	CHECK_INT(values_widest(DT_NONE, DT_F64), DT_F32);
}

static void data_hash(const char *name, const char *data, size_t len, const char *want)
{
	char *path = path_join(test_folder("convert"), name), hex[65] = "";
	unsigned char file[512] = { 2 };
	struct err e = { "" };

	memcpy(file + 8, "{}", 2);
	memcpy(file + 10, data, len);
	CHECK_OK(file_replace(path, file, 10 + len, &e), e);
	CHECK_OK(meta_data_hash(path, hex, &e), e);
	CHECK_STR(hex, want);
	free(path);
}

/* FIPS 180-4's own vectors, and the lengths around the padding's edge (sha256sum). */
static void hashes(void)
{
	char a[120];

	memset(a, 'a', sizeof a);
	data_hash("0", "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	data_hash("3", "abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	data_hash("56", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	data_hash("55", a, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	data_hash("64", a, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	data_hash("119", a, 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}

static void header_longer_than_file(void)
{
	char *path = path_join(test_folder("convert"), "short"), hex[65];
	struct err e = { "" };

	CHECK_OK(file_replace(path, "\xff\xff\0\0\0\0\0\0{}", 10, &e), e);
	CHECK(meta_data_hash(path, hex, &e) < 0);
	CHECK_OK(file_replace(path, "abc", 3, &e), e);
	CHECK(meta_data_hash(path, hex, &e) < 0);
	free(path);
}

/* The length of the header, 640, reads as the start of a pickle: 80 02. */
static void header_like_a_pickle(void)
{
	char *path = path_join(test_folder("convert"), "like"), file[700] = "\x80\x02";
	struct safetensors s = { 0 };
	struct err e = { "" };

	memset(file + 8, ' ', 640);
	memcpy(file + 8, "{}", 2);
	CHECK_OK(file_replace(path, file, 8 + 640, &e), e);
	CHECK_INT(pickle_is(path), 0);
	CHECK_OK(safetensors_open(&s, path, &e), e);
	safetensors_close(&s);
	CHECK_OK(file_replace(path, "\x80\x02}q.", 5, &e), e);
	CHECK_INT(pickle_is(path), 1);
	free(path);
}

static void first_value_stays(void)
{
	struct meta m = { 0 };

	meta_add(&m, "a", "1");
	meta_add(&m, "b", "2");
	meta_add(&m, "a", "3");
	CHECK_INT((long long)m.n, 2);
	CHECK_STR(m.at[1], "1");
	meta_release(&m);
	meta_release(&m);
}

static void kohya_numbers(void)
{
	struct lora_module at[2] = {
		{ .module = "unet.x.attn2.to_k", .a = { .rank = 2, .side = { 8, 1024 } }, .rank = 8, .alpha = 4 },
		{ .module = "unet.y.conv1", .a = { .rank = 4, .side = { 2, 64, 3, 3 } }, .rank = 2,
		  .alpha = .5f },
	};
	struct meta m = { 0 };

	meta_kohya(&m, NULL, at, 2, "");
	CHECK_STR(m.at[3], "8");
	CHECK_STR(m.at[5], "4.0");
	CHECK_STR(m.at[7], "{\"conv_dim\": \"2\", \"conv_alpha\": \"0.5\"}");
	CHECK_STR(m.at[9], "sd_v2");
	meta_release(&m);
	at[1] = at[0];
	at[1].rank = 4;
	meta_kohya(&m, NULL, at, 2, "stage train 1\nstage\nparam lr 0.001\n");
	CHECK_STR(m.at[3], "Dynamic");
	CHECK_STR(m.at[7], "None");
	CHECK_STR(m.at[13], "0.001");
	meta_release(&m);
}

int main(void)
{
	TEST(limits_of_types);
	TEST(limits_are_exact);
	TEST(compares_every_bit);
	TEST(widest_type);
	TEST(hashes);
	TEST(header_longer_than_file);
	TEST(header_like_a_pickle);
	TEST(first_value_stays);
	TEST(kohya_numbers);
	return test_end();
}
