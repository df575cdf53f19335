#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/model/names.h"

static const char unet_part[] = "unet.", text_part[] = "text_encoder.";

/* ---- writing ---- */

int name_lora_is_attention(const char *module)
{
	static const char *const ends[] = {
		".to_q", ".to_k", ".to_v", ".to_out.0", ".q_proj", ".k_proj", ".v_proj", ".out_proj",
	};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (ends_with(module, ends[i]))
			return 1;
	return 0;
}

static void put_kohya(struct buf *out, const char *module)
{
	int text = starts_with(module, text_part);

	buf_adds(out, text ? "lora_te_" : "lora_unet_");
	for (const char *p = module + (text ? strlen(text_part) : strlen(unet_part)); *p; p++)
		buf_addc(out, *p == '.' ? '_' : *p);
}

void name_lora_key(struct buf *out, enum lora_dialect d, const char *module, enum lora_role role)
{
	static const char *const kohya[] = { ".lora_down.weight", ".lora_up.weight", ".alpha" };
	static const char *const unet[] = { ".lora.down.weight", ".lora.up.weight", ".alpha" };
	static const char *const text[] = { ".lora_linear_layer.down.weight",
					    ".lora_linear_layer.up.weight", ".alpha" };
	static const char *const peft[] = { ".lora_A.weight", ".lora_B.weight", ".alpha" };

	if (role == LORA_OTHER)
		BUG("no name for a role of '%s'", module);
	if (d == LORA_KOHYA)
		put_kohya(out, module);
	else
		buf_adds(out, module);
	if (d == LORA_KOHYA)
		buf_adds(out, kohya[role]);
	else if (d == LORA_PEFT)
		buf_adds(out, peft[role]);
	else
		buf_adds(out, (starts_with(module, text_part) ? text : unet)[role]);
}

/* ---- every module there can be ---- */

/* More than any model of the two families has; kohya's names stay unique. */
enum { LEVELS = 6, LAYERS = 6, DEPTH = 10, TEXT_LAYERS = 48 };

static void add(struct names *list, const char *block, const char *const *part, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *name = xasprintf("%s.%s", block, part[i]);
		names_add(list, name);
		free(name);
	}
}

static void add_layers(struct names *list, const char *block)
{
	static const char *const resnet[] = { "conv1", "conv2", "conv_shortcut", "time_emb_proj" };
	static const char *const around[] = { "proj_in", "proj_out" };
	static const char *const inner[] = {
		"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
		"attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2",
	};

	for (int j = 0; j < LAYERS; j++) {
		char *name = xasprintf("%s.resnets.%d", block, j);
		add(list, name, resnet, 4);
		free(name);
		name = xasprintf("%s.attentions.%d", block, j);
		add(list, name, around, 2);
		free(name);
		for (int k = 0; k < DEPTH; k++) {
			name = xasprintf("%s.attentions.%d.transformer_blocks.%d", block, j, k);
			add(list, name, inner, 10);
			free(name);
		}
	}
}

static void list_modules(struct names *list)
{
	static const char *const top[] = { "conv_in", "conv_out", "time_embedding.linear_1",
					   "time_embedding.linear_2" };
	static const char *const down[] = { "downsamplers.0.conv" }, *const up[] = {
		"upsamplers.0.conv"
	};
	static const char *const text[] = {
		"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2",
	};

	add(list, "unet", top, 4);
	add_layers(list, "unet.mid_block");
	for (int i = 0; i < LEVELS; i++) {
		char *name = xasprintf("unet.down_blocks.%d", i);
		add_layers(list, name);
		add(list, name, down, 1);
		free(name);
		name = xasprintf("unet.up_blocks.%d", i);
		add_layers(list, name);
		add(list, name, up, 1);
		free(name);
	}
	for (int i = 0; i < TEXT_LAYERS; i++) {
		char *name = xasprintf("text_encoder.text_model.encoder.layers.%d", i);
		add(list, name, text, 6);
		free(name);
	}
}

