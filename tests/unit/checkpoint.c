#include "tests/test.h"

#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/table.h"
#include "kernels/run/checkpoint.h"
#include "kernels/model/names.h"

static const char *folder;

static char *model(const char *name)
{
	return xasprintf("%s/golden/models/%s", test_shared(), name);
}

static int open_model(struct checkpoint *c, const char *name, const struct checkpoint_options *o)
{
	char *path = model(name);
	struct err e;
	int ret = checkpoint_open(c, path, o, &e);

	if (ret < 0)
		printf("# %s\n", e.text);
	free(path);
	return ret;
}

static int same_values(const struct named *a, const struct named *b)
{
	return !strcmp(a->name, b->name) && a->t.type == b->t.type && a->t.rank == b->t.rank &&
		!memcmp(a->t.side, b->t.side, (size_t)a->t.rank * sizeof *a->t.side) &&
		!memcmp(a->t.at, b->t.at, (size_t)tensor_bytes(&a->t));
}

/* Names, types, shapes and bytes of all parts. */
static void same(const struct checkpoint *a, const struct checkpoint *b, int parts)
{
	for (int p = 0; p < PART__COUNT; p++) {
		int wrong = 0;
		if (!(parts >> p & 1))
			continue;
		CHECK(a->part[p].n > 0);
		CHECK_INT(a->part[p].n, b->part[p].n);
		for (size_t i = 0; i < a->part[p].n && i < b->part[p].n; i++)
			if (!same_values(&a->part[p].at[i], &b->part[p].at[i]) && !wrong++)
				printf("# %s differs from %s\n", a->part[p].at[i].name,
				       b->part[p].at[i].name);
		CHECK_INT(wrong, 0);
	}
}

static void every_form_is_the_same(void)
{
	struct checkpoint dir, file, ckpt, legacy;

	if (!test_shared())
		SKIP("no recorded models");
	if (open_model(&dir, "sd1-tiny", NULL) ||
	    open_model(&file, "sd1-tiny-single.safetensors", NULL) ||
	    open_model(&ckpt, "sd1-tiny-single.ckpt", NULL) ||
	    open_model(&legacy, "sd1-tiny-novae-legacy.ckpt", NULL)) {
		CHECK(0);
		return;
	}
	CHECK_INT(dir.part[PART_UNET].n, 682);
	CHECK_INT(dir.family, FAMILY_SD1);
	CHECK_INT(file.family, FAMILY_SD1);
	CHECK(dir.tokenizer && !file.tokenizer);
	same(&dir, &file, 7);
	same(&dir, &ckpt, 7);
	same(&dir, &legacy, 5);
	CHECK_INT(legacy.part[PART_VAE].n, 0);
	CHECK(!legacy.part[PART_VAE].config);
	checkpoint_close(&dir);
	checkpoint_close(&file);
	checkpoint_close(&ckpt);
	checkpoint_close(&legacy);
}

/* What a single file's shapes tell must be what the folder's configuration says. */
static void derived_configs(void)
{
	static const char *const equal[] = { "in_channels",	      "out_channels",
					     "layers_per_block",      "cross_attention_dim",
					     "use_linear_projection", "attention_head_dim",
					     "norm_num_groups" };
	struct checkpoint dir, file;

	if (!test_shared())
		SKIP("no recorded models");
	if (open_model(&dir, "sd1-tiny", NULL) ||
	    open_model(&file, "sd1-tiny-single.safetensors", NULL)) {
		CHECK(0);
		return;
	}
	for (int i = 0; i < 7; i++)
		CHECK_INT(json_int(json_get(file.part[PART_UNET].config, equal[i]), -1),
			  json_int(json_get(dir.part[PART_UNET].config, equal[i]), -1));
	CHECK_INT(json_count(json_get(file.part[PART_UNET].config, "block_out_channels")), 4);
	CHECK_INT(json_count(file.part[PART_UNET].config), json_count(dir.part[PART_UNET].config));
	CHECK_INT(json_count(file.part[PART_VAE].config), json_count(dir.part[PART_VAE].config));
	CHECK_INT(json_count(file.part[PART_TEXT].config), json_count(dir.part[PART_TEXT].config));
	CHECK_INT(json_int(json_get(file.part[PART_TEXT].config, "num_hidden_layers"), 0), 3);
	CHECK_STR(json_text(json_get(file.part[PART_TEXT].config, "hidden_act"), ""), "quick_gelu");
	CHECK_STR(json_text(json_get(file.scheduler, "prediction_type"), ""), "epsilon");
	CHECK_STR(json_text(json_get(file.scheduler, "_class_name"), ""), "PNDMScheduler");
	checkpoint_close(&dir);
	checkpoint_close(&file);
}

