#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/model/names.h"
#include "kernels/run/checkpoint.h"

/* How a weights file may be called: BASE[.VARIANT].END, its index BASE.END.index[.VARIANT].json. */
static const struct { const char *base, *end; } forms[] = {
	{ "diffusion_pytorch_model", "safetensors" }, { "model", "safetensors" },
	{ "diffusion_pytorch_model", "bin" }, { "pytorch_model", "bin" },
};

/* ---- the weights' files of a part ---- */

static int add_if_there(struct names *out, const char *folder, const char *name)
{
	char *path = path_join(folder, name);
	int there = is_file(path);

	if (there)
		names_add(out, path);
	free(path);
	return there;
}

static int is_listed(const struct names *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->at[i], s))
			return 1;
	return 0;
}

/* The files that an index names. It comes from outside, so it may only name neighbours. */
static int read_index(struct names *out, const char *folder, const char *path, struct err *e)
{
	struct json *doc = NULL;
	const struct json *map;
	int ret = -1;

	if (json_read(&doc, path, e) < 0)
		return -1;
	map = json_get(doc, "weight_map");
	if (!json_count(map)) {
		fail(e, "'%s' has no weight_map", path);
		goto out;
	}
	for (size_t i = 0; i < json_count(map); i++) {
		const char *name = json_text(json_member(map, i, NULL), "");
		char *file;
		if (!*name || strchr(name, '/')) {
			fail(e, "'%s' names the file '%s', which is not beside it", path, name);
			goto out;
		}
		file = path_join(folder, name);
		if (!is_listed(out, file))
			names_add(out, file);
		free(file);
	}
	ret = 0;
out:
	json_free(doc);
	return ret;
}

/* 1: found; 0: no weights of that variant ("" = plain). */
static int files_of(struct names *out, const char *folder, const char *variant, struct err *e)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const char *dot = *variant ? "." : "";
		char *whole = xasprintf("%s%s%s.%s", forms[i].base, dot, variant, forms[i].end);
		char *index = xasprintf("%s.%s.index%s%s.json", forms[i].base, forms[i].end, dot,
					variant);
		char *path = path_join(folder, index);
		int ret = add_if_there(out, folder, whole);
		if (!ret && is_file(path))
			ret = read_index(out, folder, path, e) < 0 ? -1 : 1;
		free(whole);
		free(index);
		free(path);
		if (ret)
			return ret;
	}
	return 0;
}

/* The variant in "diffusion_pytorch_model.fp16.safetensors" or "model.safetensors.index.fp16.json", or NULL. */
static char *variant_in(const char *name)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		char *head = xasprintf("%s.", forms[i].base),
		     *tail = xasprintf(".%s", forms[i].end);
		char *index = xasprintf("%s.%s.index.", forms[i].base, forms[i].end), *found = NULL;
		size_t h = strlen(head), t = strlen(tail), x = strlen(index), n = strlen(name);
		if (starts_with(name, index) && ends_with(name, ".json") && n > x + 5)
			found = xstrndup(name + x, n - x - 5);
		else if (starts_with(name, head) && ends_with(name, tail) && n > h + t)
			found = xstrndup(name + h, n - h - t);
		free(head);
		free(tail);
		free(index);
		if (found)
			return found;
	}
	return NULL;
}

/* No plain weights: the first variant there is. */
static int any_variant(struct names *out, const char *folder, struct err *e)
{
	struct names list = { 0 };
	int ret = folder_list(&list, folder, e);

	for (size_t i = 0; !ret && i < list.n; i++) {
		char *variant = variant_in(list.at[i]);
		if (variant)
			ret = files_of(out, folder, variant, e);
		free(variant);
	}
	names_release(&list);
	return ret;
}

static int find_files(struct names *out, const char *folder, const char *variant, struct err *e)
{
	int ret = files_of(out, folder, variant ? variant : "", e);

	if (!ret && variant)
		return fail(e, "'%s' has no weights of the variant '%s'", folder, variant);
	if (!ret)
		ret = any_variant(out, folder, e);
	if (!ret)
		return fail(e, "'%s' holds no weights (%s.%s, %s.%s, ...)", folder, forms[0].base,
			    forms[0].end, forms[3].base, forms[3].end);
	return ret < 0 ? -1 : 0;
}

/* ---- one part ---- */