static int by_kohya(const void *a, const void *b)
{
	return strcmp(((const struct lora_pair *)a)->kohya, ((const struct lora_pair *)b)->kohya);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void lora_names_init(struct lora_names *l)
{
	memset(l, 0, sizeof *l);
	list_modules(&l->module);
	qsort(l->module.at, l->module.n, sizeof *l->module.at, by_text);
	l->pair = xcalloc(l->module.n, sizeof *l->pair);
	for (size_t i = 0; i < l->module.n; i++) {
		struct buf b = { 0 };
		put_kohya(&b, l->module.at[i]);
		l->pair[i].kohya = buf_detach(&b);
		l->pair[i].module = l->module.at[i];
	}
	qsort(l->pair, l->module.n, sizeof *l->pair, by_kohya);
}

void lora_names_release(struct lora_names *l)
{
	for (size_t i = 0; l->pair && i < l->module.n; i++)
		free(l->pair[i].kohya);
	free(l->pair);
	names_release(&l->module);
	memset(l, 0, sizeof *l);
}

/* ---- matching ---- */

struct suffix { const char *text; enum lora_role role; const char *instead; };

/* Longer ones first where one is the end of another. `instead` goes to the module's end. */
static const struct suffix suffixes[] = {
	{ ".processor.to_out_lora.down.weight", LORA_A, ".to_out.0" },
	{ ".processor.to_out_lora.up.weight", LORA_B, ".to_out.0" },
	{ ".processor.to_q_lora.down.weight", LORA_A, ".to_q" },
	{ ".processor.to_q_lora.up.weight", LORA_B, ".to_q" },
	{ ".processor.to_k_lora.down.weight", LORA_A, ".to_k" },
	{ ".processor.to_k_lora.up.weight", LORA_B, ".to_k" },
	{ ".processor.to_v_lora.down.weight", LORA_A, ".to_v" },
	{ ".processor.to_v_lora.up.weight", LORA_B, ".to_v" },
	{ ".to_out_lora.down.weight", LORA_A, ".out_proj" },
	{ ".to_out_lora.up.weight", LORA_B, ".out_proj" },
	{ ".to_q_lora.down.weight", LORA_A, ".q_proj" },
	{ ".to_q_lora.up.weight", LORA_B, ".q_proj" },
	{ ".to_k_lora.down.weight", LORA_A, ".k_proj" },
	{ ".to_k_lora.up.weight", LORA_B, ".k_proj" },
	{ ".to_v_lora.down.weight", LORA_A, ".v_proj" },
	{ ".to_v_lora.up.weight", LORA_B, ".v_proj" },
	{ ".lora_linear_layer.down.weight", LORA_A, "" },
	{ ".lora_linear_layer.up.weight", LORA_B, "" },
	{ ".lora_A.default.weight", LORA_A, "" },
	{ ".lora_B.default.weight", LORA_B, "" },
	{ ".lora_A.weight", LORA_A, "" },
	{ ".lora_B.weight", LORA_B, "" },
	{ ".lora_down.weight", LORA_A, "" },
	{ ".lora_up.weight", LORA_B, "" },
	{ ".lora.down.weight", LORA_A, "" },
	{ ".lora.up.weight", LORA_B, "" },
	{ ".alpha", LORA_ALPHA, "" },
	{ ".dora_scale", LORA_OTHER, "" },
	{ ".lora_magnitude_vector", LORA_OTHER, "" },
	{ ".lora_magnitude_vector.weight", LORA_OTHER, "" },
	{ ".lora_mid.weight", LORA_OTHER, "" },
	{ ".hada_w1_a", LORA_OTHER, "" }, { ".hada_w1_b", LORA_OTHER, "" },
	{ ".hada_w2_a", LORA_OTHER, "" }, { ".hada_w2_b", LORA_OTHER, "" },
	{ ".lokr_w1", LORA_OTHER, "" }, { ".lokr_w2", LORA_OTHER, "" },
	{ ".diff", LORA_OTHER, "" }, { ".diff_b", LORA_OTHER, "" },
};

static const struct suffix *suffix_of(const char *key)
{
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
		if (ends_with(key, suffixes[i].text))
			return &suffixes[i];
	return NULL;
}

static const char *skip(const char *s, const char *prefix)
{
	return starts_with(s, prefix) ? s + strlen(prefix) : s;
}

/* "unet.base_model.model.X", "text_encoder.encoder.X", "X", ... -> canonical. */
static char *canonical(const char *dotted)
{
	int text = starts_with(dotted, text_part), unet = starts_with(dotted, unet_part);
	const char *rest = skip(skip(skip(dotted, unet_part), text_part), "base_model.model.");

	if (!unet && (starts_with(rest, "text_model.") || starts_with(rest, "encoder.layers.")))
		text = 1;
	if (!text)
		return xasprintf("unet.%s", rest);
	return xasprintf("text_encoder.text_model.%s", skip(rest, "text_model."));
}

static const char *find_kohya(const struct lora_names *l, const char *stem)
{
	const char *te1 = "lora_te1_";
	struct lora_pair key = { NULL, NULL }, *found;
	/* diffusers' own export writes te1 for SD1 too */
	char *name = starts_with(stem, te1) ? xasprintf("lora_te_%s", stem + strlen(te1)) :
					      xstrdup(stem);

	key.kohya = name;
	found = bsearch(&key, l->pair, l->module.n, sizeof key, by_kohya);
	free(name);
	return found ? found->module : NULL;
}

int lora_names_match(const struct lora_names *l, const char *key, struct buf *module,
		     enum lora_role *role)
{
	const struct suffix *s = suffix_of(key);
	const char *found = NULL;
	char *stem, *name;

	if (!s)
		return 0;
	*role = s->role;
	stem = xstrndup(key, strlen(key) - strlen(s->text));
	if (starts_with(stem, "lora_")) {
		found = find_kohya(l, stem);
	} else {
		char *whole = xasprintf("%s%s", stem, s->instead), **at;
		name = canonical(whole);
		at = bsearch(&name, l->module.at, l->module.n, sizeof name, by_text);
		found = at ? *at : NULL;
		free(name);
		free(whole);
	}
	if (found)
		buf_adds(module, found);
	free(stem);
	return found != NULL;
}
