/*
 * encode-text: the text encoder's hidden states for each caption of a table (column hidden). Every
 * caption once, whatever the number of rows that carry it.
 */
#include <stdio.h>
#include <string.h>

#include "common/flow/stage.h"
#include "kernels/run/device.h"
#include "kernels/run/precision.h"
#include "stages/shared/hidden.h"

struct encode_text {
	const char *model, *tokenizer, *device, *precision;
	int64_t clip_skip, max_tokens;
};

static int encode_rows(struct job *j, struct table *out, struct hidden *h, struct err *e)
{
	int caption = table_column(out, "caption"), item = table_column(out, "item");
	int to = table_add_column(out, "hidden");
	struct progress bar;

	progress_begin(&bar, j->stage->name, "captions", (int64_t)out->rows);
	for (size_t i = 0; i < out->rows; i++) {
		char text[STAGE_NAME + 1 + OID_HEX];
		struct ref r;
		int cut;

		if (stop_wanted())
			return fail(e, "stopped after %zu of %zu captions; the same command goes on from there", i, out->rows);
		if (hidden_ref(h, table_get(out, i, caption), &r, &cut, e) < 0)
			return -1;
		if (cut)
			talk("'%s': %d tokens of the caption do not fit into %lld", table_get(out, i, item), cut,
			     (long long)h->max_tokens);
		table_set(out, i, to, ref_text(&r, text));
		progress_at(&bar, (int64_t)i + 1, NULL);
	}
	progress_end(&bar);
	talk("%lld captions encoded, %lld known", (long long)h->computed, (long long)h->found);
	return 0;
}

static int run(struct job *j, struct table *out, struct err *e)
{
	struct encode_text *p = j->params;
	struct pipeline_options lo = { .model = p->model, .tokenizer = p->tokenizer,
				       .threads = j->threads, .device = p->device,
				       .precision = p->precision };
	struct pipeline line = { 0 };
	struct hidden h;
	int ret = -1;

	if (table_need(&j->in, "caption", j->stage->name, e) < 0)
		return -1;
	table_copy(out, &j->in);
	if (pipeline_open(&line, &lo, e) < 0 ||
	    hidden_begin(&h, j->stores, &line, p->model, p->clip_skip, p->max_tokens, e) < 0)
		goto out;
	ret = encode_rows(j, out, &h, e);
out:
	pipeline_close(&line);
	return ret;
}

static int check(struct job *j, struct err *e)
{
	const struct encode_text *p = j->params;

	return device_check(p->device, e);
}

int main(int argc, char **argv)
{
	struct encode_text p = { .clip_skip = 1, .max_tokens = 75, .precision = "f32" };
	const struct opt opts[] = {
		{ "model", OPT_PATH, &p.model, "", "the model: a diffusers folder or a single file", .required = 1 },
		{ "tokenizer", OPT_PATH, &p.tokenizer, "", "folder with vocab.json and merges.txt, if the model has none" },
		{ "clip-skip", OPT_INT, &p.clip_skip, "layers", "1: the last layer's states, 2: of the one before", .min = 1, .max = 32 },
		{ "max-tokens", OPT_INT, &p.max_tokens, "tokens", "75, 150 or 225 (in chunks of 75, as kohya does)", .min = 75, .max = 225 },
		PRECISION_ROW(&p.precision),
		DEVICE_ROW(&p.device),
		{ 0 }
	};
	const struct stage stage = {
		.name = "encode-text", .version = ENCODE_TEXT_VERSION, .input = INPUT_TABLE, .run = run,
		.check = check,
		.about = "compute the text encoder's hidden states for each caption",
	};

	return stage_main(argc, argv, &stage, opts, &p);
}
