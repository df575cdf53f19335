/*
 * Pictures from a model, each an action of its own: what is known is taken from the store, the
 * others are drawn in batches. The stages 'sample' and 'gen-class' are this with different tables
 * around it.
 */
#ifndef STAGES_DRAW_H
#define STAGES_DRAW_H

#include "common/flow/stage.h"
#include "stages/shared/prompts.h"

#define DRAW_PIXELS (512 * 512)         /* of a batch, where --batch is not given */

struct draw_options {                   /* the same for all pictures */
	const char *model, *vae, *tokenizer, *device, *precision;
	struct opt_list lora, lora_weight;      /* files, and a weight for each (1
						 * where there is none) */
	double weight;                  /* of the LoRA in the main input */
	int ema;                        /* prefer averages in the main input */
	int64_t clip_skip, max_tokens;
	double eta;
	int64_t batch;                  /* 0: as many as DRAW_PIXELS holds, 16 at most */
	const char *const *params;      /* rows of the options above that the
					 * stage has: they enter the key */
};

struct wish {                           /* one picture */
	const struct prompt *prompt;
	int64_t number;
	char item[64];                  /* its name in errors and tables */
	/* Filled in: */
	struct ref image;               /* stage "" if it failed, which was told */
	int width, height;
	char sampler[64];               /* as web UIs call it */
};

/* Draw what is not known. -1: nothing could go on, or it was interrupted. */
int draw_all(struct job *j, const struct draw_options *o, struct wish *w, size_t n, struct err *e);

/* What options do not say: the tokenizer, if it is the installed one. For struct stage's key. */
int draw_key(struct job *j, const struct draw_options *o, struct action *a, struct err *e);

/* Are there as many weights as LoRAs, all numbers? For struct stage's check. */
int draw_check(const struct draw_options *o, struct err *e);

#endif
