/*
 * The weights of a model as it is used: a checkpoint, with parts of it replaced by trained ones,
 * and LoRAs merged in. What the networks fetch from (kernels/run/network.h).
 *
 *	W' = W + sum over LoRAs of multiplier alpha / rank B A
 */
#ifndef RUN_WEIGHTS_H
#define RUN_WEIGHTS_H

#include "common/base/opt.h"
#include "common/data/store.h"
#include "kernels/run/checkpoint_lora.h"
#include "kernels/run/network.h"

struct lora_set {
	struct lora_module *at; /* sorted by module; tensors owned; rank
				 * is not used, alpha 0 means the rank */
	size_t n, cap;
	float multiplier;
};

struct weights {
	const struct checkpoint *base;  /* borrowed; may be NULL for parts that are all replaced */
	struct named *trained;          /* full names ("unet.conv_in.weight"), sorted; owned */
	size_t n_trained, cap_trained;
	struct lora_set *lora;
	size_t n_lora;
};

void weights_begin(struct weights *w, const struct checkpoint *base);
void weights_release(struct weights *w);

/*
 * A table of trained weights (item, tensor, alpha): replaces weights of the same name, or adds a
 * LoRA where items begin with "lora.". `ema`: take the averages ("ema.NAME" rows) where there are any.
 */
int weights_add_table(struct weights *w, struct stores *s, const struct ref *table,
		      float multiplier, int ema, struct err *e);
/* Several, by reference, in order; averages where there are any. */
int weights_add_tables(struct weights *w, struct stores *s, const struct opt_list *refs,
		       struct err *e);
/* Takes the set over. */
void weights_add_lora(struct weights *w, struct lora_set *set);
/* A LoRA file in any dialect. */
int weights_add_lora_file(struct weights *w, const char *path, float multiplier, struct err *e);

/* By full name, trained and merged; fails if nobody has it. For struct weight_source. */
int weights_get(void *weights, const char *name, struct tensor *out, struct err *e);

/* What was read of the checkpoint is no longer kept in memory. For struct weight_source. */
void weights_trim(void *weights);

/* Every module of every LoRA must belong to a weight of the model: else a failure that names it. */
int weights_check_loras(const struct weights *w, struct err *e);

/*
 * t += scale B A, t an owned f32 tensor in the files'
 * layout; a failure names shapes that do not fit.
 */
int lora_merge(struct tensor *t, const struct lora_module *l, float multiplier, struct err *e);

void lora_set_release(struct lora_set *s);
/* new, or the one there */
struct lora_module *lora_set_add(struct lora_set *s, const char *module);
/* after lora_set_sort */
const struct lora_module *lora_set_find(const struct lora_set *s, const char *module);
void lora_set_sort(struct lora_set *s);

#endif
