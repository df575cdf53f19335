#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/shared/convert.h"

/* of an action with a line for every item: only its options are kept */
#define LONG_TEXT 4096
#define MOST_ACTIONS 32

void meta_add(struct meta *m, const char *key, const char *value)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->at[2 * i], key))
			return;
	m->at = grow(m->at, m->n, &m->cap, 2 * sizeof *m->at);
	m->at[2 * m->n] = xstrdup(key);
	m->at[2 * m->n + 1] = xstrdup(value);
	m->n++;
}

void meta_release(struct meta *m)
{
	for (size_t i = 0; i < 2 * m->n; i++)
		free(m->at[i]);
	free(m->at);
	*m = (struct meta){ 0 };
}

/* ---- the recipe ---- */

struct producer {               /* an action, and what came out of it */
	char *text;
	struct oid out;
};

struct producers {
	struct producer *at;
	size_t n, cap;
};

/* Of a stage as a whole, or weights kept on the way of a training. */
static int note_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct producers *all = data;
	const char *second = strchr(text, '\n');

	(void)key;
	if (second && !starts_with(second, "\nstage\n") && !strstr(second, "\nparam weights "))
		return 0;
	all->at = grow(all->at, all->n, &all->cap, sizeof *all->at);
	all->at[all->n++] = (struct producer){ xstrdup(text), r->out.id };
	return 0;
}

static int find_producers(struct producers *all, struct stores *s, struct err *e)
{
	int ret = 0;

	for (; s && ret == 0; s = stores_second(s)) {
		struct names list = { 0 };

		ret = stores_list(s, &list, e);
		for (size_t i = 0; ret == 0 && i < list.n; i++)
			if (store_actions(s, list.at[i], note_action, all, e) < 0)
				ret = -1;
		names_release(&list);
	}
	return ret;
}

/*
 * Of several that made the same, the first by its text, so that the order of runs changes nothing.
 */
static const char *producer_of(const struct producers *all, const struct oid *what)
{
	const char *best = NULL;

	for (size_t i = 0; i < all->n; i++)
		if (oid_equal(&all->at[i].out, what) &&
		    (!best || strcmp(all->at[i].text, best) < 0))
			best = all->at[i].text;
	return best;
}

/* One action's text; of a long one without the lines of its items. */
static void add_text(struct buf *b, const char *text)
{
	int is_long = strlen(text) > LONG_TEXT;

	if (b->len)
		buf_addc(b, '\n');
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");

		if (!is_long || !starts_with(p, "input "))
			buf_addf(b, "%.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

struct chain {                  /* texts to be written, each once */
	const char *text[MOST_ACTIONS];
	size_t n;
};

static void chain_add(struct chain *c, const char *text)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->text[i] == text)
			return;
	if (text && c->n < MOST_ACTIONS)
		c->text[c->n++] = text;
}

/* What made the inputs named in a text: lines "input NAME HEX". */
static void chain_follow(struct chain *c, const struct producers *all, const char *text)
{
	for (const char *p = strstr(text, "\ninput "); p; p = strstr(p + 1, "\ninput ")) {
		const char *hex = strchr(p + strlen("\ninput "), ' ');
		char digits[OID_HEX + 1] = "";
		struct oid id;

		if (hex)
			snprintf(digits, sizeof digits, "%s", hex + 1);
		if (oid_parse(&id, digits) == 0)
			chain_add(c, producer_of(all, &id));
	}
}

int meta_recipe(struct meta *m, struct job *j, struct buf *training, struct err *e)
{
	struct producers all = { 0 };
	struct chain c = { 0 };
	struct buf b = { 0 };
	const char *made;
	int ret = find_producers(&all, j->stores, e);

	if (ret == 0) {
		made = j->in_ref.stage[0] ? producer_of(&all, &j->in_ref.id) : NULL;
		if (training && made)
			buf_adds(training, made);
		chain_add(&c, buf_str(&j->action.text));
		for (size_t i = 0; i < c.n; i++) {
			add_text(&b, c.text[i]);
			if (strlen(c.text[i]) <= LONG_TEXT)
				chain_follow(&c, &all, c.text[i]);
		}
		meta_add(m, "booth.recipe", buf_str(&b));
	}
	buf_release(&b);
	for (size_t i = 0; i < all.n; i++)
		free(all.at[i].text);
	free(all.at);
	return ret;
}

/* ---- kohya's ---- */

void meta_keep(struct meta *m, const struct lora_file *from)
{
	for (size_t i = 0; i < from->n_meta; i++) {
		const char *key = from->meta[2 * i];

		if ((starts_with(key, "ss_") && !starts_with(key, "ss_network_")) ||
		    (starts_with(key, "modelspec.") && strcmp(key, "modelspec.hash_sha256")))
			meta_add(m, key, from->meta[2 * i + 1]);
	}
}

