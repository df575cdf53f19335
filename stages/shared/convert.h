/*
 * Inside the stage convert: from a model as it is used (kernels/run/weights.h) to files that other
 * programs load. Whatever is written is written under another name beside its place, opened again,
 * compared with what was meant (every value, after rounding to the file's number type, bit for
 * bit), and only then put where the user wants it. So there is a whole, checked file or folder, or
 * what was there before.
 */
#ifndef STAGES_CONVERT_H
#define STAGES_CONVERT_H

#include "common/flow/stage.h"
#include "kernels/run/weights.h"

struct convert_options {
	const char *model, *vae, *tokenizer, *config, *variant, *prediction;
	int base_ema;                   /* the base model's averages */
	struct opt_list add;            /* tables */
	struct opt_list lora, lora_weight;      /* files, and a weight for each (1
						 * where there is none) */
	const char *from_lora;
	double weight;                  /* of a LoRA in the main input or
					 * --from-lora, when it is merged */
	int merge, ema;
	const char *to, *dtype, *out;
};

/* ---- convert.c's parts ---- */

enum convert_to { TO_DIFFUSERS, TO_SINGLE, TO_KOHYA, TO_PEFT, TO_DIFFUSERS_LORA };
enum convert_to convert_to_of_name(const char *name);
int convert_writes_lora(enum convert_to to);

/*
 * A whole model. `m` is open with its autoencoder taken;
 * `w` has the trained weights and LoRAs on top of it.
 */
int convert_model(struct job *j, const struct checkpoint *m, struct weights *w,
		  const char *tokenizer, struct err *e);

/* A LoRA: the only one of `w`. `m` may be NULL: then only the LoRA itself says what it fits. */
int convert_lora(struct job *j, const struct checkpoint *m, struct weights *w, struct err *e);

/* ---- the weights that a model's configurations call for (convert_expect.c) ---- */

struct expected {
	char *name;                     /* "unet.conv_in.weight" */
	enum part part;
	int rank;                       /* the shape in diffusers' files */
	int64_t side[TENSOR_RANK];
};

struct expectation {
	struct expected *at;            /* by name */
	size_t n;
};

int expectation_make(struct expectation *x, const struct checkpoint *m, struct err *e);
void expectation_release(struct expectation *x);
const struct expected *expectation_find(const struct expectation *x, const char *name);

/* ---- values (convert_values.c) ---- */

/* Finite, and still so in `type`? The sentence names the weight and the value. */
int values_fit(const char *name, const struct tensor *t, enum dtype type, struct err *e);
/* Is `got` what `want` is in `type`? Shape, type and every bit. */
int values_same(const char *name, const struct tensor *want, const struct tensor *got,
		enum dtype type, struct err *e);
/* The type that holds both: F32 unless they are the same. DT_NONE is nothing yet. */
enum dtype values_widest(enum dtype a, enum dtype b);

/* ---- metadata (convert_meta.c) ---- */

struct meta {                           /* pairs of key and value, owned */
	char **at;
	size_t n, cap;
};
/* a key that is there keeps its value */
void meta_add(struct meta *m, const char *key, const char *value);
void meta_release(struct meta *m);

/*
 * "booth.recipe": the text of this stage's action, then those that made its inputs, as far as the store knows
 * them, an empty line between two. No time and no path is in them: the same recipe gives the same
 * bytes. `training`, if not NULL, gets the text of the action that made the main input ("" if it is
 * not known).
 */
int meta_recipe(struct meta *m, struct job *j, struct buf *training, struct err *e);

/* What kohya's trainer writes and web UIs read: ss_network_dim, ss_base_model_version, ... */
void meta_kohya(struct meta *m, const struct checkpoint *model,
		const struct lora_module *at, size_t n, const char *training);
/* What a LoRA file said about itself, without what depends on its bytes or names. */
void meta_keep(struct meta *m, const struct lora_file *from);

/* SHA-256 of a safetensors file's data, which web UIs know a LoRA by ("sshs_model_hash"). */
int meta_data_hash(const char *path, char hex[65], struct err *e);

/* ---- files ---- */

/*
 * A name for a file in the same folder, which is made if it
 * is not there; NULL: it cannot be. The caller's to free.
 */
char *beside(const char *path, struct err *e);
/* The checked file goes to its place. */
int put_into_place(const char *made, const char *path, struct err *e);

#endif
