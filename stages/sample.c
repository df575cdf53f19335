/*
 * sample: pictures from prompts, with a model as it is or with what 'train' made of it. Each
 * picture is an action of its own. --out writes the picture, a sheet of several, or a folder of
 * them; what it wrote is compared with the store before the stage says that nothing is to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/device.h"
#include "kernels/run/precision.h"
#include "stages/shared/draw.h"
#include "stages/shared/sheet.h"

#define SAMPLE_VERSION 1
#define FILE_LIMIT ((size_t)1 << 30)

struct sample {
	struct draw_options draw;
	struct prompt otherwise;
	struct opt_list prompt, above;
	const char *prompts_file, *negative, *sampler, *out;
	int64_t count, seed, enlarge;
	struct prompts prompts;
};

/* ---- before the action ---- */

static int is_png(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcasecmp(path + n - 4, ".png");
}

static int into_folder(const struct sample *p)
{
	return ends_with(p->out, "/") || is_folder(p->out);
}

static int check(struct job *j, struct err *e)
{
	struct sample *p = j->params;

	if (!p->prompt.n && !p->prompts_file)
		return fail(e, "what to draw? --prompt TEXT or --prompts FILE");
	if (p->out && !into_folder(p) && !is_png(p->out))
		return fail(e, "--out is '%s', a name that ends with .png is wanted, or a folder ('%s/')", p->out, p->out);
	if (p->sampler && prompt_sampler(p->sampler, &p->otherwise.sampler, e) < 0)
		return err_prefix(e, "--sampler");
	p->otherwise.negative = (char *)p->negative;
	p->otherwise.seed = (uint64_t)p->seed;
	for (int i = 0; i < p->prompt.n; i++)
		if (prompts_add(&p->prompts, p->prompt.at[i], &p->otherwise, e) < 0)
			return err_prefix(e, "--prompt '%.80s'", p->prompt.at[i]);
	return draw_check(&p->draw, e);
}

static int key(struct job *j, struct action *a, struct err *e)
{
	struct sample *p = j->params;

	if (p->prompts_file && prompts_add_file(&p->prompts, p->prompts_file, &p->otherwise, e) < 0)
		return -1;
	return draw_key(j, &p->draw, a, e);
}

/* ---- files ---- */

/* Does a file hold exactly these bytes? 1, 0. */
static int holds(const char *path, const struct ref *r)
{
	struct buf b = { 0 };
	struct err e;
	struct oid id;
	int same = 0;

	if (is_file(path) && file_read(&b, path, FILE_LIMIT, &e) == 0) {
		oid_of(&id, KIND_IMAGE, b.at, b.len);
		same = oid_equal(&id, &r->id);
	}
	buf_release(&b);
	return same;
}

static int write_file(struct stores *s, const char *path, const struct ref *r, struct err *e)
{
	const char *base = path_base(path);
	char *folder = xstrndup(path, (size_t)(base - path));
	struct blob b = { 0 };
	int ret = -1;

	if (holds(path, r)) {
		ret = 0;
		goto out;
	}
	if ((*folder && make_folder(folder, e) < 0) || store_need(s, r, KIND_IMAGE, &b, e) < 0)
		goto out;
	ret = file_replace(path, b.at, b.len, e);
out:
	free(folder);
	blob_release(&b);
	return ret;
}

/* A sheet is wanted unless it would show one picture as it is. */
static int wants_sheet(const struct sample *p, const struct table *t)
{
	return t->rows != 1 || p->above.n || p->enlarge > 1;
}

static int lay_out(struct job *j, const struct table *t, struct sheet *s, struct err *e)
{
	const struct sample *p = j->params;
	size_t own;

	for (int i = 0; i < p->above.n; i++) {
		struct table above = { 0 };
		struct ref r;
		int ret = -1;

		if (ref_parse(j->stores, p->above.at[i], &r, e) == 0 &&
		    store_get_table(j->stores, &r, &above, e) == 0)
			ret = sheet_add(s, j->stores, &above, e);
		table_release(&above);
		if (ret < 0)
			return err_prefix(e, "--above %s", p->above.at[i]);
	}
	own = s->rows;
	if (sheet_add(s, j->stores, t, e) < 0)
		return -1;
	return sheet_arrange(s, own, t, p->enlarge, e);
}

/* The sheet as an object: 1 *out is there, 0 it is not drawn yet (never if `draw`), -1. */
static int sheet_object(struct job *j, const struct table *t, int draw, struct ref *out,
			struct err *e)
{
	struct sheet s = { 0 };
	struct action a = { 0 };
	struct result r = { 0 };
	struct buf png = { 0 };
	double start = clock_now();
	int found = -1;

