#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/model/names.h"
#include "kernels/run/checkpoint.h"

struct source {                 /* the tensors of one single file */
	const char *path;
	const struct named *at;
	size_t n;
	const char *skip;       /* what names begin with: "state_dict." in pickles of Lightning, else "" */
	struct name_layout unet, vae;
	int openclip;           /* layers kept of OpenCLIP's text encoder */
	int ema;
};

static const char unet_prefix[] = "model.diffusion_model.", openclip_layer[] =
	"cond_stage_model.model.transformer.resblocks.";

/* The name without "state_dict."; NULL: not a weight. */
static const char *name_of(const struct source *s, size_t i)
{
	return starts_with(s->at[i].name, s->skip) ? s->at[i].name + strlen(s->skip) : NULL;
}

static const struct tensor *find(const struct source *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *mine = name_of(s, i);
		if (mine && !strcmp(mine, name))
			return &s->at[i].t;
	}
	return NULL;
}

static int any(const struct source *s, const char *prefix)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *mine = name_of(s, i);
		if (mine && starts_with(mine, prefix))
			return 1;
	}
	return 0;
}

static int any_with(const struct source *s, const char *part)
{
	for (size_t i = 0; i < s->n; i++)
		if (strstr(s->at[i].name, part))
			return 1;
	return 0;
}

/* ---- what is it? ---- */

static int refuse(const struct source *s, struct err *e, const char *what)
{
	return fail(e, "'%s' is %s; Stable Diffusion 1 and 2 are supported", s->path, what);
}

static int recognize(struct source *s, struct err *e)
{
	if (any(s, "state_dict."))
		s->skip = "state_dict.";
	if (any(s, "conditioner.embedders.") || any(s, "model.diffusion_model.label_emb."))
		return refuse(s, e, "an SDXL model (or its refiner)");
	if (any_with(s, ".joint_blocks.") || any_with(s, "double_blocks."))
		return refuse(s, e, "a transformer model (SD3, Flux)");
	if (any(s, unet_prefix))
		return 0;
	if (any_with(s, "lora_") || any_with(s, ".lora."))
		return refuse(s, e, "a LoRA file, not a model");
	if (any(s, "down_blocks.") || any(s, "text_model."))
		return fail(e, "'%s' is one part of a diffusers model; the folder that holds "
			    "model_index.json is wanted", s->path);
	if (any(s, "input_blocks."))
		return refuse(s, e, "a UNet without the names of a whole model");
	return fail(e, "'%s' is no model that is known: none of its %zu tensors is named '%s...'",
		    s->path, s->n, unet_prefix);
}

#define NUMBER_MOST 999         /* of a block: all up to the highest are looked for */

/* The number that follows the prefix in a name, or -1. */
static int number_after(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);
	long number;

	if (!starts_with(name, prefix) || name[n] < '0' || name[n] > '9')
		return -1;
	number = strtol(name + n, NULL, 10);
	return number > NUMBER_MOST ? -1 : (int)number;
}

static int highest(const struct source *s, const char *prefix)
{
	int top = -1;

	for (size_t i = 0; i < s->n; i++) {
		const char *mine = name_of(s, i);
		int n = mine ? number_after(mine, prefix) : -1;
		if (n > top)
			top = n;
	}
	return top;
}

/*
 * input_blocks counts 1 + layers for the first level, then
 * downsampler + layers for each further one.
 */
static void measure(struct source *s)
{
	int blocks = highest(s, "model.diffusion_model.input_blocks."), first = blocks + 1;
	int levels;

	for (int k = blocks; k > 0; k--) {
		char *op = xasprintf("%sinput_blocks.%d.0.op.", unet_prefix, k);
		if (any(s, op))
			first = k;
		free(op);
	}
	s->unet.layers = first > 1 ? first - 1 : 1;
	levels = (blocks + 1) / (s->unet.layers + 1);
	s->unet.levels = levels < 1 ? 1 : levels > 16 ? 16 : levels;
	for (int i = 0; i < s->unet.levels; i++) {
		char *inner = xasprintf("%sinput_blocks.%d.1.", unet_prefix,
					1 + i * (s->unet.layers + 1));
		if (any(s, inner))
			s->unet.attention |= 1u << i;
		free(inner);
	}
	s->vae.levels = highest(s, "first_stage_model.encoder.down.") + 1;
	s->openclip = highest(s, openclip_layer) + 1;
	/* The whole tower is there, of which SD2 uses all layers but the last. */
	if (s->openclip == 24 ||
	    (s->openclip > 1 && find(s, "cond_stage_model.model.text_projection")))
		s->openclip--;
}