/* The value of an option in an action's text, into out; 0: it has none. */
static int option_of(const char *text, const char *option, char *out, size_t size)
{
	char *line = xasprintf("\nparam %s ", option);
	const char *p = strstr(text, line);

	if (p)
		snprintf(out, size, "%.*s", (int)strcspn(p + strlen(line), "\n"), p + strlen(line));
	free(line);
	return p != NULL;
}

static void add_training(struct meta *m, const char *text)
{
	static const struct { const char *option, *key; } same[] = {
		{ "steps", "ss_steps" }, { "steps", "ss_max_train_steps" }, { "seed", "ss_seed" },
		{ "lr", "ss_learning_rate" }, { "lr", "ss_unet_lr" }, { "schedule", "ss_lr_scheduler" },
		{ "accumulate", "ss_gradient_accumulation_steps" }, { "clip", "ss_max_grad_norm" },
		{ "clip-skip", "ss_clip_skip" }, { "noise-offset", "ss_noise_offset" },
		{ "min-snr", "ss_min_snr_gamma" }, { "prior-weight", "ss_prior_loss_weight" },
		{ "lora-dropout", "ss_network_dropout" }, { "caption-dropout", "ss_caption_dropout_rate" },
		{ "batch", "ss_batch_size_per_device" },
	};
	char value[128];

	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		if (option_of(text, same[i].option, value, sizeof value))
			meta_add(m, same[i].key, value);
	/* f32 and, in f32's place, tf32 are kohya's "no", which was not written before there was a choice */
	if (option_of(text, "precision", value, sizeof value) && strcmp(value, "tf32"))
		meta_add(m, "ss_mixed_precision", value);
	if (starts_with(text, "stage train "))
		meta_add(m, "ss_optimizer", "AdamW");
}

static int has_filter(const struct lora_module *m)
{
	return m->a.rank == 4 && m->a.side[2] * m->a.side[3] > 1;
}

/* As Python prints a float. */
static void float_text(char out[32], float v)
{
	snprintf(out, 32, "%.9g", (double)v);
	if (!strpbrk(out, ".en"))
		strcat(out, ".0");
}

/* "16" and "8.0", or "Dynamic" (kohya's word) where modules differ; 0: no module of the kind. */
static int rank_and_alpha(const struct lora_module *at, size_t n, int filter, char rank[32],
			  char alpha[32])
{
	const struct lora_module *first = NULL;

	for (size_t i = 0; i < n; i++) {
		if (has_filter(&at[i]) != filter)
			continue;
		if (!first) {
			first = &at[i];
			snprintf(rank, 32, "%lld", (long long)first->rank);
			float_text(alpha, first->alpha);
		}
		if (at[i].rank != first->rank)
			strcpy(rank, "Dynamic");
		if (at[i].alpha != first->alpha)
			strcpy(alpha, "Dynamic");
	}
	return first != NULL;
}

static void add_network(struct meta *m, const struct lora_module *at, size_t n)
{
	char rank[32] = "", alpha[32] = "", conv_rank[32], conv_alpha[32];
	struct buf args = { 0 };

	meta_add(m, "ss_network_module", "networks.lora");
	if (rank_and_alpha(at, n, 1, conv_rank, conv_alpha))
		buf_addf(&args, "{\"conv_dim\": \"%s\", \"conv_alpha\": \"%s\"}", conv_rank, conv_alpha);
	if (!rank_and_alpha(at, n, 0, rank, alpha)) {
		memcpy(rank, conv_rank, sizeof rank);
		memcpy(alpha, conv_alpha, sizeof alpha);
	}
	meta_add(m, "ss_network_dim", rank);
	meta_add(m, "ss_network_alpha", alpha);
	meta_add(m, "ss_network_args", args.len ? buf_str(&args) : "None");
	buf_release(&args);
}

/* SD 1's text encoder is 768 wide, SD 2's 1024; 0: not to be seen, or a model of another size. */
static int version_by_width(const struct lora_module *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t width = at[i].a.rank > 1 ? at[i].a.side[1] : 0;

		if ((strstr(at[i].module, ".attn2.to_k") || strstr(at[i].module, ".self_attn.q_proj")) &&
		    (width == 768 || width == 1024))
			return width == 768 ? 1 : 2;
	}
	return 0;
}

static void add_version(struct meta *m, const struct checkpoint *model,
			const struct lora_module *at, size_t n)
{
	int version = model ? (model->family == FAMILY_SD2 ? 2 : 1) :
		version_by_width(at, n), v = 0;
	char text[16];

	if (model)
		v = !strcmp(json_text(json_get(model->scheduler, "prediction_type"), ""), "v_prediction");
	if (!version)
		return;
	snprintf(text, sizeof text, "sd_v%d%s", version, v ? "_v" : "");
	meta_add(m, "ss_base_model_version", text);
	meta_add(m, "ss_v2", version == 2 ? "True" : "False");
}

void meta_kohya(struct meta *m, const struct checkpoint *model,
		const struct lora_module *at, size_t n, const char *training)
{
	add_network(m, at, n);
	add_version(m, model, at, n);
	add_training(m, training);
}
