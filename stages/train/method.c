#include <math.h>
#include <string.h>

#include "kernels/run/device.h"
#include "stages/train/train.h"

int train_check(struct job *j, struct err *e)
{
	struct train_options *o = j->params;

	if (!o->steps == !o->epochs)
		return fail(e, o->steps ? "--steps and --epochs exclude each other" : "--steps or --epochs is needed");
	if (o->max_tokens % 75)
		return fail(e, "--max-tokens is %lld, not 75, 150 or 225", (long long)o->max_tokens);
	if (o->from_config && !strcmp(o->method, "lora"))
		return fail(e, "--from-config makes a model, a LoRA needs one: use --method full or vae");
	if (!strcmp(o->method, "vae") && o->class_table)
		return fail(e, "--class has no meaning for --method vae");
	return device_check(o->device, e);
}

static void read_lora(struct run *r, enum part p)
{
	const struct train_options *o = r->o;
	float alpha = (float)(o->alpha > 0 ? o->alpha : (double)o->rank);

	r->lora[p] = (struct lora){
		.cover = !strcmp(o->cover, "attention") ? LORA_ATTENTION :
			!strcmp(o->cover, "linear") ? LORA_LINEAR : LORA_CONV,
		.rank = o->rank, .alpha = alpha,
		.conv_rank = o->conv_rank ? o->conv_rank : o->rank,
		.conv_alpha = (float)(o->conv_alpha > 0 ? o->conv_alpha : alpha),
		.dropout = (float)o->lora_dropout,
	};
	r->config.lora[p] = &r->lora[p];
}

int method_read(struct run *r, struct err *e)
{
	struct train_options *o = r->o;
	struct trainer_config *c = &r->config;
	int vae = !strcmp(o->method, "vae");

	*c = (struct trainer_config){ .unet = r->line.unet, .text = r->line.text,
				      .vae = r->line.vae };
	c->type = r->line.type;
	c->train[PART_VAE] = vae;
	c->train[PART_UNET] = !vae && strstr(o->parts, "unet");
	c->train[PART_TEXT] = !vae && strstr(o->parts, "text");
	for (int p = 0; p < PART__COUNT && !strcmp(o->method, "lora"); p++)
		if (c->train[p])
			read_lora(r, (enum part)p);
	c->text_skip = (int)o->clip_skip - 1;
	c->tokens = text_tokens(o->max_tokens);
	c->chunks = (int)(o->max_tokens / 75);
	c->ema = o->ema > 0;
	c->kl_weight = (float)o->kl;
	if (!vae && c->text.layers <= c->text_skip)
		return fail(e, "--clip-skip %lld, but the text encoder has %lld layers", (long long)o->clip_skip, (long long)c->text.layers);
	r->rules = (struct caption_rules){
		.separator = o->separator, .keep_separator = o->keep_separator,
			.keep_tokens = o->keep_tokens,
		.shuffle = o->shuffle, .dropout = o->caption_dropout, .tag_dropout = o->tag_dropout,
		.dropout_every_epochs = o->dropout_every, .warmup_min = 1,
	};
	return 0;
}

int method_steps(struct run *r, struct err *e)
{
	const struct train_options *o = r->o;
	struct lr *lr = &r->lr;
	int64_t per_epoch = (batches_per_epoch(r->batches) + o->accumulate - 1) / o->accumulate;

	r->steps = o->steps ? o->steps : o->epochs * per_epoch;
	r->rules.total_steps = r->steps;
	r->config.accumulate = o->accumulate > 1 || batches_split(r->batches);
	*lr = (struct lr){
		.base = o->lr, .total = r->steps, .cycles = o->cycles, .power = o->power,
			.timescale = o->timescale,
		.min_ratio = o->min_lr_ratio,
	};
	if (lr_kind_of_name(o->schedule, &lr->kind, e) < 0 ||
	    lr_updates(o->warmup, r->steps, &lr->warmup, e) < 0 ||
	    lr_updates(o->decay, r->steps, &lr->decay, e) < 0)
		return -1;
	if (o->rules && lr_rules(lr, o->rules, e) < 0)
		return -1;
	return lr_check(lr, e);
}

/* An average's decay grows: early weights are soon forgotten. */
static float ema_decay(const struct run *r, int64_t step)
{
	double d = (1.0 + (double)step) / (10.0 + (double)step);

	return (float)fmin(d, r->o->ema);
}

struct hyper method_hyper(const struct run *r, int64_t step)
{
	const struct train_options *o = r->o;
	int64_t updates = step - r->scale.skipped;
	double f = lr_factor(&r->lr, updates);
	double text = o->lr_text < 0 ? o->lr : o->lr_text;
	int text_over = o->stop_text && step >= o->stop_text;
	struct hyper h = {
		.beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->eps,
		.weight_decay = (float)o->weight_decay, .max_norm = (float)o->clip,
		.step = updates + 1, .ema_decay = ema_decay(r, updates), .scale = r->scale.scale,
	};

	h.lr[PART_UNET] = h.lr[PART_VAE] = (float)(o->lr * f);
	h.lr[PART_TEXT] = text_over ? 0 : (float)(text * f);
	return h;
}