/* ---- tensors ---- */

/* Rows third/3 .. (third + 1)/3 of a fused tensor. */
static int cut(struct tensor *t, int third)
{
	if (!t->rank || t->side[0] % 3)
		return -1;
	t->side[0] /= 3;
	t->at = (const unsigned char *)t->at + tensor_bytes(t) * third;
	return 0;
}

static int add_fused(struct checkpoint *c, const struct source *s, const char *name,
		     const struct tensor *t, struct err *e)
{
	for (int third = 0; third < 3; third++) {
		struct tensor view = *t;
		struct buf b = { 0 };
		int ok = cut(&view, third) == 0 &&
			 name_from_original(&b, NAME_OPENCLIP, &s->unet, name, third);
		if (ok)
			part_add(&c->part[PART_TEXT], buf_str(&b), &view);
		buf_release(&b);
		if (!ok)
			return fail(e, "'%s': '%s' is not three matrices in one", s->path, name);
	}
	return 0;
}

static void add_plain(struct checkpoint *c, enum name_family f, const char *canonical,
		      const struct tensor *t)
{
	static const enum part part[NAME__FAMILIES] = {
		[NAME_UNET] = PART_UNET,
		[NAME_VAE] = PART_VAE,
		[NAME_TEXT] = PART_TEXT,
		[NAME_OPENCLIP] = PART_TEXT,
	};
	struct tensor view = *t;

	if (name_is_conv_there(f, canonical) && view.rank == 4 && view.side[2] == 1 &&
	    view.side[3] == 1)
		view.rank = 2;
	part_add(&c->part[part[f]], canonical, &view);
}

static const struct tensor *ema_of(const struct source *s, const char *name)
{
	struct buf b = { 0 };
	const struct tensor *t = name_of_ema(&b, name) ? find(s, buf_str(&b)) : NULL;

	buf_release(&b);
	return t;
}

static int add_tensor(struct checkpoint *c, const struct source *s, const char *name,
		      const struct tensor *t, struct err *e)
{
	int layer = number_after(name, openclip_layer);
	struct buf b = { 0 };

	if (name_is_extra(name) || layer >= s->openclip)
		return 0;
	for (int f = 0; f < NAME__FAMILIES; f++) {
		if (!name_from_original(&b, f, f == NAME_VAE ? &s->vae : &s->unet, name, 0))
			continue;
		if (f == NAME_OPENCLIP && name_is_fused(name)) {
			buf_release(&b);
			return add_fused(c, s, name, t, e);
		}
		if (f == NAME_UNET && s->ema)
			t = ema_of(s, name);
		if (t)
			add_plain(c, f, buf_str(&b), t);
		buf_release(&b);
		return t ? 0 : fail(e, "'%s' has no EMA copy of '%s'", s->path, name);
	}
	return fail(e, "'%s' holds an unexpected tensor '%s'", s->path, name);
}

/* ---- configurations ---- */

static int take_config(struct checkpoint *c, const struct json *all, const char *name,
		       const char *what, struct err *e)
{
	const char *text = json_text(json_get(all, name), NULL);

	if (!text)
		return 0;
	if (!strcmp(name, "scheduler"))
		return checkpoint_set_scheduler(c, xstrdup(text), what, e);
	for (int p = 0; p < PART__COUNT; p++)
		if (!strcmp(name, part_name(p)) && c->part[p].n)
			return part_set_config(&c->part[p], xstrdup(text), what, e);
	return 0;
}

/* "booth.config": an object of texts, each a configuration. */
static int configs_from_meta(struct checkpoint *c, struct err *e)
{
	const char *text = NULL;
	struct json *all = NULL;
	int ret = 0;

	for (size_t i = 0; i < c->n_meta; i++)
		if (!strcmp(c->meta[2 * i], "booth.config"))
			text = c->meta[2 * i + 1];
	if (!text)
		return 0;
	if (json_parse(&all, text, strlen(text), c->path, e) < 0)
		return -1;
	for (int p = 0; p < PART__COUNT && !ret; p++)
		ret = take_config(c, all, part_name(p), c->path, e);
	if (!ret)
		ret = take_config(c, all, "scheduler", c->path, e);
	json_free(all);
	return ret;
}

