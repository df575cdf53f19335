/*
 * Inside the stage train: what its files share.
 *
 * A training is a chain. Everything that determines the trajectory (options, inputs, seed) and the
 * step's number k is the key of the action "state k", whose result is a table of weights and
 * moments. A run looks for the last known state and goes on from there; so resume, "200 more steps"
 * and "the same, saved more often" are cache hits, and a run that was killed ends with the same bytes.
 *
 * What a step draws is a function of (seed, micro-batch number, place in the batch):
 *	latent   z = mean + exp(logvar / 2) n, purpose "latent"        times scaling_factor
 *	noise    purpose "noise"; noise offset: purpose "noise offset"
 *	timestep uniform in 0 .. 999, purpose "timestep"
 *	caption  kohya's processing, purpose "caption" (common/data/caption.h)
 */
#ifndef STAGES_TRAIN_H
#define STAGES_TRAIN_H

#include "common/data/caption.h"
#include "common/flow/stage.h"
#include "kernels/run/batches.h"
#include "kernels/run/loss_scale.h"
#include "kernels/run/lr.h"
#include "kernels/run/trainer.h"
#include "stages/shared/hidden.h"

#define TRAIN_VERSION 1

struct train_options {
	const char *model, *vae, *tokenizer, *method, *parts;
	const char *class_table, *device, *precision;
	struct opt_list weights;
	double prior_weight;
	int64_t batch, accumulate, steps, epochs, seed;
	double lr, lr_text;
	const char *schedule, *warmup, *rules, *decay;
	double cycles, power, min_lr_ratio;
	int64_t timescale;
	double beta1, beta2, eps, weight_decay, clip;
	double min_snr, noise_offset;
	int64_t stop_text;
	int shuffle;
	int64_t keep_tokens, dropout_every;
	const char *separator, *keep_separator;
	double caption_dropout, tag_dropout;
	int64_t clip_skip, max_tokens;
	int64_t rank, conv_rank;
	double alpha, conv_alpha, lora_dropout;
	const char *cover;
	int64_t save_every, keep_every, validate_every, hold_out;
	double save_minutes;
	int from_config;
	double ema, kl;
	int64_t memory;
	int plan;
};

struct item {
	const char *name, *caption;     /* borrowed from the tables */
	struct ref moments;             /* or the picture, for method vae */
	float *values;                  /* moments [2 c][h][w], or pixels
					 * [h][w][3] in -1..1; NULL until used */
	int64_t h, w, repeats;
	int is_class;
	size_t row;
};

/* What is behind a training when its first step ends (start.c). */
enum start_phase {
	START_OPEN,             /* program, options, stores, inputs' hashes, the action */
	START_PLAN,             /* configurations, items, graphs, memory's plan */
	START_TEXT,             /* captions that are known beforehand, encoded */
	START_WEIGHTS,          /* in their place */
	START_STATE,            /* looked for, and read; validation before the first step */
	START_STEP,
	START__COUNT
};

/*
 * Steps that may be on their way at once, on a device that computes by itself: the next pictures are read,
 * their noise is drawn and goes there while it does. Their losses come when one of them is waited for. In
 * fp16 one is waited for as soon as the next is drawn, since its norm decides about that one's scale.
 */
#define STEPS_AHEAD 10

struct reading {                /* what is to be read of a step on its way */
	int64_t step;           /* how many were before it */
	float *loss;            /* of its micro-batches */
	const char **first;     /* picture of each */
	int n;
	float norm, lr, scale;
};

struct run {
	struct job *j;
	struct train_options *o;
	struct err *e;
	struct table class_table;
	struct item *item;              /* that learn: subjects, then class items */
	size_t items;
	struct item *held;              /* left out, for validation */
	size_t n_held;
	int64_t bytes_held;             /* of values in memory */
	struct pipeline line;
	struct hidden hidden;
	struct noise_table noise;
	struct trainer_config config;
	struct lora lora[PART__COUNT];
	struct trainer t;
	struct batches *batches;
	struct lr lr;
	struct loss_scale scale;        /* moves in fp16 only */
	struct caption_rules rules;
	int64_t steps;                  /* total */
	int64_t step;                   /* done, or on their way */
	struct reading ahead[STEPS_AHEAD];
	int n_ahead;
	struct table log;
	struct text_entry *texts;       /* hidden states in memory, by caption */
	size_t n_texts, cap_texts;
	size_t text_bytes;              /* of the text encoder, which is there before the training or beside it */
	double started, saved_at;
	double start_at[START__COUNT];  /* seconds since the program was started */
	int64_t states[2];              /* the last two that were saved; -1: none */
};

