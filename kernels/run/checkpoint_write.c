#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/checkpoint_pile.h"

#define DIFFUSERS "0.42.1"

static int write_text(const char *folder, const char *name, const char *text, struct err *e)
{
	char *path = path_join(folder, name);
	int ret = file_replace(path, text, strlen(text), e);

	free(path);
	return ret;
}

static int write_part(const char *root, const struct checkpoint_out *o, enum part p, struct err *e)
{
	char *folder = path_join(root, part_name(p));
	char *path = path_join(folder, p == PART_TEXT ? "model.safetensors" :
							"diffusion_pytorch_model.safetensors");
	struct pile pile = { 0 };
	int ret = -1;

	if (make_folder(folder, e) < 0 ||
	    write_text(folder, "config.json", o->part[p].config, e) < 0)
		goto out;
	for (size_t i = 0; i < o->part[p].n; i++)
		if (pile_copy(&pile, o->part[p].at[i].name, &o->part[p].at[i].t, o->type, e) < 0)
			goto out;
	ret = pile_write(path, &pile, o, NULL, NULL, e);
out:
	pile_release(&pile);
	free(folder);
	free(path);
	return ret;
}

static int copy_tokenizer(const char *root, const char *from, struct err *e)
{
	static const char *const files[] = {
		"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
		"added_tokens.json",
	};
	char *to = path_join(root, "tokenizer");
	int ret = make_folder(to, e), copied = 0;

	for (size_t i = 0; !ret && i < sizeof files / sizeof *files; i++) {
		char *src = path_join(from, files[i]), *dst = path_join(to, files[i]);
		struct buf b = { 0 };
		if (is_file(src)) {
			ret = file_read(&b, src, 1 << 28, e) < 0 ||
					      file_replace(dst, buf_str(&b), b.len, e) < 0 ?
				      -1 :
				      0;
			copied++;
		}
		buf_release(&b);
		free(src);
		free(dst);
	}
	if (!ret && !copied)
		ret = fail(e,
			   "'%s' holds no tokenizer (vocab.json and merges.txt, or tokenizer.json)",
			   from);
	free(to);
	return ret;
}

static int write_index(const char *root, const struct checkpoint_out *o, struct err *e)
{
	struct json *scheduler = NULL;
	struct buf b = { 0 };
	int ret;

	if (json_parse(&scheduler, o->scheduler, strlen(o->scheduler), "scheduler_config.json", e) <
	    0)
		return -1;
	buf_addf(&b,
		"{\n  \"_class_name\": \"StableDiffusionPipeline\",\n  \"_diffusers_version\": \"" DIFFUSERS
		"\",\n"
		"  \"feature_extractor\": [\n    null,\n    null\n  ],\n  \"image_encoder\": [\n    null,\n    null\n  ],\n"
		"  \"requires_safety_checker\": false,\n  \"safety_checker\": [\n    null,\n    null\n  ],\n"
		"  \"scheduler\": [\n    \"diffusers\",\n    ");
	json_put_text(&b, json_text(json_get(scheduler, "_class_name"), "PNDMScheduler"));
	buf_adds(&b,
		"\n  ],\n  \"text_encoder\": [\n    \"transformers\",\n    \"CLIPTextModel\"\n  ],\n"
		"  \"tokenizer\": [\n    \"transformers\",\n    \"CLIPTokenizer\"\n  ],\n"
		"  \"unet\": [\n    \"diffusers\",\n    \"UNet2DConditionModel\"\n  ],\n"
		"  \"vae\": [\n    \"diffusers\",\n    \"AutoencoderKL\"\n  ]\n}\n");
	ret = write_text(root, "model_index.json", buf_str(&b), e);
	json_free(scheduler);
	buf_release(&b);
	return ret;
}

static int write_folder(const char *root, const struct checkpoint_out *o, struct err *e)
{
	char *scheduler = path_join(root, "scheduler");
	int ret = make_folder(scheduler, e);

	if (!ret)
		ret = write_text(scheduler, "scheduler_config.json", o->scheduler, e);
	if (!ret)
		ret = copy_tokenizer(root, o->tokenizer, e);
	for (int p = 0; !ret && p < PART__COUNT; p++)
		ret = write_part(root, o, p, e);
	free(scheduler);
	return ret ? ret : write_index(root, o, e);
}

