/*
 * train: fine-tune a model (whole, or a LoRA) on encoded pictures; or make one from nothing.
 */
#include "stages/train/train.h"

#include <stdlib.h>

#include "kernels/run/device.h"
#include "kernels/run/precision.h"

/* Is there something to do between two steps, for which the ones before have to be over? */
static int is_due(const struct run *r, int64_t first)
{
	int validates = r->o->validate_every && r->step % r->o->validate_every == 0;

	return !r->line.b->fetch || (r->step - first) % STEPS_AHEAD == 1 || validates || state_is_due(r);
}

static int between(struct run *r, struct progress *bar, int64_t first, struct err *e)
{
	float loss;
	char note[80];

	if (step_settle(r, &loss, e) < 0)
		return -1;
	if (r->step == first + 1)
		start_mark(r, START_STEP);
	if (r->o->validate_every && r->step % r->o->validate_every == 0 && log_validate(r, e) < 0)
		return -1;
	if (state_keep(r, e) < 0 || state_save(r, e) < 0)
		return -1;
	snprintf(note, sizeof note, "loss %.4f", (double)loss);
	progress_at(bar, r->step, note);
	return 0;
}

static int steps(struct run *r, struct progress *bar, struct err *e)
{
	int64_t first = r->step;

	while (r->step < r->steps) {
		int stop;

		if (step_run(r, e) < 0)
			return -1;
		r->step++;
		stop = stop_wanted();   /* asked once: what is said below has to be saved above */
		if (!stop && !is_due(r, first))
			continue;
		if (between(r, bar, first, e) < 0)
			return -1;
		if (stop && r->step < r->steps)
			return fail(e, "stopped after %lld of %lld steps, which are saved; the same command goes on from there",
				    (long long)r->step, (long long)r->steps);
	}
	return 0;
}

/* A GPU can go away: what is left is said, whatever the reason. */
static int broken(const struct run *r, struct err *e)
{
	struct err why = *e;

	if (!r->line.b->fetch || stop_wanted())
		return -1;
	if (r->states[1] > 0)
		return fail(e, "%s; the state of step %lld is saved, and the same command goes on from there", why.text,
			    (long long)r->states[1]);
	return fail(e, "%s; no state was saved yet", why.text);
}

static int go(struct run *r, struct err *e)
{
	struct progress bar;

	r->started = r->saved_at = clock_now();
	progress_begin(&bar, "train", "steps", r->steps);
	bar.from = r->step;
	if (r->step == 0 && log_validate(r, e) < 0)
		return -1;
	start_mark(r, START_STATE);
	if (steps(r, &bar, e) < 0)
		return broken(r, e);
	progress_end(&bar);
	/*
	 * after the last state, so that a run that goes on
	 * from it has the log of one that never ended here
	 */
	return log_has_validation(r) || log_validate(r, e) == 0 ? 0 : broken(r, e);
}

static void release(struct run *r)
{
	step_drop(r);
	trainer_release(&r->t);
	batches_free(r->batches);
	text_release(r);
	items_release(r);
	noise_release(&r->noise);
	table_release(&r->log);
	table_release(&r->class_table);
	pipeline_close(&r->line);
}

/* Everything that is known before memory is taken: configs, items, graphs, their plan. */
static int prepare(struct run *r, struct err *e)
{
	struct train_options *o = r->o;
	struct pipeline_options lo = { .model = o->model, .vae = o->vae, .tokenizer = o->tokenizer,
				       .configs_only = o->from_config || o->weights.n,
				       .threads = r->j->threads, .device = o->device,
				       .precision = o->precision };

	if (pipeline_open(&r->line, &lo, e) < 0 ||
	    weights_add_tables(&r->line.weights, r->j->stores, &o->weights, e) < 0 ||
	    method_read(r, e) < 0 || items_read(r, e) < 0 || method_steps(r, e) < 0)
		return -1;
	if (noise_init(&r->noise, &r->line.noise, e) < 0)
		return -1;
	loss_scale_begin(&r->scale);
	trainer_begin(&r->t, &r->config, r->line.b);
	if (step_shapes(r, e) < 0 || trainer_plan(&r->t, e) < 0)
		return -1;
	return plan_text(r, e) < 0 ? -1 : plan_fits(r, e);
}

