#include "tests/test.h"

#include "common/base/text.h"
#include "common/data/table.h"
#include "kernels/model/names.h"

static const struct name_layout sd = { .levels = 4, .layers = 2, .attention = 7 };

/* A table of golden/keys; its rows are counted by the caller, so that an empty one is seen. */
static int open_keys(struct table *t, const char *file)
{
	const char *root = test_shared();
	char path[300];
	struct buf b = { 0 };
	struct err e;
	int ret;

	memset(t, 0, sizeof *t);
	if (!root)
		return 0;
	snprintf(path, sizeof path, "%s/golden/keys/%s", root, file);
	ret = file_read(&b, path, 1 << 24, &e) || table_parse(t, buf_str(&b), b.len, file, &e);
	if (ret)
		printf("# %s\n", e.text);
	buf_release(&b);
	return !ret;
}

static const char *cell(const struct table *t, size_t row, const char *column)
{
	return table_get(t, row, table_column(t, column));
}

static void check_row(enum name_family f, const char *canonical, const char *original)
{
	struct buf b = { 0 };

	if (strcmp(canonical, "-")) {
		CHECK(name_to_original(&b, f, &sd, canonical));
		CHECK_STR(buf_str(&b), original);
		buf_clear(&b);
		CHECK(name_from_original(&b, f, &sd, original,
					 name_is_fused(original) ? name_third(canonical) : 0));
		CHECK_STR(buf_str(&b), canonical);
	}
	buf_release(&b);
}

static void keys(const char *file, enum name_family f, size_t rows)
{
	struct table t;

	if (!open_keys(&t, file))
		SKIP("no recorded names");
	CHECK_INT(t.rows, rows);
	for (size_t i = 0; i < t.rows; i++)
		check_row(f, cell(&t, i, "diffusers"), cell(&t, i, "original"));
	table_release(&t);
}

static void unet_of_sd1(void) { keys("unet-sd15.tsv", NAME_UNET, 686); }
static void unet_of_sd2(void) { keys("unet-sd21.tsv", NAME_UNET, 686); }
static void autoencoder(void) { keys("vae.tsv", NAME_VAE, 248); }
static void text_of_sd1(void) { keys("text-sd15.tsv", NAME_TEXT, 196); }
static void text_of_sd2(void) { keys("text-sd21.tsv", NAME_OPENCLIP, 386); }

static void other_layouts(void)
{
	const struct name_layout tiny = { .levels = 3, .layers = 1, .attention = 6 };
	struct buf b = { 0 };

	CHECK(name_to_original(&b, NAME_UNET, &tiny, "up_blocks.0.upsamplers.0.conv.weight"));
	CHECK_STR(buf_str(&b), "model.diffusion_model.output_blocks.1.2.conv.weight");
	buf_clear(&b);
	CHECK(name_from_original(&b, NAME_UNET, &tiny,
				 "model.diffusion_model.input_blocks.4.0.op.bias", 0));
	CHECK_STR(buf_str(&b), "down_blocks.1.downsamplers.0.conv.bias");
	buf_clear(&b);
	CHECK(!name_to_original(&b, NAME_UNET, &tiny, "down_blocks.3.resnets.0.conv1.weight"));
	CHECK(!name_from_original(&b, NAME_UNET, &tiny,
				  "model.diffusion_model.input_blocks.7.0.op.bias", 0));
	CHECK(!name_from_original(&b, NAME_UNET, &tiny,
				  "model.diffusion_model.label_emb.0.0.weight", 0));
	CHECK(!name_from_original(&b, NAME_UNET, &tiny, "first_stage_model.quant_conv.bias", 0));
	CHECK_INT(b.len, 0);
	buf_release(&b);
}

static void old_names(void)
{
	struct buf b = { 0 };

	name_modernize(&b, "encoder.mid_block.attentions.0.proj_attn.bias");
	CHECK_STR(buf_str(&b), "encoder.mid_block.attentions.0.to_out.0.bias");
	buf_clear(&b);
	CHECK(name_from_original(&b, NAME_TEXT, &sd,
				 "cond_stage_model.transformer.encoder.layers.0.mlp.fc1.bias", 0));
	CHECK_STR(buf_str(&b), "text_model.encoder.layers.0.mlp.fc1.bias");
	buf_clear(&b);
	CHECK(name_of_ema(&b, "model.diffusion_model.out.0.bias"));
	CHECK_STR(buf_str(&b), "model_ema.diffusion_modelout0bias");
	buf_release(&b);
}