/* Tensors without values, as the tables in keys list them. */
static void add_listed(struct part_weights *w, const char *file)
{
	char *path = xasprintf("%s/golden/keys/%s", test_shared(), file);
	struct buf b = { 0 };
	struct table t = { 0 };
	struct err e;

	CHECK(file_read(&b, path, 1 << 24, &e) == 0);
	CHECK(table_parse(&t, buf_str(&b), b.len, file, &e) == 0);
	for (size_t i = 0; i < t.rows; i++) {
		const char *name = table_get(&t, i, table_column(&t, "diffusers"));
		const char *shape = table_get(&t, i, table_column(&t, "shape"));
		struct tensor x = { .type = DT_F32 };
		for (char *end; *name != '-' && *shape; shape = *end ? end + 1 : end)
			x.side[x.rank++] = strtoll(shape, &end, 10);
		if (*name != '-')
			part_add(w, name, &x);
	}
	CHECK(part_finish(w, file, &e) == 0);
	table_release(&t);
	buf_release(&b);
	free(path);
}

static void config_is(const struct part_weights *w, const char *file)
{
	char *path = xasprintf("%s/golden/keys/configs/%s", test_shared(), file);
	struct buf b = { 0 };
	struct err e;

	CHECK(file_read(&b, path, 1 << 20, &e) == 0);
	if (!b.len || b.at[b.len - 1] != '\n')
		buf_addc(&b, '\n');
	CHECK_STR(w->config_text, buf_str(&b));
	buf_release(&b);
	free(path);
}

/* The real models' shapes give the real models' configurations, to the letter. */
static void full_size_configs(void)
{
	static const char *const keys[2][3] = { { "unet-sd15.tsv", "vae.tsv", "text-sd15.tsv" },
						{ "unet-sd21.tsv", "vae.tsv", "text-sd21.tsv" } };
	static const char *const configs[2][3] = { { "unet-sd15.json", "vae-sd15.json", "text-sd15.json" },
						   { "unet-sd21.json", "vae-sd21.json", "text-sd21.json" } };

	if (!test_shared())
		SKIP("no recorded names");
	for (int v = 0; v < 2; v++) {
		struct checkpoint c = { 0 };
		struct err e = { "" };
		c.path = xstrdup("listed");
		for (int p = 0; p < PART__COUNT; p++)
			add_listed(&c.part[p], keys[v][p]);
		CHECK_OK(checkpoint_derive(&c, NULL, &e), e);
		CHECK_OK(checkpoint_classify(&c, &e), e);
		CHECK_INT(c.family, v ? FAMILY_SD2 : FAMILY_SD1);
		for (int p = 0; p < PART__COUNT; p++)
			config_is(&c.part[p], configs[v][p]);
		CHECK_STR(json_text(json_get(c.scheduler, "prediction_type"), ""), v ? "v_prediction" : "epsilon");
		checkpoint_close(&c);
	}
}

static void config_from_a_folder(void)
{
	char *path;
	struct checkpoint_options o = { 0 };
	struct checkpoint c;

	if (!test_shared())
		SKIP("no recorded models");
	o.config = path = model("sd1-tiny");
	if (open_model(&c, "sd1-tiny-single.ckpt", &o) == 0) {
		CHECK_INT(json_int(json_get(c.part[PART_TEXT].config, "num_attention_heads"), 0),
			  2);
		checkpoint_close(&c);
	} else {
		CHECK(0);
	}
	free(path);
}

