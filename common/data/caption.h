/*
 * What becomes of a caption at a training step, as kohya's process_caption does it, but as a
 * function of (seed, step, item): prefix and suffix, dropout, wildcards {a|b}, keep-tokens and its
 * separator, token warm-up, tag dropout, shuffle, secondary separator. Because it is a function,
 * the set of captions that a training will use is known beforehand (encode-text encodes just
 * those).
 */
#ifndef DATA_CAPTION_H
#define DATA_CAPTION_H

#include <stdint.h>
#include "common/base/buf.h"

struct caption_rules {          /* zeroed with separator "," = the caption unchanged (first line) */
	const char *prefix, *suffix;            /* NULL = none; joined with a blank */
	const char *separator;                  /* "," */
	const char *secondary_separator;        /* NULL = none */
	const char *keep_separator;             /* NULL or "" = none */
	int64_t keep_tokens;
	int wildcard, shuffle;
	double dropout, tag_dropout;            /* 0..1 */
	int64_t dropout_every_epochs;           /* 0 = never; epochs count from 1 */
	int64_t warmup_min;                     /* 1 */
	double warmup_steps;                    /* below 1: a fraction of all steps */
	int64_t total_steps;
};

/* The i-th draw in [0, 1) of one caption's processing; `state` is the caller's. */
typedef double caption_draw(void *state);

/*
 * Append the processed caption to `out`. Draws are taken in kohya's order (reference/kohya.md 2.4
 * and golden/make/table_captions.py), so a recorded sequence of draws reproduces its tables.
 */
void caption_apply(struct buf *out, const struct caption_rules *r, const char *caption,
		   int64_t step, int64_t epoch, caption_draw *draw, void *state);

/* The draws of (seed, step, item), purpose "caption". */
void caption_at(struct buf *out, const struct caption_rules *r, const char *caption,
		uint64_t seed, int64_t step, int64_t epoch, int64_t item);

/* Does the result depend on the step at all? If not, one encoding a caption is enough. */
int caption_varies(const struct caption_rules *r);

#endif