	if (lay_out(j, t, &s, e) < 0)
		goto out;
	sheet_key(&s, j->stage->name, j->stage->version, &a);
	found = store_find(j->stores, &a, &r, e);
	if (found == 0 && draw) {
		found = -1;
		if (sheet_draw(&s, j->stores, &png, e) < 0 ||
		    store_put(j->stores, j->stage->name, KIND_IMAGE, png.at, png.len,
			      &r.out, e) < 0)
			goto out;
		r.seconds = clock_now() - start;
		found = store_record(j->stores, &a, &r, e) < 0 ? -1 : 1;
	}
	*out = r.out;
out:
	sheet_release(&s);
	action_release(&a);
	result_release(&r);
	buf_release(&png);
	return found;
}

static char *file_of(const struct sample *p, const struct table *t, size_t row)
{
	return into_folder(p) ? path_join(p->out, table_get(t, row, table_column(t, "item"))) :
		xstrdup(p->out);
}

/* What --out has to hold for row `row`: 1, 0 not drawn yet, -1. */
static int object_of(struct job *j, const struct table *t, size_t row, int draw, struct ref *out,
		     struct err *e)
{
	const struct sample *p = j->params;

	if (!into_folder(p) && wants_sheet(p, t))
		return sheet_object(j, t, draw, out, e);
	return ref_parse(j->stores, table_get(t, row, table_column(t, "image")), out, e) < 0 ? -1 : 1;
}

/* Rows after the first one name the same file, unless there is a file for each. */
static size_t files(const struct sample *p, const struct table *t)
{
	return into_folder(p) || !t->rows ? t->rows : 1;
}

static int write_all(struct job *j, struct table *t, struct err *e)
{
	const struct sample *p = j->params;
	int column = table_add_column(t, "file");
	struct ref r;

	for (size_t i = 0; i < files(p, t); i++) {
		char *path = file_of(p, t, i);
		int ret = object_of(j, t, i, 1, &r, e) < 0 ? -1 :
			write_file(j->stores, path, &r, e);

		free(path);
		if (ret < 0)
			return -1;
	}
	for (size_t i = 0; i < t->rows; i++) {
		char *path = file_of(p, t, i);

		table_set(t, i, column, path);
		free(path);
	}
	talk("written: %s", p->out);
	return 0;
}

/* Does the result name the files that --out asks for, and do they hold what it says? */
static int files_are(struct job *j, const struct table *t, struct err *e)
{
	const struct sample *p = j->params;
	int column = table_column(t, "file"), same = 1;
	struct ref r;

	if (!p->out)
		return column < 0;
	for (size_t i = 0; i < files(p, t) && same == 1; i++) {
		char *path = file_of(p, t, i);

		same = column >= 0 && !strcmp(path, table_get(t, i, column)) ?
			object_of(j, t, i, 0, &r, e) : 0;
		if (same == 1)
			same = holds(path, &r);
		free(path);
	}
	return same;
}

static int still(struct job *j, const struct ref *result, struct err *e)
{
	struct table t = { 0 };
	int same = store_get_table(j->stores, result, &t, e) < 0 ? -1 : files_are(j, &t, e);

	table_release(&t);
	return same;
}

/* ---- run ---- */

static void put_rows(struct table *out, const struct wish *w, size_t n)
{
	static const char *const columns[] = { "item", "image", "prompt", "negative", "seed", "number", "steps", "scale",
		"sampler", "width", "height" };
	char text[STAGE_NAME + 1 + OID_HEX];

	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		table_add_column(out, columns[i]);
	for (size_t i = 0; i < n; i++) {
		const struct prompt *p = w[i].prompt;
		size_t row;

		if (!w[i].image.stage[0])
			continue;
		row = table_add_row(out);
		table_set(out, row, table_column(out, "item"), w[i].item);
		table_set(out, row, table_column(out, "image"), ref_text(&w[i].image, text));
		table_set(out, row, table_column(out, "prompt"), p->text);
		table_set(out, row, table_column(out, "negative"), p->negative);
		table_setf(out, row, table_column(out, "seed"), "%llu",
			   (unsigned long long)(p->seed + (uint64_t)w[i].number));
		table_setf(out, row, table_column(out, "number"), "%lld", (long long)w[i].number);
		table_setf(out, row, table_column(out, "steps"), "%lld", (long long)p->steps);
		table_setf(out, row, table_column(out, "scale"), "%g", p->scale);
		table_set(out, row, table_column(out, "sampler"), w[i].sampler);
		table_setf(out, row, table_column(out, "width"), "%d", w[i].width);
		table_setf(out, row, table_column(out, "height"), "%d", w[i].height);
	}
}

static struct wish *make_wishes(const struct sample *p, size_t *n)
{
	size_t each = (size_t)p->count;
	struct wish *w;

	*n = p->prompts.n * each;
	w = xcalloc(*n, sizeof *w);
	for (size_t i = 0; i < *n; i++) {
		w[i] = (struct wish){ .prompt = &p->prompts.at[i / each],
				      .number = (int64_t)(i % each) };
		snprintf(w[i].item, sizeof w[i].item, "%02zu-%03zu.png", i / each, i % each);
	}
	return w;
}