/* sd1-tiny with a copy of every UNet weight under its EMA name, the values negated. */
static void ema_weights(void)
{
	struct checkpoint_options o = { .ema = 1 };
	struct checkpoint plain, c;
	struct safetensors s;
	struct named *at;
	struct err e;
	char *path, *made = xasprintf("%s/ema.safetensors", folder);
	size_t n, wrong = 0;

	if (!test_shared()) {
		free(made);
		SKIP("no recorded models");
	}
	path = model("sd1-tiny-single.safetensors");
	CHECK(checkpoint_open(&c, path, &o, &e) < 0);
	CHECK(strstr(e.text, "no EMA copy of 'model.diffusion_model.") != NULL);
	CHECK_OK(safetensors_open(&s, path, &e), e);
	at = xcalloc(2 * s.n, sizeof *at);
	n = 0;
	for (size_t i = 0; i < s.n; i++) {
		struct buf b = { 0 };
		if (starts_with(s.at[i].name, "model_ema."))
			continue;
		at[n].name = xstrdup(s.at[i].name);
		at[n].t = s.at[i].t;
		at[n++].t.own = NULL;
		if (!name_of_ema(&b, s.at[i].name))
			continue;
		at[n].name = buf_detach(&b);
		at[n].t = s.at[i].t;
		at[n].t.own = NULL;
		CHECK(tensor_to_f32(&at[n].t, &e) == 0);
		for (int64_t k = 0; k < tensor_count(&at[n].t); k++)
			((float *)at[n].t.own)[k] *= -1;
		n++;
	}
	CHECK_OK(safetensors_write(made, at, n, NULL, 0, &e), e);
	CHECK(checkpoint_open(&plain, made, NULL, &e) == 0);
	CHECK_OK(checkpoint_open(&c, made, &o, &e), e);
	CHECK_INT(c.part[PART_UNET].n, plain.part[PART_UNET].n);
	for (size_t i = 0; i < c.part[PART_UNET].n; i++) {
		struct tensor a = plain.part[PART_UNET].at[i].t;
		CHECK(tensor_to_f32(&a, &e) == 0);
		wrong += *(const float *)c.part[PART_UNET].at[i].t.at != -*(const float *)a.at;
		tensor_release(&a);
	}
	CHECK_INT(wrong, 0);
	checkpoint_close(&c);
	checkpoint_close(&plain);
	for (size_t i = 0; i < n; i++) {
		free(at[i].name);
		tensor_release(&at[i].t);
	}
	free(at);
	safetensors_close(&s);
	free(path);
	free(made);
}

static void refused(const char *name, const char *what)
{
	char *path = model(name);
	struct checkpoint c;
	struct err e = { "" };

	CHECK(checkpoint_open(&c, path, NULL, &e) < 0);
	if (!strstr(e.text, what))
		printf("# %s\n", e.text);
	CHECK(strstr(e.text, what) != NULL);
	CHECK(strstr(e.text, path) != NULL);
	free(path);
}

static void others_are_refused(void)
{
	if (!test_shared())
		SKIP("no recorded models");
	refused("sdxl-tiny", "SDXL");
	refused("refiner-tiny", "SDXL");
	refused("if1-tiny", "DeepFloyd");
	refused("if2-tiny", "DeepFloyd");
	refused("blip-tiny", "no folder 'unet'");
	refused("blip-tiny-original.pth", "no model that is known");
	refused("sd1-tiny/unet/diffusion_pytorch_model.safetensors",
		"one part of a diffusers model");
	refused("nothing-there", "nothing-there");
}

/* ---- round trips ---- */

static void round_trip(const char *name, int single, enum dtype type)
{
	char *path = xasprintf("%s/%s-%d%s", folder, name, (int)type, single ? ".safetensors" : "");
	char *meta[] = { (char *)(uintptr_t)"booth.recipe", (char *)(uintptr_t)"a \"b\"\n" };
	struct checkpoint_out o;
	struct checkpoint a, b;
	struct err e = { "" };
	int ret;

	if (open_model(&a, name, NULL)) {
		CHECK(0);
		free(path);
		return;
	}
	checkpoint_out_from(&o, &a);
	o.type = type;
	o.meta = meta;
	o.n_meta = 1;
	for (int again = 0; again < 2; again++) {       /* the second one replaces the first */
		ret = (single ? checkpoint_write_single : checkpoint_write_diffusers)(path, &o, &e);
		CHECK_OK(ret, e);
	}
	ret = checkpoint_open(&b, path, NULL, &e);
	CHECK_OK(ret, e);
	if (!ret) {
		for (int p = 0; p < PART__COUNT; p++) {
			CHECK_INT(b.part[p].n, a.part[p].n);
			CHECK_STR(b.part[p].config_text, a.part[p].config_text);
			for (size_t i = 0; i < b.part[p].n; i++)
				CHECK_INT(b.part[p].at[i].t.type, type);
		}
		CHECK_INT(a.family, b.family);
		CHECK_STR(b.scheduler_text, a.scheduler_text);
		if (type == DT_F16)     /* the type they have */
			same(&a, &b, 7);
		checkpoint_close(&b);
	}
	checkpoint_close(&a);
	free(path);
}

