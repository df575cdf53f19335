/*
 * Hidden states of captions through the store: computed once for a (model, tokenizer, caption, clip
 * skip, length, precision), kept as item actions of encode-text whichever stage asked first.
 */
#ifndef STAGES_HIDDEN_H
#define STAGES_HIDDEN_H

#include "common/data/store.h"
#include "kernels/run/pipeline.h"

#define ENCODE_TEXT_VERSION 1

struct hidden {
	struct stores *stores;
	struct pipeline *p;
	struct oid model, tokenizer;    /* their content */
	int64_t clip_skip, max_tokens;
	int64_t computed, found;        /* so far */
};

/* model_path as the user gave it; the pipeline is open. */
int hidden_begin(struct hidden *h, struct stores *s, struct pipeline *p, const char *model_path,
		 int64_t clip_skip, int64_t max_tokens, struct err *e);

/*
 * The hidden states' reference; an f32 tensor
 * [tokens][width]. *cut as pipeline_text's (0 when found).
 */
int hidden_ref(struct hidden *h, const char *caption, struct ref *out, int *cut, struct err *e);
int hidden_get(struct hidden *h, const char *caption, struct tensor *out, struct err *e);

#endif
