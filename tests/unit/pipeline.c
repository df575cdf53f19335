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

int main(void)
{
	TEST(suffixes);
	TEST(parameters);
	TEST(lora_file);
	return test_end();
}