static char *text_of(const char *path, struct err *e)
{
	struct buf b = { 0 };

	if (file_read(&b, path, 1 << 24, e) == 0)
		return b.at ? buf_detach(&b) : xstrdup("");
	buf_release(&b);
	return NULL;
}

static int configs_from_folder(struct checkpoint *c, const char *folder, struct err *e)
{
	for (int p = 0; p <= PART__COUNT; p++) {
		char *path = p == PART__COUNT ?
				     xasprintf("%s/scheduler/scheduler_config.json", folder) :
				     xasprintf("%s/%s/config.json", folder, part_name(p));
		int there = is_file(path), bad = 0;
		char *text = there ? text_of(path, e) : NULL;
		if (there)
			bad = !text ||
			      (p == PART__COUNT ? checkpoint_set_scheduler(c, text, path, e) :
						  part_set_config(&c->part[p], text, path, e)) < 0;
		free(path);
		if (bad)
			return -1;
	}
	return 0;
}

static void copy_meta(struct checkpoint *c)
{
	const struct checkpoint_file *f = &c->file[0];

	if (f->p)
		return;
	c->n_meta = f->s.n_meta;
	c->meta = xcalloc(2 * c->n_meta, sizeof *c->meta);
	for (size_t i = 0; i < 2 * c->n_meta; i++)
		c->meta[i] = xstrdup(f->s.meta[i]);
}

/* ---- the whole ---- */

int checkpoint_open_single(struct checkpoint *c, const struct checkpoint_options *o, struct err *e)
{
	struct source s = { .path = c->path, .skip = "", .ema = o->ema };

	c->single = 1;
	if (checkpoint_load(c, c->path, &s.at, &s.n, e) < 0 || recognize(&s, e) < 0)
		return -1;
	copy_meta(c);
	measure(&s);
	for (size_t i = 0; i < s.n; i++) {
		const char *name = name_of(&s, i);
		if (name && add_tensor(c, &s, name, &s.at[i].t, e) < 0)
			return -1;
	}
	for (int p = 0; p < PART__COUNT; p++)
		if (part_finish(&c->part[p], c->path, e) < 0)
			return -1;
	if (configs_from_meta(c, e) < 0 || (o->config && configs_from_folder(c, o->config, e) < 0))
		return -1;
	return checkpoint_derive(c, o->prediction, e);
}

/* Put "first_stage_model." in front, unless the names are diffusers'. */
static int add_vae_tensor(struct checkpoint *c, const struct source *s, const char *name,
			  const struct tensor *t, struct err *e)
{
	struct buf b = { 0 };
	char *original;
	int ok;

	if (name_is_extra(name) || starts_with(name, "loss."))
		return 0;
	original = starts_with(name, name_prefix(NAME_VAE)) ? xstrdup(name) :
		xasprintf("%s%s", name_prefix(NAME_VAE), name);
	ok = name_from_original(&b, NAME_VAE, &s->vae, original, 0);
	if (!ok && (starts_with(name, "encoder.") || starts_with(name, "decoder.")) &&
	    (strstr(name, "_blocks.") || strstr(name, "mid_block.") ||
	     strstr(name, "conv_norm_out."))) {
		name_modernize(&b, name);
		ok = 1;
	}
	if (ok)
		add_plain(c, NAME_VAE, buf_str(&b), t);
	buf_release(&b);
	free(original);
	if (ok || starts_with(name, "model.") || starts_with(name, "cond_stage_model."))
		return 0;
	return fail(e, "'%s' holds an unexpected tensor '%s'", s->path, name);
}

int checkpoint_open_vae_file(struct checkpoint *c, const char *path, struct err *e)
{
	struct source s = { .path = path, .skip = "" };

	c->single = 1;
	if (checkpoint_load(c, path, &s.at, &s.n, e) < 0)
		return -1;
	if (any(&s, "state_dict."))
		s.skip = "state_dict.";
	copy_meta(c);
	s.vae.levels = highest(&s, "first_stage_model.encoder.down.") + 1;
	if (!s.vae.levels)
		s.vae.levels = highest(&s, "encoder.down.") + 1;
	for (size_t i = 0; i < s.n; i++) {
		const char *name = name_of(&s, i);
		if (name && add_vae_tensor(c, &s, name, &s.at[i].t, e) < 0)
			return -1;
	}
	if (part_finish(&c->part[PART_VAE], path, e) < 0 || configs_from_meta(c, e) < 0)
		return -1;
	return c->part[PART_VAE].n ? checkpoint_derive(c, NULL, e) : 0;
}