/* Folders that we made or that are models; never followed through links. */
static void remove_tree(const char *path)
{
	struct names list = { 0 };
	struct err ignored;

	if (is_folder(path) && folder_list(&list, path, &ignored) == 0)
		for (size_t i = 0; i < list.n; i++) {
			char *below = path_join(path, list.at[i]);
			if (unlink(below) < 0)
				remove_tree(below);
			free(below);
		}
	names_release(&list);
	rmdir(path);
}

/*
 * FOLDER.tmp-PROCESS and, once `done`, FOLDER.tmp-PROCESS.old (what was replaced) of runs that were
 * killed.
 */
static void remove_abandoned(const char *folder, int done)
{
	const char *base = path_base(folder);
	char *parent = base > folder ? xstrndup(folder, (size_t)(base - folder)) : xstrdup(".");
	char *prefix = xasprintf("%s.tmp-", base);
	struct names list = { 0 };
	struct err ignored;

	if (folder_list(&list, parent, &ignored) == 0)
		for (size_t i = 0; i < list.n; i++)
			if (temp_abandoned(list.at[i], prefix) &&
			    (done || !ends_with(list.at[i], ".old"))) {
				char *path = path_join(parent, list.at[i]);

				remove_tree(path);
				free(path);
			}
	names_release(&list);
	free(prefix);
	free(parent);
}

/* What is there may be replaced if it is empty or a model. */
int checkpoint_can_be(const char *folder, struct err *e)
{
	char *index = path_join(folder, "model_index.json");
	struct names list = { 0 };
	int ret = 0;

	if (is_file(folder)) {
		ret = fail(e, "'%s' is a file, not a folder", folder);
	} else if (is_folder(folder) && !is_file(index)) {
		ret = folder_list(&list, folder, e);
		if (!ret && list.n)
			ret = fail(e,
				   "'%s' is there and is not a model (it has no model_index.json)",
				   folder);
	}
	names_release(&list);
	free(index);
	return ret;
}

/* Put the finished folder where it belongs; an older one is exchanged with it and then removed. */
static int move_into_place(const char *made, const char *folder, struct err *e)
{
	char *old;
	int ret = 0;

	if (!is_folder(folder))
		return rename(made, folder) < 0 ? fail_errno(e, "cannot rename to '%s'", folder) :
						  0;
	if (renameat2(AT_FDCWD, made, AT_FDCWD, folder, RENAME_EXCHANGE) == 0) {
		remove_tree(made);
		return 0;
	}
	old = xasprintf("%s.old", made);        /* a file system without exchange */
	if (rename(folder, old) < 0)
		ret = fail_errno(e, "cannot replace '%s'", folder);
	else if (rename(made, folder) < 0) {
		ret = fail_errno(e, "cannot rename to '%s'", folder);
		if (rename(old, folder) < 0)
			ret = err_prefix(e, "what was there is now '%s'", old);
	} else {
		remove_tree(old);
	}
	free(old);
	return ret;
}

int checkpoint_write_diffusers(const char *folder, const struct checkpoint_out *o, struct err *e)
{
	size_t len = strlen(folder);
	char *made, *plain;
	int ret;

	for (int p = 0; p < PART__COUNT; p++)
		if (!o->part[p].n || !o->part[p].config)
			return fail(e,
				"'%s' cannot be written as a diffusers folder: there is no part '%s'",
				folder, part_name(p));
	if (!o->scheduler || !o->tokenizer)
		return fail(e, "'%s' cannot be written as a diffusers folder: there is no %s",
			    folder, o->scheduler ? "tokenizer" : "scheduler");
	if (checkpoint_can_be(folder, e) < 0)
		return -1;
	while (len > 1 && folder[len - 1] == '/')
		len--;
	plain = xstrndup(folder, len);
	remove_abandoned(plain, 0);
	made = xasprintf("%s.tmp-%ld", plain, (long)getpid());
	remove_tree(made);
	ret = make_folder(made, e);
	if (!ret)
		ret = write_folder(made, o, e);
	if (!ret && o->verify)
		ret = o->verify(o->verify_data, made, e);
	if (!ret)
		ret = move_into_place(made, folder, e);
	if (ret)
		remove_tree(made);
	else
		remove_abandoned(plain, 1);
	free(made);
	free(plain);
	return ret;
}