static void written_is_read(void)
{
	static const char *const names[] = { "sd1-tiny", "sd2-tiny" };

	if (!test_shared())
		SKIP("no recorded models");
	for (int i = 0; i < 2; i++)
		for (int single = 0; single < 2; single++) {
			round_trip(names[i], single, DT_F16);
			round_trip(names[i], single, DT_F32);
		}
	round_trip("sd1-tiny", 1, DT_BF16);
}

static void nothing_foreign_is_replaced(void)
{
	char *path = xasprintf("%s/photos", folder),
	     *keep = xasprintf("%s/photos/keep.jpg", folder);
	struct checkpoint_out o;
	struct checkpoint a;
	struct names list = { 0 };
	struct err e = { "" };

	if (!test_shared())
		SKIP("no recorded models");
	CHECK(open_model(&a, "sd1-tiny", NULL) == 0);
	CHECK(make_folder(path, &e) == 0 && file_replace(keep, "x", 1, &e) == 0);
	checkpoint_out_from(&o, &a);
	CHECK(checkpoint_write_diffusers(path, &o, &e) < 0);
	CHECK(strstr(e.text, "is not a model") != NULL);
	CHECK(is_file(keep));
	o.tokenizer = path;     /* fails in the middle: nothing of it stays */
	free(keep);
	keep = xasprintf("%s/half", folder);
	CHECK(checkpoint_write_diffusers(keep, &o, &e) < 0);
	CHECK(strstr(e.text, "no tokenizer") != NULL);
	CHECK(folder_list(&list, folder, &e) == 0);
	for (size_t i = 0; i < list.n; i++)
		CHECK(!strstr(list.at[i], "half"));
	names_release(&list);
	checkpoint_close(&a);
	free(path);
	free(keep);
}

/* A folder with shards, a variant, and a text encoder without its level, made of sd1-tiny. */
static void shards_and_variants(void)
{
	char *root = xasprintf("%s/sharded", folder), *unet = xasprintf("%s/unet", root), *path;
	struct checkpoint_options o = { .variant = "fp16" };
	struct checkpoint_out w;
	struct checkpoint a, b;
	struct err e = { "" };
	struct buf index = { 0 };
	size_t n, half;

	if (!test_shared())
		SKIP("no recorded models");
	CHECK(open_model(&a, "sd1-tiny", NULL) == 0);
	checkpoint_out_from(&w, &a);
	w.type = DT_F16;
	CHECK_OK(checkpoint_write_diffusers(root, &w, &e), e);
	n = a.part[PART_UNET].n;
	half = n / 2;
	path = xasprintf("%s/u-1.safetensors", unet);
	CHECK_OK(safetensors_write(path, a.part[PART_UNET].at, half, NULL, 0, &e), e);
	free(path);
	path = xasprintf("%s/u-2.safetensors", unet);
	CHECK_OK(safetensors_write(path, a.part[PART_UNET].at + half, n - half, NULL, 0, &e), e);
	free(path);
	buf_adds(&index, "{\"metadata\":{},\"weight_map\":{");
	for (size_t i = 0; i < n; i++)
		buf_addf(&index, "%s\"%s\":\"u-%d.safetensors\"", i ? "," : "",
			 a.part[PART_UNET].at[i].name, 1 + (i >= half));
	buf_adds(&index, "}}");
	path = xasprintf("%s/diffusion_pytorch_model.safetensors.index.json", unet);
	CHECK_OK(file_replace(path, index.at, index.len, &e), e);
	free(path);
	path = xasprintf("%s/diffusion_pytorch_model.safetensors", unet);
	unlink(path);
	free(path);
	if (checkpoint_open(&b, root, NULL, &e) == 0) {
		same(&a, &b, 7);
		checkpoint_close(&b);
	} else {
		printf("# %s\n", e.text);
		CHECK(0);
	}
	CHECK(checkpoint_open(&b, root, &o, &e) < 0);
	CHECK(strstr(e.text, "variant 'fp16'") != NULL);
	buf_release(&index);
	checkpoint_close(&a);
	free(root);
	free(unet);
}