/* Old and new ways of writing a name, and what old files carry beside the weights. */
static void add_weight(struct part_weights *w, enum part p, const char *name,
		       const struct tensor *t)
{
	struct buf b = { 0 };

	if (ends_with(name, "position_ids") ||
	    (p == PART_TEXT &&
	     (!strcmp(name, "text_projection.weight") || !strcmp(name, "logit_scale"))))
		return;
	if (p == PART_TEXT && !starts_with(name, "text_model."))
		buf_adds(&b, "text_model.");
	if (p == PART_VAE)
		name_modernize(&b, name);
	else
		buf_adds(&b, name);
	part_add(w, buf_str(&b), t);
	buf_release(&b);
}

static char *read_text(const char *path, struct err *e)
{
	struct buf b = { 0 };
	char *text = NULL;

	if (file_read(&b, path, 1 << 24, e) == 0) {
		if (strlen(buf_str(&b)) != b.len)
			fail(e, "'%s' holds a NUL", path);
		else
			text = buf_detach(&b);
		if (!text && !b.len)
			text = xstrdup("");
	}
	buf_release(&b);
	return text;
}

int checkpoint_open_part(struct checkpoint *c, enum part p, const char *folder,
			 const struct checkpoint_options *o, struct err *e)
{
	struct part_weights *w = &c->part[p];
	char *config = path_join(folder, "config.json"), *text = read_text(config, e);
	struct names files = { 0 };
	int ret = -1;

	if (!text || part_set_config(w, text, config, e) < 0 ||
	    (find_files(&files, folder, o->variant, e) < 0 && !o->configs_only))
		goto out;
	for (size_t i = 0; i < files.n; i++) {
		const struct named *at;
		size_t n;
		if (checkpoint_load(c, files.at[i], &at, &n, e) < 0)
			goto out;
		for (size_t k = 0; k < n; k++)
			add_weight(w, p, at[k].name, &at[k].t);
	}
	ret = part_finish(w, folder, e);
out:
	free(config);
	names_release(&files);
	return ret;
}

/* ---- the folder ---- */

static int check_pipeline(const struct checkpoint *c, const struct json *index, struct err *e)
{
	const char *class = json_text(json_get(index, "_class_name"), "StableDiffusionPipeline");
	const char *second = json_text(json_at(json_get(index, "text_encoder_2"), 1), NULL);

	if (second || strstr(class, "XL"))
		return fail(e,
			"'%s' is an SDXL model (%s), which is not supported; Stable Diffusion 1 and 2 are",
			c->path, class);
	if (starts_with(class, "IF"))
		return fail(e,
			"'%s' is a DeepFloyd IF model (%s), which is not supported; Stable Diffusion 1 and 2 are",
			c->path, class);
	if (!starts_with(class, "StableDiffusion"))
		return fail(e,
			"'%s' is a model for '%s', which is not supported; Stable Diffusion 1 and 2 are",
			c->path, class);
	return 0;
}

static int read_model_index(const struct checkpoint *c, struct err *e)
{
	char *path = path_join(c->path, "model_index.json");
	struct json *index = NULL;
	int ret = 0;

	if (is_file(path))
		ret = json_read(&index, path, e) < 0 ? -1 : check_pipeline(c, index, e);
	json_free(index);
	free(path);
	return ret;
}

static int read_scheduler(struct checkpoint *c, struct err *e)
{
	char *path = xasprintf("%s/scheduler/scheduler_config.json", c->path), *text;
	int ret = -1;

	if (!is_file(path)) {
		fail(e, "'%s' has no scheduler/scheduler_config.json", c->path);
	} else {
		text = read_text(path, e);
		ret = text ? checkpoint_set_scheduler(c, text, path, e) : -1;
	}
	free(path);
	return ret;
}

int checkpoint_open_folder(struct checkpoint *c, const struct checkpoint_options *o, struct err *e)
{
	char *tokenizer = path_join(c->path, "tokenizer");
	int ret = -1;

	if (o->ema) {
		fail(e, "'%s' is a folder; of these, EMA weights are a variant of their own",
		     c->path);
		goto out;
	}
	if (read_model_index(c, e) < 0)
		goto out;
	for (int p = 0; p < PART__COUNT; p++) {
		char *folder = path_join(c->path, part_name(p));
		int there = is_folder(folder), bad = 0;
		if (there)
			bad = checkpoint_open_part(c, p, folder, o, e) < 0;
		else if (p == PART_UNET)
			bad = fail(e, "'%s' is no model: it has no folder 'unet'", c->path);
		free(folder);
		if (bad)
			goto out;
	}
	if (read_scheduler(c, e) < 0)
		goto out;
	if (is_folder(tokenizer)) {
		c->tokenizer = tokenizer;
		tokenizer = NULL;
	}
	ret = 0;
out:
	free(tokenizer);
	return ret;
}
