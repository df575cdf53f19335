#include "tests/test.h"

#include "common/base/mem.h"
#include "kernels/run/checkpoint_lora.h"

static const char *folder;

static void fill(struct lora_module *m, const char *module, int64_t in, int64_t out, int64_t rank,
		 float alpha)
{
	struct err e;
	void *a, *b;

	memset(m, 0, sizeof *m);
	m->module = xstrdup(module);
	CHECK(tensor_new(&m->a, DT_F32, 2, (int64_t[]){ rank, in }, &a, &e) == 0);
	CHECK(tensor_new(&m->b, DT_F32, 2, (int64_t[]){ out, rank }, &b, &e) == 0);
	for (int64_t i = 0; i < rank * in; i++)
		((float *)a)[i] = (float)(i % 7) - 3;
	for (int64_t i = 0; i < rank * out; i++)
		((float *)b)[i] = (float)(i % 5) - 2;
	m->rank = rank;
	m->alpha = alpha;
}

static void lora_trip(enum lora_dialect d, const struct lora_module *m, size_t n,
		      const char *first_key)
{
	char *path = xasprintf("%s/lora-%d-%zu.safetensors", folder, (int)d, n);
	struct lora_file l;
	struct safetensors s;
	struct err e = { "" };

	CHECK_OK(lora_write(path, d, m, n, DT_F32, NULL, 0, &e), e);
	CHECK_OK(safetensors_open(&s, path, &e), e);
	CHECK(safetensors_find(&s, first_key) != NULL);
	safetensors_close(&s);
	if (lora_read(&l, path, &e) < 0) {
		printf("# %s\n", e.text);
		CHECK(0);
		free(path);
		return;
	}
	CHECK_INT(l.n, n);
	for (size_t i = 0; i < n; i++) {
		const struct lora_module *got = lora_find(&l, m[i].module);
		float scale;
		CHECK(got != NULL);
		if (!got)
			continue;
		CHECK_INT(got->rank, m[i].rank);
		scale = got->alpha / (float)got->rank;
		for (int64_t k = 0; k < tensor_count(&m[i].b); k++)
			CHECK_NEAR(scale * ((const float *)got->b.at)[k],
				   m[i].alpha / (float)m[i].rank * ((const float *)m[i].b.at)[k],
				   1e-6);
		CHECK(!memcmp(got->a.at, m[i].a.at, (size_t)tensor_bytes(&m[i].a)));
	}
	lora_close(&l);
	free(path);
}

static void lora_files(void)
{
	static const char *const q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
	static const char *const out =
		"text_encoder.text_model.encoder.layers.1.self_attn.out_proj";
	static const char *const ff =
		"unet.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj";
	struct lora_module m[3];

	fill(&m[0], q, 6, 8, 4, 1);
	fill(&m[1], out, 5, 5, 2, 2);
	fill(&m[2], ff, 6, 48, 4, 8);
	lora_trip(LORA_KOHYA, m, 3,
		  "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.alpha");
	lora_trip(LORA_DIFFUSERS, m, 2,
		  "text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_linear_layer.up.weight");
	lora_trip(LORA_DIFFUSERS, m, 3,
		  "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight");
	lora_trip(LORA_PEFT, m, 2,
		  "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight");
	for (int i = 0; i < 3; i++) {
		free(m[i].module);
		tensor_release(&m[i].a);
		tensor_release(&m[i].b);
	}
}

static void lora_bad(const char *name, const char *key, int twice, const char *want)
{
	char *path = xasprintf("%s/%s.safetensors", folder, name);
	float x[4] = { 1, 2, 3, 4 };
	struct named at[2] = {
		{ .name = (char *)(uintptr_t)key,
		  .t = { .type = DT_F32, .rank = 2, .side = { 2, 2 }, .at = x } },
		{ .name = (char *)(uintptr_t)"lora_unet_conv_in.lora_up.weight",
		  .t = { .type = DT_F32, .rank = 2, .side = { 1, 4 }, .at = x } },
	};
	struct lora_file l;
	struct err e = { "" };

	CHECK_OK(safetensors_write(path, at, twice ? 2 : 1, NULL, 0, &e), e);
	CHECK(lora_read(&l, path, &e) < 0);
	if (!strstr(e.text, want))
		printf("# %s\n", e.text);
	CHECK(strstr(e.text, want) != NULL);
	free(path);
}

static void lora_refused(void)
{
	lora_bad("xl", "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", 0, "SDXL");
	lora_bad("dora", "lora_unet_conv_in.dora_scale", 0, "not a plain LoRA");
	lora_bad("half", "lora_unet_conv_in.lora_down.weight", 0, "no up matrix");
	lora_bad("odd", "lora_unet_conv_in.lora_down.weight", 1, "do not fit");
	lora_bad("what", "lora_unet_nowhere.lora_down.weight", 0, "no module");
	lora_bad("alpha", "lora_unet_conv_in.alpha", 0, "not one number");
}

static void lora_shapes(void)
{
	struct tensor conv = { .type = DT_F32, .rank = 4, .side = { 8, 6, 1, 1 } };
	struct tensor other = { .type = DT_F32, .rank = 2, .side = { 8, 7 } };
	struct lora_module m;
	struct err e;

	fill(&m, "unet.mid_block.attentions.0.proj_in", 6, 8, 4, 1);
	CHECK(lora_fit(&m, &conv, &e) == 0);
	CHECK_INT(m.a.rank, 4);
	CHECK_INT(m.b.rank, 4);
	CHECK_INT(m.a.side[1], 6);
	CHECK_INT(m.b.side[1], 4);
	CHECK_INT(m.b.side[3], 1);
	CHECK(lora_fit(&m, &other, &e) < 0);
	free(m.module);
	tensor_release(&m.a);
	tensor_release(&m.b);
}

int main(void)
{
	folder = test_folder("checkpoint_lora");
	TEST(lora_files);
	TEST(lora_refused);
	TEST(lora_shapes);
	return test_end();
}
