#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/model/names.h"
#include "kernels/run/checkpoint_pile.h"

static int put_plain(struct pile *p, const struct checkpoint_out *o, enum name_family f,
		     const struct name_layout *l, const struct named *x, struct err *e)
{
	struct buf b = { 0 };
	int ret = -1;

	if (!name_to_original(&b, f, l, x->name))
		fail(e, "weight '%s' has no name in the original layout", x->name);
	else
		ret = pile_copy(p, buf_str(&b), &x->t, o->type, e);
	buf_release(&b);
	if (!ret && name_is_conv_there(f, x->name) && x->t.rank == 2) {
		struct tensor *t = &p->at[p->n - 1].t;
		t->rank = 4;
		t->side[2] = t->side[3] = 1;
	}
	return ret;
}

/* q, k and v under each other; called at q. */
static int put_fused(struct pile *p, const struct checkpoint_out *o, const struct named *q,
		     const char *original, struct err *e)
{
	const struct part_weights text = { .at = (struct named *)(uintptr_t)o->part[PART_TEXT].at,
		.n = o->part[PART_TEXT].n };
	struct tensor *to = pile_add(p, original);
	int64_t bytes = 0, side[TENSOR_RANK];
	unsigned char *out = NULL;
	void *values;

	for (int third = 0; third < 3; third++) {
		char *name = xstrdup(q->name);
		const struct tensor *t;
		struct tensor view;
		*strstr(name, ".q_proj.") = '.';
		strstr(name, ".q_proj.")[1] = "qkv"[third];
		t = part_find(&text, name);
		if (!t || t->rank != q->t.rank ||
		    memcmp(t->side, q->t.side, (size_t)t->rank * sizeof *t->side)) {
			fail(e, "weight '%s' is missing, or not as large as '%s'", name, q->name);
			free(name);
			return -1;
		}
		free(name);
		view = *t;
		view.own = NULL;
		if (tensor_convert(&view, o->type, e) < 0)
			return -1;
		if (!third) {
			memcpy(side, t->side, sizeof side);
			side[0] *= 3;
			if (tensor_new(to, o->type, t->rank, side, &values, e) < 0) {
				tensor_release(&view);
				return -1;
			}
			out = values;
			bytes = tensor_bytes(&view);
		}
		memcpy(out + bytes * third, view.at, (size_t)bytes);
		tensor_release(&view);
	}
	return 0;
}

static int put_openclip(struct pile *p, const struct checkpoint_out *o, const struct named *x,
			struct err *e)
{
	static const struct name_layout none;
	struct buf b = { 0 };
	int ret = 0, third = name_third(x->name);

	if (third < 0)
		return put_plain(p, o, NAME_OPENCLIP, &none, x, e);
	if (!third) {
		name_to_original(&b, NAME_OPENCLIP, &none, x->name);
		ret = put_fused(p, o, x, buf_str(&b), e);
	}
	buf_release(&b);
	return ret;
}

/*
 * The layer that SD2 leaves out, as a copy of the last one it uses, and the projection: so that
 * programs which build the whole OpenCLIP tower find every weight. Nothing that is computed depends
 * on them.
 */
static int put_unused(struct pile *p, const struct checkpoint_out *o, int layers, int64_t width,
		      struct err *e)
{
	char *last =
		xasprintf("%stransformer.resblocks.%d.", name_prefix(NAME_OPENCLIP), layers - 1);
	char *name = xasprintf("%stext_projection", name_prefix(NAME_OPENCLIP));
	size_t n = p->n;
	struct tensor *t;
	void *values;
	int ret = -1;

	for (size_t i = 0; i < n; i++)
		if (starts_with(p->at[i].name, last)) {
			char *copy = xasprintf("%stransformer.resblocks.%d.%s",
					       name_prefix(NAME_OPENCLIP), layers,
					       p->at[i].name + strlen(last));
			struct tensor view = p->at[i].t;
			*pile_add(p, copy) = view;
			p->at[p->n - 1].t.own = NULL;
			free(copy);
		}
	t = pile_add(p, name);
	if (tensor_new(t, DT_F32, 2, (int64_t[]){ width, width }, &values, e) < 0)
		goto out;
	for (int64_t i = 0; i < width * width; i++)
		((float *)values)[i] = i % (width + 1) ? 0 : 1;
	if (tensor_convert(t, o->type, e) < 0)
		goto out;
	free(name);
	name = xasprintf("%slogit_scale", name_prefix(NAME_OPENCLIP));
	t = pile_add(p, name);
	if (tensor_new(t, DT_F32, 0, NULL, &values, e) < 0)
		goto out;
	*(float *)values = 1;
	ret = tensor_convert(t, o->type, e);
out:
	free(last);
	free(name);
	return ret;
}