/* Is the loss scaled, and may steps be skipped? */
static inline int is_scaled(const struct run *r)
{
	return r->config.type == DT_F16;
}

static inline int is_vae(const struct run *r)
{
	return r->config.train[PART_VAE];
}

/* method.c: options into the trainer's config, learning rates, caption rules. -1: wrong usage. */
int train_check(struct job *j, struct err *e);
int method_read(struct run *r, struct err *e);
/* total steps, schedule; after the items are known */
int method_steps(struct run *r, struct err *e);
/* of the update after `step` steps, of which r->scale.skipped were none */
struct hyper method_hyper(const struct run *r, int64_t step);

/* items.c */
int items_read(struct run *r, struct err *e);
void items_release(struct run *r);
void items_batches(struct run *r);      /* r->batches, of the items and the options */
/* Values of an item in memory, read from the store if need be. */
const float *item_values(struct run *r, struct item *it, struct err *e);

/*
 * text.c: hidden states of a caption (text encoder not
 * trained), kept in memory while there is room.
 */
const float *text_hidden(struct run *r, const char *caption, struct err *e);
int text_ids(struct run *r, const char *caption, int32_t *out, struct err *e);
/* it's caption as place `place` of a training's batches has it; an item that is held out keeps its own. */
void text_caption(struct buf *out, const struct run *r, const struct item *it, int held, int64_t step,
		  int64_t epoch, int64_t place);
/*
 * Are captions the same at every step, all of them wanted, and few enough to be kept? Then text_encode does it
 * before the training takes its memory, and gives the text encoder's back.
 */
int text_is_first(const struct run *r);
int text_encode(struct run *r, struct err *e);
void text_release(struct run *r);

/* weights.c: what the pool begins with. */
int weights_fill(struct run *r, struct err *e);

/* step.c */
int step_shapes(struct run *r, struct err *e);  /* declare every shape that the run will meet */
/* Begin step r->step; there must be room in ahead. In fp16 this settles those before it. */
int step_run(struct run *r, struct err *e);
/*
 * Wait for the steps on their way and log them; *loss: the last one's. In fp16 a step may have been skipped:
 * then its norm is not finite.
 */
int step_settle(struct run *r, float *loss, struct err *e);
void step_drop(struct run *r);
/* One item at timestep t with noise of (seed, purpose "validation"): its plain loss. */
int step_validate(struct run *r, struct item *it, int t, uint32_t number, float *loss,
		  struct err *e);

/* state.c */
/* Trainings of the same trajectory, however far, go one after the other (claim_drop ends it). */
int state_claim(struct run *r, int *claim, struct err *e);
int state_resume(struct run *r, struct err *e);
int state_save(struct run *r, struct err *e);
int state_is_due(const struct run *r);          /* state_keep or state_save would do something */
/* The result: weights, averages, the log. */
int state_result(struct run *r, struct table *out, struct err *e);
/* weights of this step, kept under their own action */
int state_keep(struct run *r, struct err *e);

/* log.c */
/* scale: of the loss, in fp16 */
void log_step(struct run *r, int64_t done, float loss, float norm, float lr, float scale);
/* fixed-noise loss of the held-out items, into the last row */
int log_validate(struct run *r, struct err *e);
int log_has_validation(const struct run *r);            /* has the last row one? */

/* start.c: a phase is done; the last one tells how long each took. */
void start_mark(struct run *r, enum start_phase done);

/* plan.c: memory, before anything is allocated. */
int plan_print(const struct run *r);
int plan_text(struct run *r, struct err *e);    /* r->text_bytes */
int plan_fits(const struct run *r, struct err *e);

#endif
