/*
 * LoRA files. Inside, a LoRA is a list of modules by their canonical names ("unet.mid_block...to_q",
 * "text_encoder.text_model...q_proj"), each with
 *	A (down)  [rank][in] or [rank][in][h][w]
 *	B (up)    [out][rank] or [out][rank][1][1]
 *	alpha     the scale is alpha / rank
 * as W + alpha / rank * B A. Shapes stay as they are in the file: kohya writes 1x1 convolutions
 * with four sides, others with two; whoever binds them compares numbers of elements.
 *
 * Read are kohya's names, diffusers' (old attention processors, save_lora_weights, with and without
 * text_model.), PEFT's (adapter folders too), as .safetensors or pickle. A kind of adapter that is
 * more than this (DoRA, LoHa, LoKr), one for SDXL, half a pair, or a tensor that belongs to no
 * module is an error.
 */
#ifndef RUN_CHECKPOINT_LORA_H
#define RUN_CHECKPOINT_LORA_H

#include "kernels/model/names.h"
#include "kernels/run/checkpoint.h"

struct lora_module {
	char *module;           /* canonical */
	struct tensor a, b;     /* borrowed from the file unless they own */
	int64_t rank;
	float alpha;            /* rank where the file has none */
};

struct lora_file {
	struct lora_module *at; /* by name */
	size_t n;
	char **meta;            /* 2 * n_meta strings */
	size_t n_meta;
	struct checkpoint hold; /* keeps the file open */
};

/* A file, or a folder with pytorch_lora_weights.safetensors or adapter_model.safetensors. */
int lora_read(struct lora_file *l, const char *path, struct err *e);
void lora_close(struct lora_file *l);
const struct lora_module *lora_find(const struct lora_file *l, const char *module);

/*
 * Give both matrices as many sides as the weight of the module has: two for a linear layer, four
 * for a convolution. -1: they do not fit it (other channels, another filter).
 */
int lora_fit(struct lora_module *m, const struct tensor *weight, struct err *e);

/*
 * Write. LORA_KOHYA keeps alpha as a scalar for each module. The other two have no place for it
 * that every program reads, so B is multiplied by alpha / rank and the file's alpha is its rank;
 * LORA_DIFFUSERS (and only attention in the list) gives the names of save_lora_weights, anything
 * more LORA_PEFT's, because a file with both is not loaded. `type`: DT_F32, DT_F16, DT_BF16. One
 * step: there whole or not at all.
 */
int lora_write(const char *path, enum lora_dialect d, const struct lora_module *at, size_t n,
	       enum dtype type, char *const *meta, size_t n_meta, struct err *e);

#endif