/* "booth.config": the configurations as texts in one object. */
static void put_configs(struct buf *b, const struct checkpoint_out *o)
{
	buf_addc(b, '{');
	for (int p = 0; p < PART__COUNT; p++)
		if (o->part[p].n && o->part[p].config) {
			json_put_text(b, part_name(p));
			buf_addc(b, ':');
			json_put_text(b, o->part[p].config);
			buf_addc(b, ',');
		}
	json_put_text(b, "version");
	buf_adds(b, ":\"1\"");
	if (o->scheduler) {
		buf_adds(b, ",\"scheduler\":");
		json_put_text(b, o->scheduler);
	}
	buf_addc(b, '}');
}

static int unet_layout(struct name_layout *l, const struct json *config, struct err *e)
{
	const struct json *types = json_get(config, "down_block_types");

	l->levels = (int)json_count(json_get(config, "block_out_channels"));
	l->layers = (int)json_int(json_get(config, "layers_per_block"), 2);
	if (l->levels < 1 || l->levels > 16 || l->layers < 1 || (int)json_count(types) != l->levels)
		return fail(e,
			"the UNet's configuration has no usable block_out_channels, layers_per_block and down_block_types");
	for (int i = 0; i < l->levels; i++)
		if (!strcmp(json_text(json_at(types, (size_t)i), ""), "CrossAttnDownBlock2D"))
			l->attention |= 1u << i;
	return 0;
}

struct single {                 /* what decides the names */
	struct name_layout unet, vae;
	int openclip, layers;
	int64_t width;
};

static int single_facts(struct single *s, const struct checkpoint_out *o, struct err *e)
{
	struct json *doc[PART__COUNT] = { NULL };
	int ret = 0;

	for (int p = 0; !ret && p < PART__COUNT; p++)
		if (o->part[p].n)
			ret = !o->part[p].config ?
				      fail(e, "there is no configuration of the part '%s'",
					   part_name(p)) :
				      json_parse(&doc[p], o->part[p].config,
						 strlen(o->part[p].config), part_name(p), e);
	if (!ret && doc[PART_UNET])
		ret = unet_layout(&s->unet, doc[PART_UNET], e);
	s->vae.levels = (int)json_count(json_get(doc[PART_VAE], "block_out_channels"));
	s->openclip =
		doc[PART_UNET] ?
			json_bool(json_get(doc[PART_UNET], "use_linear_projection"), 0) :
			!strcmp(json_text(json_get(doc[PART_TEXT], "hidden_act"), ""), "gelu");
	s->layers = (int)json_int(json_get(doc[PART_TEXT], "num_hidden_layers"), 0);
	s->width = json_int(json_get(doc[PART_TEXT], "hidden_size"), 0);
	if (!ret && o->part[PART_TEXT].n && s->openclip &&
	    (s->layers < 1 || s->width < 1 || s->width > 65536))
		ret = fail(e,
			"the text encoder's configuration has no num_hidden_layers and hidden_size");
	for (int p = 0; p < PART__COUNT; p++)
		json_free(doc[p]);
	return ret;
}

static int pile_single(struct pile *pile, const struct single *s, const struct checkpoint_out *o,
		       struct err *e)
{
	static const enum name_family family[] = { NAME_UNET, NAME_VAE, NAME_TEXT };

	for (int p = 0; p < PART__COUNT; p++)
		for (size_t i = 0; i < o->part[p].n; i++) {
			const struct named *x = &o->part[p].at[i];
			if ((p == PART_TEXT && s->openclip ?
				     put_openclip(pile, o, x, e) :
				     put_plain(pile, o, family[p],
					       p == PART_VAE ? &s->vae : &s->unet, x, e)) < 0)
				return -1;
		}
	return s->openclip && o->part[PART_TEXT].n ? put_unused(pile, o, s->layers, s->width, e) :
						     0;
}

int checkpoint_write_single(const char *path, const struct checkpoint_out *o, struct err *e)
{
	static char key[] = "booth.config";
	struct buf configs = { 0 };
	struct pile pile = { 0 };
	struct single s = { 0 };
	int ret = -1;

	put_configs(&configs, o);
	if (single_facts(&s, o, e) < 0 || pile_single(&pile, &s, o, e) < 0)
		err_prefix(e, "cannot write '%s'", path);
	else
		ret = pile_write(path, &pile, o, key, configs.at, e);
	pile_release(&pile);
	buf_release(&configs);
	return ret;
}