/* Weights renamed as other programs write them. */
static void write_renamed(const char *path, const struct part_weights *w,
			  void (*rename)(struct buf *, const char *))
{
	struct named *at = xcalloc(w->n, sizeof *at);
	struct err e;

	for (size_t i = 0; i < w->n; i++) {
		struct buf b = { 0 };
		rename(&b, w->at[i].name);
		at[i].name = buf_detach(&b);
		at[i].t = w->at[i].t;
	}
	CHECK_OK(safetensors_write(path, at, w->n, NULL, 0, &e), e);
	for (size_t i = 0; i < w->n; i++)
		free(at[i].name);
	free(at);
}

static void without_level(struct buf *out, const char *name)
{
	buf_adds(out, name + strlen("text_model."));
}

static void old_attention(struct buf *out, const char *name)
{
	const char *at = strstr(name, ".to_q.");

	if (!at) {
		buf_adds(out, name);
		return;
	}
	buf_add(out, name, (size_t)(at - name));
	buf_adds(out, ".query.");
	buf_adds(out, at + strlen(".to_q."));
}

static void stand_alone(struct buf *out, const char *name)
{
	static const struct name_layout four = { .levels = 4 };
	struct buf b = { 0 };

	CHECK(name_to_original(&b, NAME_VAE, &four, name));
	buf_adds(out, buf_str(&b) + strlen("first_stage_model."));
	buf_release(&b);
}

static void other_names(void)
{
	char *root = xasprintf("%s/renamed", folder), *file;
	struct checkpoint_out w;
	struct checkpoint a, b;
	struct err e = { "" };

	if (!test_shared()) {
		free(root);
		SKIP("no recorded models");
	}
	CHECK(open_model(&a, "sd1-tiny", NULL) == 0);
	checkpoint_out_from(&w, &a);
	w.type = DT_F16;
	CHECK_OK(checkpoint_write_diffusers(root, &w, &e), e);
	file = xasprintf("%s/text_encoder/model.safetensors", root);
	write_renamed(file, &a.part[PART_TEXT], without_level);
	free(file);
	file = xasprintf("%s/vae/diffusion_pytorch_model.safetensors", root);
	write_renamed(file, &a.part[PART_VAE], old_attention);
	free(file);
	CHECK_OK(checkpoint_open(&b, root, NULL, &e), e);
	same(&a, &b, 7);
	file = xasprintf("%s/alone.safetensors", root);
	write_renamed(file, &a.part[PART_VAE], stand_alone);
	CHECK_OK(checkpoint_take_vae(&b, file, &e), e);
	same(&a, &b, 7);
	CHECK_INT(json_count(json_get(b.part[PART_VAE].config, "block_out_channels")), 4);
	free(file);
	checkpoint_close(&a);
	checkpoint_close(&b);
	free(root);
}

static void another_vae(void)
{
	char *path;
	struct checkpoint a, b;
	struct err e = { "" };

	if (!test_shared())
		SKIP("no recorded models");
	CHECK(open_model(&a, "sd1-tiny-novae-legacy.ckpt", NULL) == 0);
	CHECK(open_model(&b, "sd1-tiny", NULL) == 0);
	path = model("sd1-tiny/vae");
	CHECK_OK(checkpoint_take_vae(&a, path, &e), e);
	same(&b, &a, 7);
	free(path);
	path = model("sd1-tiny-single.safetensors");
	CHECK_OK(checkpoint_take_vae(&a, path, &e), e);
	same(&b, &a, 7);
	CHECK(checkpoint_find(&a, PART_VAE, "quant_conv.weight") != NULL);
	CHECK(!checkpoint_find(&a, PART_VAE, "quant_conv"));
	free(path);
	checkpoint_close(&a);
	checkpoint_close(&b);
}

int main(void)
{
	folder = test_folder("checkpoint");
	TEST(every_form_is_the_same);
	TEST(derived_configs);
	TEST(full_size_configs);
	TEST(config_from_a_folder);
	TEST(ema_weights);
	TEST(others_are_refused);
	TEST(written_is_read);
	TEST(nothing_foreign_is_replaced);
	TEST(shards_and_variants);
	TEST(other_names);
	TEST(another_vae);
	return test_end();
}
