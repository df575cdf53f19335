/* Prompts with suffixes, parameters, and LoRA files as weights. */
#include "tests/test.h"
#include "common/base/file.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/parameters.h"
#include "stages/shared/prompts.h"

static const struct prompt usual = { .steps = 30, .scale = 7.5, .seed = 5 };

static void suffixes(void)
{
	struct prompts p = { 0 };
	struct err e;

	CHECK_OK(prompts_add(&p, " a dog --n bad, ugly --w 640 --h 512 --d 9 --l 3.5 --s 12 --ss Euler_a", &usual, &e), e);
	CHECK_OK(prompts_add(&p, "a well-known -- no", &usual, &e) == -1 ? 0 : -1, e);
	CHECK_STR(p.at[0].text, "a dog");
	CHECK_STR(p.at[0].negative, "bad, ugly");
	CHECK_STR(p.at[0].sampler, "euler a");
	CHECK_INT(p.at[0].width, 640);
	CHECK_INT(p.at[0].seed, 9);
	CHECK_INT(p.at[0].steps, 12);
	CHECK_NEAR(p.at[0].scale, 3.5, 0);
	CHECK_INT(prompts_add(&p, "x --w 1.5", &usual, &e), -1);
	CHECK_INT(prompts_add(&p, "x --ss nobody", &usual, &e), -1);
	CHECK_OK(prompts_add(&p, "a dog--w 3", &usual, &e), e);
	CHECK_STR(p.at[p.n - 1].text, "a dog--w 3");
	prompts_release(&p);
}

static void parameters(void)
{
	struct sample_options o = { .prompt = "p", .negative = "", .steps = 4, .scale = 7,
				    .width = 64, .height = 32, .clip_skip = 2 };
	struct sampler_config c = { .kind = SAMPLER_DPM_MULTI, .order = 2, .sde = 1,
				    .spread = SIGMAS_KARRAS };
	struct oid model = { { 0xab, 0xcd } };
	struct buf b = { 0 };
	char title[64];

	sampler_title(title, &c);
	parameters_text(&b, &(struct parameters){ &o, title, 42, &model, NULL, 0 });
	CHECK_STR(buf_str(&b), "p\nSteps: 4, Sampler: DPM++ 2M SDE Karras, CFG scale: 7, Seed: 42, Size: 64x32, "
			       "Model hash: abcd000000, Clip skip: 2");
	buf_release(&b);
}

/* W' = W + multiplier alpha / rank B A */
static void lora_file(void)
{
	static float a[] = { 1, 2, 3 }, b[] = { 4, 5 }, w[] = { 0, 0, 0, 10, 10, 10 };
	struct lora_module m = { (char *)"unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", { 0 }, { 0 }, 1, .5f };
	struct weights all = { 0 };
	struct tensor t = { .type = DT_F32, .rank = 2, .side = { 2, 3 }, .at = w };
	char path[300];
	struct err e;

	m.a = (struct tensor){ .type = DT_F32, .rank = 2, .side = { 1, 3 }, .at = a };
	m.b = (struct tensor){ .type = DT_F32, .rank = 2, .side = { 2, 1 }, .at = b };
	snprintf(path, sizeof path, "%s/lora.safetensors", test_folder("pipeline"));
	CHECK_OK(lora_write(path, LORA_KOHYA, &m, 1, DT_F32, NULL, 0, &e), e);
	CHECK_OK(weights_add_lora_file(&all, path, 2, &e), e);
	CHECK_INT(all.n_lora, 1);
	if (!all.n_lora)
		return;
	CHECK_OK(tensor_to_f32(&t, &e), e);
	if (!t.own) {
		void *own;

		CHECK_OK(tensor_new(&t, DT_F32, 2, (int64_t[]){ 2, 3 }, &own, &e), e);
		memcpy(own, w, sizeof w);
	}
	CHECK_OK(lora_merge(&t, lora_set_find(&all.lora[0], m.module), all.lora[0].multiplier, &e),
		 e);
	CHECK_NEAR(((const float *)t.at)[2], 12, 1e-6);
	CHECK_NEAR(((const float *)t.at)[5], 25, 1e-6);
	CHECK_INT(weights_check_loras(&all, &e), -1);
	tensor_release(&t);
	weights_release(&all);
}

/* ---- tiles ---- */

static void paint(struct image *im, int w, int h)
{
	struct err e;

	CHECK_OK(image_new(im, w, h, 3, &e), e);
	for (int i = 0; i < w * h * 3; i++)
		im->at[i] = (uint8_t)((i / 3 % w * 5 + i / 3 / w * 3 + i % 3 * 40) % 251);
}

static void encode(struct pipeline *p, const struct image *from, int x, int y, int w, int h,
		   int64_t tile, struct tensor *t)
{
	struct image im = { 0 };
	struct err e;

	CHECK_OK(image_new(&im, from->w, from->h, 3, &e), e);
	memcpy(im.at, from->at, (size_t)from->w * (size_t)from->h * 3);
	CHECK_OK(image_crop(&im, x, y, w, h, &e), e);
	CHECK_OK(pipeline_encode(p, &im, tile, t, &e), e);
	image_release(&im);
}