static int run(struct job *j, struct table *out, struct err *e)
{
	struct run r = { .j = j, .o = j->params, .states = { -1, -1 } };
	int claim = CLAIM_NONE, ret = -1;

	start_mark(&r, START_OPEN);
	if (prepare(&r, e) < 0)
		goto out;
	start_mark(&r, START_PLAN);
	if (r.o->plan) {
		plan_print(&r);
		ret = 0;
		j->only_told = 1;
		goto out;
	}
	if (!is_vae(&r) && hidden_begin(&r.hidden, j->stores, &r.line, r.o->model, r.o->clip_skip,
					r.o->max_tokens, e) < 0)
		goto out;
	if (text_is_first(&r) && text_encode(&r, e) < 0)
		goto out;
	start_mark(&r, START_TEXT);
	if (trainer_place(&r.t, e) < 0 || weights_fill(&r, e) < 0)
		goto out;
	start_mark(&r, START_WEIGHTS);
	if (state_claim(&r, &claim, e) < 0 || state_resume(&r, e) < 0 || go(&r, e) < 0)
		goto out;
	ret = state_result(&r, out, e);
out:
	claim_drop(claim);
	release(&r);
	return ret;
}

int main(int argc, char **argv)
{
	struct train_options p = {
		.method = "lora", .parts = "unet", .prior_weight = 1, .batch = 1, .accumulate = 1,
		.lr = 1e-4, .lr_text = -1,
		.schedule = "constant", .warmup = "0", .decay = "0", .cycles = 1, .power = 1, .beta1 = .9,
		.beta2 = .999,
		.eps = 1e-8, .weight_decay = 1e-2, .clip = 1, .separator = ",", .clip_skip = 1,
		.max_tokens = 75, .rank = 16, .cover = "attention", .save_minutes = 10, .kl = 1e-6,
		.precision = "f32",
	};
	const struct opt opts[] = {
		{ "model", OPT_PATH, &p.model, "", "base model: a diffusers folder or a single file", .required = 1 },
		{ "vae", OPT_PATH, &p.vae, "", "another autoencoder" },
		{ "weights", OPT_REFS, &p.weights, "", "trained weights to begin with, laid over the model's; may be repeated" },
		{ "tokenizer", OPT_PATH, &p.tokenizer, "", "folder with vocab.json and merges.txt, if the model has none" },
		{ "method", OPT_CHOICE, &p.method, "", "what learns: all weights, a LoRA, or the autoencoder", .choices = "full lora vae" },
		{ "train", OPT_CHOICE, &p.parts, "", "parts that learn", .choices = "unet text unet,text" },
		{ "from-config", OPT_FLAG, &p.from_config, "", "begin with random weights; the model's configuration files are enough" },
		{ "class", OPT_REF, &p.class_table, "", "encoded class pictures, for prior preservation" },
		{ "prior-weight", OPT_FLOAT, &p.prior_weight, "", "of the class pictures' loss", .min = 0, .max = 1000 },
		{ "steps", OPT_INT, &p.steps, "steps", "updates of the weights; or give --epochs", .min = 0, .max = 1e9 },
		{ "epochs", OPT_INT, &p.epochs, "epochs", "times that every picture is seen", .min = 0, .max = 1e6 },
		{ "batch", OPT_INT, &p.batch, "pictures", "subject pictures in a micro-batch (as many class pictures come on top)", .min = 1, .max = 128 },
		{ "accumulate", OPT_INT, &p.accumulate, "micro-batches", "whose gradients make one step", .min = 1, .max = 1024 },
		{ "seed", OPT_INT, &p.seed, "", "of everything that is drawn", .min = 0, .max = 9007199254740992.0 },
		{ "lr", OPT_FLOAT, &p.lr, "", "learning rate", .min = 0, .max = 10 },
		{ "lr-text", OPT_FLOAT, &p.lr_text, "", "of the text encoder; -1: as --lr", .min = -1, .max = 10 },
		{ "schedule", OPT_CHOICE, &p.schedule, "", "of the learning rate",
		  .choices = "constant constant_with_warmup linear cosine cosine_with_restarts polynomial piecewise_constant inverse_sqrt cosine_with_min_lr warmup_stable_decay" },
		{ "warmup", OPT_TEXT, &p.warmup, "steps", "steps, or a fraction (0.1, 10%) of all" },
		{ "rules", OPT_TEXT, &p.rules, "", "of piecewise_constant: \"1:10,0.1:20,0.05\"" },
		{ "cycles", OPT_FLOAT, &p.cycles, "", "of cosine_with_restarts and cosine_with_min_lr", .min = 0, .max = 1e6 },
		{ "power", OPT_FLOAT, &p.power, "", "of polynomial", .min = 0, .max = 100 },
		{ "min-lr-ratio", OPT_FLOAT, &p.min_lr_ratio, "", "where cosine_with_min_lr and warmup_stable_decay end", .min = 0, .max = 1 },
		{ "decay", OPT_TEXT, &p.decay, "steps", "of warmup_stable_decay: steps or a fraction" },
		{ "timescale", OPT_INT, &p.timescale, "steps", "of inverse_sqrt; 0: the warm-up, or 10000", .min = 0, .max = 1e9 },
		{ "beta1", OPT_FLOAT, &p.beta1, "", "AdamW", .min = 0, .max = .999999 },
		{ "beta2", OPT_FLOAT, &p.beta2, "", "AdamW", .min = 0, .max = .999999999 },
		{ "eps", OPT_FLOAT, &p.eps, "", "AdamW", .min = 0, .max = 1 },
		{ "weight-decay", OPT_FLOAT, &p.weight_decay, "", "AdamW", .min = 0, .max = 10 },
		{ "clip", OPT_FLOAT, &p.clip, "", "largest gradient norm; 0: no clipping", .min = 0, .max = 1e9 },
		{ "min-snr", OPT_FLOAT, &p.min_snr, "", "gamma of min-SNR weighting (5 is usual); 0: off", .min = 0, .max = 1000 },
		{ "noise-offset", OPT_FLOAT, &p.noise_offset, "", "strength of an offset by channel (0.05 to 0.1); 0: off", .min = 0, .max = 10 },
		{ "stop-text", OPT_INT, &p.stop_text, "steps", "the text encoder learns no more from this step on; 0: to the end", .min = 0, .max = 1e9 },
		{ "shuffle-caption", OPT_FLAG, &p.shuffle, "", "shuffle a caption's tags at every step" },
		{ "keep-tokens", OPT_INT, &p.keep_tokens, "tags", "at the caption's beginning that stay in place", .min = 0, .max = 1000 },
		{ "separator", OPT_TEXT, &p.separator, "", "of tags" },
		{ "keep-separator", OPT_TEXT, &p.keep_separator, "", "what is before it stays in place" },
		{ "caption-dropout", OPT_FLOAT, &p.caption_dropout, "", "share of steps with an empty caption", .min = 0, .max = 1 },
		{ "caption-dropout-every", OPT_INT, &p.dropout_every, "epochs", "epochs whose captions are empty; 0: none", .min = 0, .max = 1e6 },
		{ "tag-dropout", OPT_FLOAT, &p.tag_dropout, "", "share of tags left out", .min = 0, .max = 1 },
		{ "clip-skip", OPT_INT, &p.clip_skip, "layers", "1: the text encoder's last layer, 2: the one before", .min = 1, .max = 32 },
		{ "max-tokens", OPT_INT, &p.max_tokens, "tokens", "75, 150 or 225", .min = 75, .max = 225 },
		{ "rank", OPT_INT, &p.rank, "", "of a LoRA", .min = 1, .max = 4096 },
		{ "alpha", OPT_FLOAT, &p.alpha, "", "of a LoRA (scale = alpha / rank); 0: the rank", .min = 0, .max = 65536 },
		{ "lora-target", OPT_CHOICE, &p.cover, "", "attention; all linear layers of the transformers; convolutions too", .choices = "attention linear conv" },
		{ "conv-rank", OPT_INT, &p.conv_rank, "", "of 3x3 convolutions; 0: as --rank", .min = 0, .max = 4096 },
		{ "conv-alpha", OPT_FLOAT, &p.conv_alpha, "", "of 3x3 convolutions; 0: as --alpha", .min = 0, .max = 65536 },
		{ "lora-dropout", OPT_FLOAT, &p.lora_dropout, "", "of a LoRA's input", .min = 0, .max = .99 },
		{ "ema", OPT_FLOAT, &p.ema, "", "decay of an average of the weights (0.999); 0: none", .min = 0, .max = .999999 },
		{ "kl", OPT_FLOAT, &p.kl, "", "weight of the KL term, method vae", .min = 0, .max = 1000 },
		{ "hold-out", OPT_INT, &p.hold_out, "pictures", "left out of training, for validation", .min = 0, .max = 1e6 },
		{ "validate-every", OPT_INT, &p.validate_every, "steps", "loss of the pictures left out, with fixed noise; 0: at the beginning and the end", .min = 0, .max = 1e9 },
		{ "keep-every", OPT_INT, &p.keep_every, "steps", "weights kept under their own reference", .min = 0, .max = 1e9, .quiet = 1 },
		{ "save-every", OPT_INT, &p.save_every, "steps", "between saved states; 0: by time", .min = 0, .max = 1e9, .quiet = 1 },
		{ "save-minutes", OPT_FLOAT, &p.save_minutes, "minutes", "between saved states; 0: not by time", .min = 0, .max = 1e6, .quiet = 1 },
		PRECISION_ROW(&p.precision),
		DEVICE_ROW(&p.device),
		{ "memory", OPT_SIZE, &p.memory, "bytes", "refuse to begin if more is needed; 0: what the machine has", .quiet = 1 },
		{ "plan", OPT_FLAG, &p.plan, "", "print the memory needed for every shape, and end", .quiet = 1 },
		{ 0 }
	};
	const struct stage stage = {
		.name = "train", .version = TRAIN_VERSION, .input = INPUT_TABLE,
		.check = train_check, .run = run,
		.about = "fine-tune a model or a LoRA on encoded pictures",
	};

	return stage_main(argc, argv, &stage, opts, &p);
}
