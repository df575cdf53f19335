#include "kernels/run/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/pickle.h"

const char *part_name(enum part p)
{
	static const char *const name[] = { "unet", "vae", "text_encoder" };

	return name[p];
}

/* ---- parts ---- */

void part_add(struct part_weights *w, const char *name, const struct tensor *t)
{
	struct named *to;

	/* room is made in powers of two, so that no capacity has to be kept */
	if (!(w->n & (w->n - 1)) || !w->n)
		w->at = xrealloc(w->at, (w->n ? 2 * w->n : 1) * sizeof *w->at);
	to = &w->at[w->n++];
	to->name = xstrdup(name);
	to->t = *t;
	to->t.own = NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

int part_finish(struct part_weights *w, const char *path, struct err *e)
{
	if (w->n)
		qsort(w->at, w->n, sizeof *w->at, by_name);
	for (size_t i = 1; i < w->n; i++)
		if (!strcmp(w->at[i - 1].name, w->at[i].name))
			return fail(e, "'%s' has two tensors for the weight '%s'", path,
				    w->at[i].name);
	return 0;
}

const struct tensor *part_find(const struct part_weights *w, const char *name)
{
	struct named key = { .name = (char *)(uintptr_t)name };
	const struct named *found = w->n ? bsearch(&key, w->at, w->n, sizeof key, by_name) : NULL;

	return found ? &found->t : NULL;
}

void part_release(struct part_weights *w)
{
	for (size_t i = 0; i < w->n; i++) {
		free(w->at[i].name);
		tensor_release(&w->at[i].t);
	}
	free(w->at);
	free(w->config_text);
	json_free(w->config);
	memset(w, 0, sizeof *w);
}

int part_set_config(struct part_weights *w, char *text, const char *what, struct err *e)
{
	json_free(w->config);
	free(w->config_text);
	w->config = NULL;
	w->config_text = text;
	if (json_parse(&w->config, text, strlen(text), what, e) < 0)
		return -1;
	if (json_type(w->config) != JSON_OBJECT)
		return fail(e, "'%s' is not a configuration: no JSON object", what);
	return 0;
}

int checkpoint_set_scheduler(struct checkpoint *c, char *text, const char *what, struct err *e)
{
	json_free(c->scheduler);
	free(c->scheduler_text);
	c->scheduler = NULL;
	c->scheduler_text = text;
	return json_parse(&c->scheduler, text, strlen(text), what, e);
}

/* ---- files ---- */

int checkpoint_load(struct checkpoint *c, const char *path, const struct named **at, size_t *n,
		    struct err *e)
{
	struct checkpoint_file *f;

	c->file = grow(c->file, c->n_file, &c->cap_file, sizeof *c->file);
	f = &c->file[c->n_file];
	memset(f, 0, sizeof *f);
	if (pickle_is(path)) {
		f->p = xcalloc(1, sizeof *f->p);
		if (pickle_open(f->p, path, e) < 0) {
			free(f->p);
			return -1;
		}
		*at = f->p->at;
		*n = f->p->n;
	} else {
		if (safetensors_open(&f->s, path, e) < 0)
			return -1;
		*at = f->s.at;
		*n = f->s.n;
	}
	f->path = xstrdup(path);
	c->n_file++;
	return 0;
}

static void files_close(struct checkpoint *c)
{
	for (size_t i = 0; i < c->n_file; i++) {
		if (c->file[i].p)
			pickle_close(c->file[i].p);
		free(c->file[i].p);
		safetensors_close(&c->file[i].s);
		free(c->file[i].path);
	}
	free(c->file);
}

void checkpoint_files(const struct checkpoint *c, struct names *out)
{
	for (size_t i = 0; i < c->n_file; i++)
		names_add(out, c->file[i].path);
}

/* ---- the whole ---- */

static int refuse(const struct checkpoint *c, struct err *e, const char *what)
{
	return fail(e, "'%s' is %s, which is not supported; Stable Diffusion 1 and 2 are", c->path,
		    what);
}

static int check_unet(const struct checkpoint *c, const struct json *config, struct err *e)
{
	int64_t in = json_int(json_get(config, "in_channels"), 4);
	const char *added = json_text(json_get(config, "addition_embed_type"), NULL);

	if (added)
		return refuse(c, e,
			      !strcmp(added, "text_time") ? "an SDXL model" :
							    "a DeepFloyd IF model");
	if (json_type(json_get(config, "class_embed_type")) == JSON_TEXT ||
	    json_type(json_get(config, "num_class_embeds")) == JSON_INT)
		return refuse(c, e, "a model with class embeddings (an upscaler)");
	if (in == 9)
		return refuse(c, e, "an inpainting model (9 input channels)");
	if (in == 5)
		return refuse(c, e, "a depth model (5 input channels)");
	if (in == 8)
		return refuse(c, e, "an InstructPix2Pix model (8 input channels)");
	return 0;
}

int checkpoint_classify(struct checkpoint *c, struct err *e)
{
	const struct json *unet = c->part[PART_UNET].config, *text = c->part[PART_TEXT].config;
	const char *act = json_text(json_get(text, "hidden_act"), "quick_gelu");

	if (check_unet(c, unet, e) < 0)
		return -1;
	c->family = json_bool(json_get(unet, "use_linear_projection"), 0) || !strcmp(act, "gelu") ?
			    FAMILY_SD2 :
			    FAMILY_SD1;
	return 0;
}

int checkpoint_open(struct checkpoint *c, const char *path, const struct checkpoint_options *o,
		    struct err *e)
{
	static const struct checkpoint_options none;
	int ret;

	memset(c, 0, sizeof *c);
	c->path = xstrdup(path);
	if (is_folder(path))
		ret = checkpoint_open_folder(c, o ? o : &none, e);
	else
		ret = checkpoint_open_single(c, o ? o : &none, e);
	if (!ret)
		ret = checkpoint_classify(c, e);
	if (ret < 0)
		checkpoint_close(c);
	return ret;
}

void checkpoint_trim(const struct checkpoint *c)
{
	for (size_t i = 0; i < c->n_file; i++)
		map_trim(c->file[i].p ? &c->file[i].p->map : &c->file[i].s.map);
}

void checkpoint_close(struct checkpoint *c)
{
	for (int p = 0; p < PART__COUNT; p++)
		part_release(&c->part[p]);
	for (size_t i = 0; i < 2 * c->n_meta; i++)
		free(c->meta[i]);
	free(c->meta);
	json_free(c->scheduler);
	free(c->scheduler_text);
	free(c->tokenizer);
	free(c->path);
	files_close(c);
	memset(c, 0, sizeof *c);
}

const struct tensor *checkpoint_find(const struct checkpoint *c, enum part p, const char *name)
{
	return part_find(&c->part[p], name);
}

/* Of the other model, everything but the VAE is let go; its files stay open. */
static void move_vae(struct checkpoint *c, struct checkpoint *from)
{
	part_release(&c->part[PART_VAE]);
	c->part[PART_VAE] = from->part[PART_VAE];
	memset(&from->part[PART_VAE], 0, sizeof from->part[PART_VAE]);
	for (size_t i = 0; i < from->n_file; i++) {
		c->file = grow(c->file, c->n_file, &c->cap_file, sizeof *c->file);
		c->file[c->n_file++] = from->file[i];
	}
	from->n_file = 0;
}

int checkpoint_take_vae(struct checkpoint *c, const char *path, struct err *e)
{
	static const struct checkpoint_options none;
	struct checkpoint from = { 0 };
	char *below = path_join(path, "vae");
	int ret;

	from.path = xstrdup(path);
	from.family = c->family;
	if (is_folder(path))
		ret = checkpoint_open_part(&from, PART_VAE,
					   is_folder(below) ? below : path, &none, e);
	else
		ret = checkpoint_open_vae_file(&from, path, e);
	if (!ret && !from.part[PART_VAE].n)
		ret = fail(e, "'%s' holds no autoencoder", path);
	if (!ret)
		move_vae(c, &from);
	checkpoint_close(&from);
	free(below);
	return ret;
}

void checkpoint_out_from(struct checkpoint_out *o, const struct checkpoint *c)
{
	memset(o, 0, sizeof *o);
	for (int p = 0; p < PART__COUNT; p++) {
		o->part[p].at = c->part[p].at;
		o->part[p].n = c->part[p].n;
		o->part[p].config = c->part[p].config_text;
	}
	o->scheduler = c->scheduler_text;
	o->tokenizer = c->tokenizer;
	o->type = DT_F32;
}
