/*
 * A model as its users have it: a diffusers directory, or a single file in the original layout of
 * Stable Diffusion 1 and 2 (.safetensors, .ckpt). Opening one gives, for each part, its weights
 * by their canonical names (diffusers'; text encoder with the level "text_model."), in the shapes
 * that diffusers gives them, and its configuration as diffusers writes it. Nothing is copied:
 * tensors borrow from the mapped files until checkpoint_close.
 *
 * Read are
 *   - folders with model_index.json or unet/: weights as .safetensors or .bin, whole or in shards
 *     (*.index.json), with a variant (.fp16.) if asked for or if there is no other;
 *   - single files, known by names and shapes. Their configuration is derived from the shapes,
 *     unless the file was written by us and carries it ("booth.config" in its metadata) or a folder with
 *     configurations is given.
 * Refused with a sentence that says what it is: SDXL, refiner, DeepFloyd IF, inpainting and depth
 * models, LoRA files, anything unknown. What single files carry beside the weights (EMA, schedules)
 * is passed over; every other unknown tensor is an error that names it. Whether all weights are
 * there, of the right shape and finite is the engine's question when it binds them.
 */
#ifndef RUN_CHECKPOINT_H
#define RUN_CHECKPOINT_H

#include "common/data/json.h"
#include "common/data/safetensors.h"
#include "kernels/model/part.h"


enum family { FAMILY_SD1, FAMILY_SD2 };

/* "unet", "vae", "text_encoder": the folder's name, and what weights' names begin with in the engine. */
const char *part_name(enum part p);

struct part_weights {
	struct named *at;       /* by name; n == 0: the file has no such part */
	size_t n;
	struct json *config;    /* diffusers' config.json, parsed; NULL without the part */
	char *config_text;      /* and as text */
};

struct checkpoint {
	char *path;
	enum family family;
	int single;             /* from a single file */
	struct part_weights part[PART__COUNT];
	struct json *scheduler; /* scheduler_config.json; the family's default for single files */
	char *scheduler_text;
	char *tokenizer;        /* folder, or NULL: single files have none */
	char **meta;            /* of a .safetensors single file: 2 * n_meta strings */
	size_t n_meta;
	struct checkpoint_file *file;   /* open files */
	size_t n_file, cap_file;
};

struct checkpoint_options {     /* zeroed = nothing special */
	int ema;                /* take the UNet's EMA weights; an error if there are none */
	const char *variant;    /* of a folder: "fp16", "non_ema" */
	const char *config;     /* for single files: a folder as diffusers',
				 * whose configurations are taken */
	int configs_only;       /* of a folder: parts may have a config.json
				 * and no weights (training from nothing) */
	const char *prediction; /* "epsilon" or "v_prediction": for single files of SD2, which do not say */
};

/* `o` may be NULL. */
int checkpoint_open(struct checkpoint *c, const char *path, const struct checkpoint_options *o,
		    struct err *e);
void checkpoint_close(struct checkpoint *c);            /* {0} and twice are fine */

/*
 * Put another autoencoder in: a folder with its config.json, a whole model of either form, or a
 * stand-alone VAE file. Needed where the checkpoint has none.
 */
int checkpoint_take_vae(struct checkpoint *c, const char *path, struct err *e);

/* map_trim of all its files; others may read them meanwhile. */
void checkpoint_trim(const struct checkpoint *c);

/* The tensor of that canonical name, or NULL. */
const struct tensor *checkpoint_find(const struct checkpoint *c, enum part p, const char *name);

/* Every file that was opened for it, as paths: what a content hash of the model must cover. */
void checkpoint_files(const struct checkpoint *c, struct names *out);

/* ---- writing ---- */

struct checkpoint_out {
	struct {
		const struct named *at; /* canonical names; values are converted to `type` */
		size_t n;               /* 0: no such part */
		const char *config;     /* config.json's text */
	} part[PART__COUNT];
	const char *scheduler;          /* scheduler_config.json's text */
	const char *tokenizer;          /* folder whose files are copied (diffusers only) */
	enum dtype type;                /* DT_F32, DT_F16 or DT_BF16 */
	char *const *meta;              /* 2 * n_meta strings, into the
					 * metadata of every weights file */
	size_t n_meta;
	/*
	 * Optional: looks at the finished folder before it
	 * takes its place; -1: it is not to (diffusers only).
	 */
	int (*verify)(void *data, const char *written, struct err *e);
	void *verify_data;
};

/* Everything of an open checkpoint, to be changed where it differs. Borrows from c. */
void checkpoint_out_from(struct checkpoint_out *o, const struct checkpoint *c);

/*
 * A folder that from_pretrained loads. It is written under another name beside `folder` and
 * renamed, so it is there whole or not at all; one that is there already is replaced if it is a
 * model or empty. All three parts, a scheduler and a tokenizer are needed.
 */
int checkpoint_write_diffusers(const char *folder, const struct checkpoint_out *o, struct err *e);
/*
 * May it be written there? Asked by the one above too; -1:
 * what is there is neither a model nor empty.
 */
int checkpoint_can_be(const char *folder, struct err *e);

/*
 * One .safetensors file in the original layout; parts may be missing. SD2's text encoder gets
 * OpenCLIP's names, with the last layer that nobody uses (a copy of the one before) so that strict
 * loaders are content. The configurations go into the metadata ("booth.config").
 */
int checkpoint_write_single(const char *path, const struct checkpoint_out *o, struct err *e);

/* ---- inside (checkpoint_*.c) ---- */

struct checkpoint_file {
	char *path;
	struct safetensors s;   /* one of the two */
	struct pickle *p;
};

/* Open a file and keep it until checkpoint_close; its tensors and their number. */
int checkpoint_load(struct checkpoint *c, const char *path, const struct named **at, size_t *n,
		    struct err *e);
/* Add a tensor to a part under its canonical name (copied); values borrow. */
void part_add(struct part_weights *w, const char *name, const struct tensor *t);
/* Sort; two tensors of one name are a failure. */
int part_finish(struct part_weights *w, const char *path, struct err *e);
void part_release(struct part_weights *w);
const struct tensor *part_find(const struct part_weights *w, const char *name);
/* Takes the text over. */
int part_set_config(struct part_weights *w, char *text, const char *what, struct err *e);

int checkpoint_open_folder(struct checkpoint *c, const struct checkpoint_options *o, struct err *e);
int checkpoint_open_single(struct checkpoint *c, const struct checkpoint_options *o, struct err *e);
/* One part of a folder: weights and config.json. */
int checkpoint_open_part(struct checkpoint *c, enum part p, const char *folder,
			 const struct checkpoint_options *o, struct err *e);
/* A stand-alone VAE file: names without "first_stage_model.", or diffusers' own. */
int checkpoint_open_vae_file(struct checkpoint *c, const char *path, struct err *e);
/* Configurations from shapes, where they are not known yet. */
int checkpoint_derive(struct checkpoint *c, const char *prediction, struct err *e);
int checkpoint_set_scheduler(struct checkpoint *c, char *text, const char *what, struct err *e);
/* SD2 or SD1, by the configurations; a failure for what is neither. */
int checkpoint_classify(struct checkpoint *c, struct err *e);

#endif
