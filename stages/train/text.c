#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "stages/train/train.h"

#define TEXTS_IN_MEMORY 2000

struct text_entry {
	char *caption;
	struct tensor hidden;   /* owned f32 */
};

void text_release(struct run *r)
{
	for (size_t i = 0; i < r->n_texts; i++) {
		free(r->texts[i].caption);
		tensor_release(&r->texts[i].hidden);
	}
	free(r->texts);
	r->texts = NULL;
	r->n_texts = r->cap_texts = 0;
}

/* Few captions are the rule; with many (shuffled tags) the list is emptied when it is full. */
const float *text_hidden(struct run *r, const char *caption, struct err *e)
{
	struct tensor t = { 0 };

	for (size_t i = 0; i < r->n_texts; i++)
		if (!strcmp(r->texts[i].caption, caption))
			return r->texts[i].hidden.at;
	if (r->n_texts == TEXTS_IN_MEMORY)
		text_release(r);
	if (hidden_get(&r->hidden, caption, &t, e) < 0)
		return NULL;
	if (tensor_to_f32(&t, e) < 0) {
		tensor_release(&t);
		return NULL;
	}
	r->texts = grow(r->texts, r->n_texts, &r->cap_texts, sizeof *r->texts);
	r->texts[r->n_texts] = (struct text_entry){ xstrdup(caption), t };
	return r->texts[r->n_texts++].hidden.at;
}

void text_caption(struct buf *out, const struct run *r, const struct item *it, int held, int64_t step,
		  int64_t epoch, int64_t place)
{
	if (held)
		buf_adds(out, it->caption);
	else
		caption_at(out, &r->rules, it->caption, (uint64_t)r->o->seed, step, epoch, place);
}

int text_is_first(const struct run *r)
{
	size_t all = r->items + r->n_held;

	return !is_vae(r) && !trainer_has_text(&r->t) && !caption_varies(&r->rules) && all <= TEXTS_IN_MEMORY &&
		(int64_t)all <= r->steps * r->o->batch * r->o->accumulate + (int64_t)r->n_held;
}

static int encode_one(struct run *r, const struct item *it, int held, struct err *e)
{
	struct buf caption = { 0 };
	int ret;

	text_caption(&caption, r, it, held, 0, 1, 0);
	ret = text_hidden(r, buf_str(&caption), e) ? 0 : -1;
	buf_release(&caption);
	return ret;
}

int text_encode(struct run *r, struct err *e)
{
	size_t all = r->items + r->n_held;

	for (size_t i = 0; i < all; i++) {
		int held = i >= r->items;

		if (stop_wanted())
			return fail(e, "stopped after %zu of %zu captions; the same command goes on from there", i, all);
		if (encode_one(r, held ? &r->held[i - r->items] : &r->item[i], held, e) < 0)
			return -1;
	}
	network_release(&r->line.net_text);
	return 0;
}

int text_ids(struct run *r, const char *caption, int32_t *out, struct err *e)
{
	if (r->config.chunks == 1)
		return tokenizer_row(r->line.tokenizer, caption, out, 77, e);
	return tokenizer_chunks(r->line.tokenizer, caption, out, (int)r->o->max_tokens, e);
}
