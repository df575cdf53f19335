/*
 * gen-class: pictures of the class as the base model knows it, for prior preservation. Each is an
 * action of its own, so 300 after 200 are 100. The table has the columns of prep's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/device.h"
#include "kernels/run/precision.h"
#include "stages/shared/draw.h"

struct gen_class {
	struct draw_options draw;
	struct prompt prompt;           /* the text is borrowed from the command line */
	const char *text, *negative, *sampler, *concept;
	int64_t count, seed;
};

static int check(struct job *j, struct err *e)
{
	struct gen_class *p = j->params;

	if (p->sampler && prompt_sampler(p->sampler, &p->prompt.sampler, e) < 0)
		return err_prefix(e, "--sampler");
	if (!*p->text)
		return fail(e, "--prompt is empty, the class is wanted: --prompt \"a photo of dog\"");
	return draw_check(&p->draw, e);
}

static int key(struct job *j, struct action *a, struct err *e)
{
	const struct gen_class *p = j->params;

	return draw_key(j, &p->draw, a, e);
}

static void put_rows(struct table *out, const struct gen_class *p, const struct wish *w, size_t n)
{
	static const char *const columns[] = { "item", "image", "width", "height", "verdict", "reason", "concept",
		"repeats", "class", "caption" };
	char text[STAGE_NAME + 1 + OID_HEX];

	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		table_add_column(out, columns[i]);
	for (size_t i = 0; i < n; i++) {
		size_t row;

		if (!w[i].image.stage[0])
			continue;
		row = table_add_row(out);
		table_set(out, row, table_column(out, "item"), w[i].item);
		table_set(out, row, table_column(out, "image"), ref_text(&w[i].image, text));
		table_setf(out, row, table_column(out, "width"), "%d", w[i].width);
		table_setf(out, row, table_column(out, "height"), "%d", w[i].height);
		table_set(out, row, table_column(out, "verdict"), "accepted");
		table_set(out, row, table_column(out, "concept"), p->concept);
		table_set(out, row, table_column(out, "repeats"), "1");
		table_set(out, row, table_column(out, "class"), "1");
		table_set(out, row, table_column(out, "caption"), p->text);
	}
}

static int run(struct job *j, struct table *out, struct err *e)
{
	struct gen_class *p = j->params;
	size_t n = (size_t)p->count;
	struct wish *w = xcalloc(n, sizeof *w);
	int ret;

	p->prompt.text = xstrdup(p->text);
	p->prompt.negative = xstrdup(p->negative);
	p->prompt.seed = (uint64_t)p->seed;
	for (size_t i = 0; i < n; i++) {
		w[i] = (struct wish){ .prompt = &p->prompt, .number = (int64_t)i };
		snprintf(w[i].item, sizeof w[i].item, "class/%03zu.png", i);
	}
	ret = draw_all(j, &p->draw, w, n, e);
	if (ret == 0 && j->failed == n)
		ret = fail(e, "none of %zu pictures could be drawn", n);
	if (ret == 0)
		put_rows(out, p, w, n);
	free(p->prompt.text);
	free(p->prompt.negative);
	free(w);
	return ret;
}

int main(int argc, char **argv)
{
	static const char *const params[] = { "model", "vae", "tokenizer", "clip-skip", "max-tokens", "precision", NULL };
	struct gen_class p = {
		.draw = { .weight = 1, .ema = 1, .clip_skip = 1, .max_tokens = 75,
			  .precision = "f32", .params = params },
		.prompt = { .steps = 30, .scale = 7.5 }, .negative = "", .concept = "",
		.count = 200,
	};
	const struct opt opts[] = {
		{ "model", OPT_PATH, &p.draw.model, "", "the base model: a diffusers folder or a single file", .required = 1 },
		{ "vae", OPT_PATH, &p.draw.vae, "", "another autoencoder" },
		{ "tokenizer", OPT_PATH, &p.draw.tokenizer, "", "folder with vocab.json and merges.txt, if the model has none" },
		{ "prompt", OPT_TEXT, &p.text, "", "the class, as in \"a photo of dog\"; it becomes the caption", .required = 1 },
		{ "count", OPT_INT, &p.count, "pictures", "how many there are in the end", .min = 1, .max = 100000 },
		{ "negative", OPT_TEXT, &p.negative, "", "what should not be in the pictures" },
		{ "steps", OPT_INT, &p.prompt.steps, "steps", "of the sampler", .min = 1, .max = 1000 },
		{ "scale", OPT_FLOAT, &p.prompt.scale, "", "guidance; 1 and below: none", .min = 0, .max = 1000 },
		{ "sampler", OPT_TEXT, &p.sampler, "", "such as \"DPM++ 2M Karras\", ddim, euler_a; else the model's own" },
		{ "seed", OPT_INT, &p.seed, "", "of picture 0; picture N has seed + N", .min = 0, .max = 9e15 },
		{ "width", OPT_INT, &p.prompt.width, "pixels", "0: what the model was made for", .min = 0, .max = 16384 },
		{ "height", OPT_INT, &p.prompt.height, "pixels", "0: what the model was made for", .min = 0, .max = 16384 },
		{ "clip-skip", OPT_INT, &p.draw.clip_skip, "layers", "1: the text encoder's last layer, 2: the one before", .min = 1, .max = 32 },
		{ "max-tokens", OPT_INT, &p.draw.max_tokens, "tokens", "75, 150 or 225", .min = 75, .max = 225 },
		{ "concept", OPT_TEXT, &p.concept, "", "of several: which subject the class belongs to" },
		{ "batch", OPT_INT, &p.draw.batch, "pictures", "that go from step to step together; 0: by their size", .min = 0, .max = 64, .quiet = 1 },
		PRECISION_ROW(&p.draw.precision),
		DEVICE_ROW(&p.draw.device),
		{ 0 }
	};
	const struct stage stage = {
		.name = "gen-class", .version = 1, .input = INPUT_NONE, .run = run,
		.check = check, .key = key,
		.about = "draw pictures of a class with the base model, for prior preservation",
	};

	return stage_main(argc, argv, &stage, opts, &p);
}