/* value of channel 0 at (x, y) of moments that are w wide */
static float at(const struct tensor *t, int w, int x, int y)
{
	return ((const float *)t->at)[y * w + x];
}

/*
 * 96 x 80 pixels in tiles of 64: 24 x 20 latent pixels, tiles of 16 at 0 and 12, blends of 4 in
 * x and in y. Each case is worked out from the tiles' own moments; the tile above has been blended
 * with its left neighbour before the one below blends with it.
 */
static void tiles_are_blended(void)
{
	struct pipeline p = { 0 };
	struct image im = { 0 };
	struct tensor all = { 0 }, a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	struct err e;
	float left, right;

	CHECK_OK(pipeline_open(&p, &(struct pipeline_options){ .model = "examples/base", .threads = 1 }, &e), e);
	paint(&im, 96, 80);
	encode(&p, &im, 0, 0, 96, 80, 64, &all);
	encode(&p, &im, 0, 0, 64, 64, 0, &a);
	encode(&p, &im, 48, 0, 48, 64, 64, &b);
	encode(&p, &im, 0, 48, 64, 32, 64, &c);
	encode(&p, &im, 48, 48, 48, 32, 64, &d);
	CHECK_NEAR(at(&all, 24, 3, 5), at(&a, 16, 3, 5), 0);
	CHECK_NEAR(at(&all, 24, 12, 5), at(&a, 16, 12, 5), 0);
	CHECK_NEAR(at(&all, 24, 14, 5), (at(&a, 16, 14, 5) + at(&b, 12, 2, 5)) / 2, 1e-5);
	CHECK_NEAR(at(&all, 24, 20, 5), at(&b, 12, 8, 5), 0);
	CHECK_NEAR(at(&all, 24, 2, 13), at(&a, 16, 2, 13) * .75 + at(&c, 16, 2, 1) * .25, 1e-5);
	left = at(&a, 16, 13, 15) * .25f + at(&c, 16, 13, 3) * .75f;
	right = (at(&a, 16, 13, 15) * .75f + at(&b, 12, 1, 15) * .25f) * .25f + at(&d, 12, 1, 3) * .75f;
	CHECK_NEAR(at(&all, 24, 13, 15), left * .75 + right * .25, 1e-5);
	CHECK_NEAR(at(&all, 24, 23, 19), at(&d, 12, 11, 7), 0);
	CHECK_INT(pipeline_encode(&p, &im, 24, &all, &e), -1);
	CHECK_STR(e.text, "tiles of 24 pixels; a multiple of 16 is wanted");
	tensor_release(&all), tensor_release(&a), tensor_release(&b), tensor_release(&c), tensor_release(&d);
	image_release(&im);
	pipeline_close(&p);
}

/* ---- precision ---- */

/* The type that a network holds its matrices and filters in; NONE if they differ. */
static enum dtype held_in(const struct network *net)
{
	enum dtype t = DT_NONE;

	for (size_t i = 0; i < net->pool.n; i++) {
		const struct pool_entry *w = &net->pool.entry[i];

		if (w->dim[0] == 1 && w->dim[1] == 1 && w->dim[2] == 1)
			continue;
		if (t != DT_NONE && t != w->type)
			return DT_NONE;
		t = w->type;
	}
	return t;
}

/* Drawing takes all three networks; each is to be in the precision that was asked for. */
static void every_network_is_narrow(void)
{
	struct sample_options o = { .prompt = "a dog", .negative = "", .steps = 1, .scale = 5, .width = 64,
				    .height = 64, .clip_skip = 1, .max_tokens = 75 };
	struct pipeline p = { 0 };
	struct image im = { 0 };
	float latent[4 * 16 * 16];
	struct err e;

	CHECK_OK(pipeline_open(&p, &(struct pipeline_options){ .model = "examples/base", .threads = 1,
							       .device = "cpu", .precision = "bf16" }, &e), e);
	for (int i = 0; i < 4 * 16 * 16; i++)
		latent[i] = (float)(i % 7 - 3) / 2;
	CHECK_OK(pipeline_sample_from(&p, &o, 1, latent, NULL, NULL, NULL, &e), e);
	CHECK_OK(pipeline_decode(&p, latent, 16, 16, &im, &e), e);
	CHECK_INT(held_in(&p.net_text), DT_BF16);
	CHECK_INT(held_in(&p.net_unet), DT_BF16);
	CHECK_INT(held_in(&p.net_decode), DT_BF16);
	image_release(&im);
	pipeline_close(&p);
}

int main(void)
{
	TEST(tiles_are_blended);
	TEST(suffixes);
	TEST(parameters);
	TEST(lora_file);
	TEST(every_network_is_narrow);
	return test_end();
}