static int run(struct job *j, struct table *out, struct err *e)
{
	struct sample *p = j->params;
	size_t n;
	struct wish *w = make_wishes(p, &n);
	int ret = draw_all(j, &p->draw, w, n, e);

	if (ret == 0 && j->failed == n)
		ret = fail(e, "none of %zu pictures could be drawn", n);
	if (ret == 0)
		put_rows(out, w, n);
	if (ret == 0 && p->out && (!j->failed || j->keep_going))
		ret = write_all(j, out, e);
	free(w);
	return ret;
}

int main(int argc, char **argv)
{
	static const char *const params[] = { "model", "vae", "tokenizer", "lora", "lora-weight", "weight", "ema",
		"clip-skip", "max-tokens", "eta", "precision", NULL };
	struct sample p = {
		.draw = { .weight = 1, .ema = 1, .clip_skip = 1, .max_tokens = 75,
			  .precision = "f32", .params = params },
		.otherwise = { .steps = 30, .scale = 7.5 }, .negative = "", .count = 1,
		.enlarge = 1,
	};
	const struct opt opts[] = {
		{ "model", OPT_PATH, &p.draw.model, "", "the base model: a diffusers folder or a single file", .required = 1 },
		{ "vae", OPT_PATH, &p.draw.vae, "", "another autoencoder" },
		{ "tokenizer", OPT_PATH, &p.draw.tokenizer, "", "folder with vocab.json and merges.txt, if the model has none" },
		{ "lora", OPT_PATHS, &p.draw.lora, "", "a LoRA file of any kind, added to the model" },
		{ "lora-weight", OPT_LIST, &p.draw.lora_weight, "", "of the --lora at the same place; 1 where there is none" },
		{ "weight", OPT_FLOAT, &p.draw.weight, "", "of the LoRA in the table from train", .min = -100, .max = 100 },
		{ "ema", OPT_FLAG, &p.draw.ema, "", "take the averages of the table from train, if it has any" },
		{ "prompt", OPT_LIST, &p.prompt, "", "what to draw; suffixes --n --w --h --d --l --s --ss as in a file of prompts" },
		{ "prompts", OPT_PATH, &p.prompts_file, "", "a file with one prompt a line" },
		{ "negative", OPT_TEXT, &p.negative, "", "what should not be in the pictures" },
		{ "scale", OPT_FLOAT, &p.otherwise.scale, "", "guidance; 1 and below: none", .min = 0, .max = 1000 },
		{ "steps", OPT_INT, &p.otherwise.steps, "steps", "of the sampler", .min = 1, .max = 1000 },
		{ "sampler", OPT_TEXT, &p.sampler, "", "such as \"DPM++ 2M Karras\", ddim, euler_a; else the model's own" },
		{ "eta", OPT_FLOAT, &p.draw.eta, "", "DDIM's share of new noise", .min = 0, .max = 1 },
		{ "width", OPT_INT, &p.otherwise.width, "pixels", "0: what the model was made for", .min = 0, .max = 16384 },
		{ "height", OPT_INT, &p.otherwise.height, "pixels", "0: what the model was made for", .min = 0, .max = 16384 },
		{ "count", OPT_INT, &p.count, "pictures", "of each prompt", .min = 1, .max = 100000 },
		{ "seed", OPT_INT, &p.seed, "", "of a prompt's picture 0; picture N has seed + N", .min = 0, .max = 9e15 },
		{ "clip-skip", OPT_INT, &p.draw.clip_skip, "layers", "1: the text encoder's last layer, 2: the one before", .min = 1, .max = 32 },
		{ "max-tokens", OPT_INT, &p.draw.max_tokens, "tokens", "75, 150 or 225", .min = 75, .max = 225 },
		{ "above", OPT_REFS, &p.above, "", "a table with pictures that become the sheet's first rows" },
		{ "enlarge", OPT_INT, &p.enlarge, "times", "the pictures on the sheet, for tiny ones", .min = 1, .max = 64 },
		{ "out", OPT_PATH, &p.out, "", "FILE.png: the picture, or a sheet of several; FOLDER/: a file for each", .quiet = 1 },
		{ "batch", OPT_INT, &p.draw.batch, "pictures", "that go from step to step together; 0: by their size", .min = 0, .max = 64, .quiet = 1 },
		PRECISION_ROW(&p.draw.precision),
		DEVICE_ROW(&p.draw.device),
		{ 0 }
	};
	const struct stage stage = {
		.name = "sample", .version = SAMPLE_VERSION, .input = INPUT_TABLE_OPTIONAL,
		.run = run, .check = check, .key = key, .still = still,
		.about = "draw pictures from prompts, with a model or with what was trained",
	};
	int code = stage_main(argc, argv, &stage, opts, &p);

	prompts_release(&p.prompts);
	return code;
}