/* extra.tsv writes patterns: "a.* b.*" and "x.{y,z}.*"; a name is made of each. */
static void extras(void)
{
	struct table t;
	int n = 0;

	if (!open_keys(&t, "extra.tsv"))
		SKIP("no recorded names");
	for (size_t i = 0; i < t.rows; i++) {
		const char *file = cell(&t, i, "file"), *key = cell(&t, i, "key");
		char name[200];
		if (!starts_with(file, "sd1") && !starts_with(file, "sd2"))
			continue;
		snprintf(name, sizeof name, "%.*s", (int)strcspn(key, " "), key);
		if (strstr(name, "resblocks.23") || strstr(name, "transformer.embeddings"))
			continue;       /* weights under another name, or dropped by number */
		if (!name_is_extra(name))
			printf("# not tolerated: %s\n", name);
		CHECK(name_is_extra(name));
		n++;
	}
	CHECK(n > 20);
	CHECK(!name_is_extra("model.diffusion_model.out.2.bias"));
	CHECK(!name_is_extra("conditioner.embedders.1.model.logit_scale"));
	table_release(&t);
}

static void match_is(const struct lora_names *l, const char *key, const char *module,
		     enum lora_role role)
{
	struct buf b = { 0 };
	enum lora_role got = LORA_OTHER;

	if (!lora_names_match(l, key, &b, &got))
		printf("# no match: %s\n", key);
	CHECK_STR(buf_str(&b), module);
	CHECK_INT(got, role);
	buf_release(&b);
}

static void lora_kohya(void)
{
	static const char *const files[] = {
		"lora-kohya-sd15.tsv", "lora-kohya-sd21.tsv", "lora-kohya-sd21-linear.tsv",
		"lora-kohya-conv-sd15.tsv", "lora-kohya-conv-sd21.tsv",
	};
	struct lora_names l;
	struct table t;

	if (!test_shared())
		SKIP("no recorded names");
	lora_names_init(&l);
	for (int f = 0; f < 5; f++) {
		CHECK(open_keys(&t, files[f]));
		CHECK(t.rows >= 264);
		for (size_t i = 0; i < t.rows; i++) {
			const char *module = cell(&t, i, "module"), *kohya = cell(&t, i, "kohya");
			struct buf b = { 0 };
			name_lora_key(&b, LORA_KOHYA, module, LORA_B);
			CHECK(starts_with(buf_str(&b), kohya));
			CHECK_STR(buf_str(&b) + strlen(kohya), ".lora_up.weight");
			match_is(&l, buf_str(&b), module, LORA_B);
			buf_release(&b);
		}
		table_release(&t);
	}
	lora_names_release(&l);
}

static void lora_peft(void)
{
	static const char *const files[] = { "lora-peft-sd15.tsv", "lora-peft-sd21.tsv" };
	static const char *const columns[] = { "pipeline", "pipeline_now", "adapter", "peft",
					       "kohya_export" };
	struct lora_names l;
	struct table t;

	if (!test_shared())
		SKIP("no recorded names");
	lora_names_init(&l);
	for (int f = 0; f < 2; f++) {
		CHECK(open_keys(&t, files[f]));
		CHECK(t.rows >= 352);
		for (size_t i = 0; i < t.rows; i++) {
			const char *module = cell(&t, i, "module");
			enum lora_role role = *cell(&t, i, "part") == 'A' ? LORA_A : LORA_B;
			struct buf b = { 0 };
			for (int c = 0; c < 5; c++)
				if (*cell(&t, i, columns[c]))
					match_is(&l, cell(&t, i, columns[c]), module, role);
			name_lora_key(&b, LORA_DIFFUSERS, module, role);
			CHECK_STR(buf_str(&b), cell(&t, i, "pipeline"));
			CHECK(name_lora_is_attention(module));
			buf_release(&b);
		}
		table_release(&t);
	}
	lora_names_release(&l);
}

static void lora_others(void)
{
	struct lora_names l;
	struct buf b = { 0 };
	enum lora_role role;

	lora_names_init(&l);
	match_is(
		&l,
		"unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
		"unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0", LORA_B);
	match_is(
		&l,
		"down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
		"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", LORA_A);
	match_is(&l, "lora_te1_text_model_encoder_layers_3_mlp_fc1.alpha",
		 "text_encoder.text_model.encoder.layers.3.mlp.fc1", LORA_ALPHA);
	match_is(&l, "lora_unet_mid_block_attentions_0_proj_in.dora_scale",
		 "unet.mid_block.attentions.0.proj_in", LORA_OTHER);
	CHECK(!lora_names_match(&l, "lora_unet_input_blocks_4_1_proj_in.lora_up.weight", &b,
				&role));
	CHECK(!lora_names_match(&l, "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha", &b,
				&role));
	CHECK(!lora_names_match(&l, "model.diffusion_model.out.0.bias", &b, &role));
	buf_release(&b);
	lora_names_release(&l);
}

int main(void)
{
	TEST(unet_of_sd1);
	TEST(unet_of_sd2);
	TEST(autoencoder);
	TEST(text_of_sd1);
	TEST(text_of_sd2);
	TEST(other_layouts);
	TEST(old_names);
	TEST(extras);
	TEST(lora_kohya);
	TEST(lora_peft);
	TEST(lora_others);
	return test_end();
}
