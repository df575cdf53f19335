#include "stages/shared/draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image.h"
#include "kernels/run/device.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/loras.h"
#include "stages/shared/parameters.h"

struct draw {
	struct job *j;
	const struct draw_options *o;
	struct pipeline p;
	struct oid model, tokenizer;
	int installed;                  /* the tokenizer is the installed one, and enters the key */
	struct progress bar;
	size_t shared;                  /* pictures that another process drew meanwhile */
	int64_t before, batch, steps;   /* steps of finished batches; of
					 * this one: pictures, steps each */
};

/* ---- keys ---- */

/*
 * 1: the model brings no tokenizer, so the installed one is
 * used: its content. 0: none, or the key has it.
 */
static int installed_tokenizer(struct job *j, const struct draw_options *o, struct oid *out,
			       struct err *e)
{
	char *own = path_join(o->model, "tokenizer"), *path = NULL;
	int ret = 0;

	if (!o->tokenizer && !is_folder(own))
		path = pipeline_installed_tokenizer();
	if (path)
		ret = outside_hash(j->stores, path, out, e) < 0 ? -1 : 1;
	free(own);
	free(path);
	return ret;
}

int draw_key(struct job *j, const struct draw_options *o, struct action *a, struct err *e)
{
	struct oid id;
	int found = installed_tokenizer(j, o, &id, e);

	if (found == 1)
		action_input(a, "tokenizer", &id);
	return found < 0 ? -1 : 0;
}

static uint64_t seed_of(const struct wish *w)
{
	return w->prompt->seed + (uint64_t)w->number;
}

static int wish_key(struct draw *d, const struct wish *w, struct action *a, struct err *e)
{
	const struct prompt *p = w->prompt;

	if (job_item_action(d->j, a, d->o->params, e) < 0)
		return -1;
	if (d->installed)
		action_input(a, "tokenizer", &d->tokenizer);
	if (d->j->in_ref.stage[0])
		action_input(a, "table", &d->j->in_ref.id);
	action_param(a, "prompt", p->text);
	action_param(a, "negative", p->negative);
	action_param(a, "sampler", p->sampler ? p->sampler : "");
	action_paramf(a, "size", "%lldx%lld", (long long)p->width, (long long)p->height);
	action_paramf(a, "steps", "%lld", (long long)p->steps);
	action_paramf(a, "scale", "%.17g", p->scale);
	action_paramf(a, "seed", "%llu", (unsigned long long)seed_of(w));
	return 0;
}

/* ---- known pictures ---- */

static int read_result(struct draw *d, struct wish *w, const struct result *r, struct err *e)
{
	static const char key[] = "sampler=";
	const char *note = buf_str(&r->note);
	struct image_info info;
	struct blob b = { 0 };
	int ret = -1;

	if (store_need(d->j->stores, &r->out, KIND_IMAGE, &b, e) < 0)
		return -1;
	if (image_probe(&info, b.at, b.len, e) == 0) {
		w->image = r->out;
		w->width = info.w;
		w->height = info.h;
		if (starts_with(note, key))
			snprintf(w->sampler, sizeof w->sampler, "%.*s",
				 (int)strcspn(note + strlen(key), "\n"), note + strlen(key));
		ret = 0;
	}
	blob_release(&b);
	return ret;
}

static int recall(struct draw *d, struct wish *w, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	int found = wish_key(d, w, &a, e) < 0 ? -1 : d->j->force ? 0 :
		store_find(d->j->stores, &a, &r, e);

	if (found == 1 && read_result(d, w, &r, e) < 0)
		found = -1;
	result_release(&r);
	action_release(&a);
	return found;
}

/* ---- the model ---- */

int draw_check(const struct draw_options *o, struct err *e)
{
	if (loras_check(&o->lora, &o->lora_weight, e) < 0)
		return -1;
	if (o->max_tokens != 75 && o->max_tokens != 150 && o->max_tokens != 225)
		return fail(e, "--max-tokens is %lld; 75, 150 and 225 are possible", (long long)o->max_tokens);
	return device_check(o->device, e);
}

static int add_weights(struct draw *d, struct err *e)
{
	const struct draw_options *o = d->o;
	struct weights *w = &d->p.weights;

	if (d->j->in_ref.stage[0] &&
	    weights_add_table(w, d->j->stores, &d->j->in_ref, (float)o->weight, o->ema, e) < 0)
		return -1;
	for (int i = 0; i < o->lora.n; i++)
		if (weights_add_lora_file(w, o->lora.at[i], loras_weight(&o->lora_weight, i),
					  e) < 0)
			return -1;
	return weights_check_loras(w, e);
}

/* Weights that the model does not ask for would be passed over silently. */
static int check_trained(const struct draw *d, struct err *e)
{
	const struct weights *w = &d->p.weights;

	for (size_t i = 0; i < w->n_trained; i++) {
		const char *name = w->trained[i].name;
		int known = 0;

		for (int p = 0; p < PART__COUNT; p++) {
			size_t k = strlen(part_name((enum part)p));

			if (starts_with(name, part_name((enum part)p)) && name[k] == '.')
				known |= checkpoint_find(&d->p.model, (enum part)p,
							 name + k + 1) != NULL;
		}
		if (!known)
			return fail(e, "the table has a weight '%s', which '%s' has not: was it trained on another model?", name, d->o->model);
	}
	return 0;
}

static int open_model(struct draw *d, struct err *e)
{
	const struct draw_options *o = d->o;
	struct pipeline_options po = { .model = o->model, .vae = o->vae, .tokenizer = o->tokenizer,
				       .threads = d->j->threads, .device = o->device,
				       .precision = o->precision };

	if (d->p.b)
		return 0;
	if (pipeline_open(&d->p, &po, e) < 0 ||
	    pipeline_need_tokenizer(&d->p, e) < 0 || add_weights(d, e) < 0)
		return -1;
	return check_trained(d, e);
}

/* What the UNet was made for, in pixels. */
static int64_t native_side(const struct pipeline *p)
{
	const struct json *size = json_get(p->model.part[PART_UNET].config, "sample_size");
	int64_t side = json_int(json_type(size) == JSON_LIST ? json_at(size, 0) : size, 0);

	return side > 0 && side <= 4096 ? side * vae_factor(&p->vae) : 512;
}

/* ---- drawing ---- */

static int tick(void *who, int done, int total)
{
	struct draw *d = who;

	progress_at(&d->bar, d->before + d->batch * d->steps * done / total, NULL);
	return stop_wanted();
}

static struct sample_options options_of(const struct draw *d, const struct wish *w)
{
	const struct prompt *p = w->prompt;
	int64_t side = native_side(&d->p);

	return (struct sample_options){
		.prompt = p->text, .negative = p->negative, .sampler = p->sampler,
		.width = p->width ? p->width : side, .height = p->height ? p->height : side,
		.steps = p->steps, .scale = p->scale, .seed = p->seed,
		.clip_skip = d->o->clip_skip, .max_tokens = d->o->max_tokens, .eta = d->o->eta,
	};
}

static int encode(struct draw *d, const struct wish *w, const struct sample_options *o,
		  const struct image *im, struct buf *png, struct err *e)
{
	struct job *j = d->j;
	struct parameters p = { o, w->sampler, seed_of(w), &d->model,
				j->in_ref.stage[0] ? &j->in_ref.id : NULL, d->o->lora.n };
	struct buf text = { 0 };
	char key[] = "parameters", *pair[2] = { key, NULL };
	int ret;

	parameters_text(&text, &p);
	pair[1] = text.at;
	ret = image_encode_png(png, im, pair, 1, e);
	buf_release(&text);
	return ret;
}

/* Decode, store and record one picture. */
static int finish(struct draw *d, struct wish *w, const struct sample_options *o,
		  const float *latent, double seconds, struct err *e)
{
	int64_t f = vae_factor(&d->p.vae);
	struct result r = { .seconds = seconds };
	struct action a = { 0 };
	struct image im = { 0 };
	struct buf png = { 0 };
	double start = clock_now();
	int ret = -1;

	if (pipeline_decode(&d->p, latent, o->height / f, o->width / f, &im, e) < 0 ||
	    encode(d, w, o, &im, &png, e) < 0)
		goto out;
	if (wish_key(d, w, &a, e) < 0 ||
	    store_put(d->j->stores, d->j->stage->name, KIND_IMAGE, png.at, png.len, &r.out, e) < 0)
		goto out;
	buf_addf(&r.note, "sampler=%s\n", w->sampler);
	r.seconds += clock_now() - start;
	if (store_record_item(d->j->stores, &a, &r, e) < 0)
		goto out;
	w->image = r.out;
	w->width = im.w;
	w->height = im.h;
	ret = 0;
out:
	result_release(&r);
	action_release(&a);
	image_release(&im);
	buf_release(&png);
	return ret;
}

/* n pictures of one prompt, with numbers that follow each other. */
static int draw_batch(struct draw *d, struct wish *w, int64_t n, struct err *e)
{
	struct sample_options o = options_of(d, w);
	int64_t f = vae_factor(&d->p.vae), each = d->p.vae.latent * (o.height / f) * (o.width / f);
	struct sampler_config c;
	double start = clock_now(), seconds;
	float *latent;
	int ret = -1;

	if (sampler_configure(&c, d->p.model.scheduler, o.sampler, e) < 0)
		return -1;
	latent = xmalloc((size_t)(n * each + 1) * sizeof *latent);
	ret = pipeline_sample(&d->p, &o, w->number, n, latent, tick, d, e);
	seconds = (clock_now() - start) / (double)n;
	for (int64_t i = 0; ret == 0 && i < n; i++) {
		struct err why;

		sampler_title(w[i].sampler, &c);
		if (finish(d, &w[i], &o, latent + i * each, seconds, &why) < 0)
			job_item_failed(d->j, w[i].item, &why);
	}
	free(latent);
	return ret;
}

static int64_t batch_size(const struct draw *d, const struct wish *w)
{
	struct sample_options o = options_of(d, w);
	int64_t n = o.width * o.height > 0 ? DRAW_PIXELS / (o.width * o.height) : 1;

	if (d->o->batch)
		return d->o->batch;
	return n < 1 ? 1 : n > 16 ? 16 : n;
}

/* How many of the first n go into one batch. */
static int64_t run_length(const struct draw *d, struct wish *const *todo, size_t n)
{
	int64_t most = batch_size(d, todo[0]);
	size_t k = 1;

	while (k < n && (int64_t)k < most && todo[k]->prompt == todo[0]->prompt &&
	       todo[k] == todo[0] + k && todo[k]->number == todo[0]->number + (int64_t)k)
		k++;
	return (int64_t)k;
}

/* A prompt that cannot be drawn (its size, its steps) fails alone. */
static int one_batch(struct draw *d, struct wish *w, int64_t n, struct err *e)
{
	struct err why = { "" };

	d->batch = n;
	d->steps = w->prompt->steps;
	if (draw_batch(d, w, n, &why) < 0) {
		if (stop_wanted()) {
			*e = why;
			return -1;
		}
		for (int64_t i = 0; i < n; i++)
			job_item_failed(d->j, w[i].item, &why);
	}
	d->before += n * d->steps;
	progress_at(&d->bar, d->before, NULL);
	return 0;
}

/*
 * The next of n missing pictures, up to a batch of them: their number, or -1. One that another
 * process draws is waited for. The claim is that of the first, which is where the batches of two
 * processes that draw the same meet.
 */
static int64_t next_batch(struct draw *d, struct wish **todo, size_t n, int *claim, struct err *e)
{
	struct action a = { 0 };
	struct oid key;
	int64_t most, k;
	int known;

	if (wish_key(d, todo[0], &a, e) < 0)
		return -1;
	action_key(&a, &key);
	action_release(&a);
	*claim = claim_take(stores_root(d->j->stores), &key, e);
	known = *claim == CLAIM_STOPPED ? -1 : recall(d, todo[0], e);
	if (known < 0)
		return -1;
	if (known) {
		d->before += todo[0]->prompt->steps;
		d->shared++;
		return 1;
	}
	most = run_length(d, todo, n);
	for (k = 1; k < most && !known; k++)    /* one that is known by now ends the batch */
		known = recall(d, todo[k], e);
	if (known < 0)
		return -1;
	k -= known;
	return one_batch(d, todo[0], k, e) < 0 ? -1 : k;
}

static int draw_missing(struct draw *d, struct wish **todo, size_t n, struct err *e)
{
	int64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += todo[i]->prompt->steps;
	if (open_model(d, e) < 0)
		return -1;
	progress_begin(&d->bar, d->j->stage->name, "steps", total);
	for (size_t i = 0; i < n;) {
		int claim = CLAIM_NONE;
		int64_t k = next_batch(d, todo + i, n - i, &claim, e);

		claim_drop(claim);
		if (k < 0)
			return err_prefix(e, "%zu of %zu pictures are done", i, n);
		i += (size_t)k;
		if (stop_wanted() && i < n)
			return fail(e, "stopped after %zu of %zu pictures; the same command goes on from there", i, n);
	}
	progress_end(&d->bar);
	return 0;
}

int draw_all(struct job *j, const struct draw_options *o, struct wish *w, size_t n, struct err *e)
{
	struct draw d = { .j = j, .o = o };
	struct wish **todo = xcalloc(n + 1, sizeof *todo);
	size_t missing = 0, failed = j->failed;
	int found, ret = -1;

	d.installed = installed_tokenizer(j, o, &d.tokenizer, e);
	if (d.installed < 0 || job_input(j, "model", &d.model, e) < 0)
		goto out;
	for (size_t i = 0; i < n; i++) {
		found = recall(&d, &w[i], e);
		if (found < 0)
			goto out;
		if (!found)
			todo[missing++] = &w[i];
	}
	if (missing && draw_missing(&d, todo, missing, e) < 0)
		goto out;
	missing -= d.shared;
	talk("%zu picture%s drawn, %zu known", missing - (j->failed - failed), missing - (j->failed - failed) == 1 ? "" : "s",
	     n - missing);
	ret = 0;
out:
	pipeline_close(&d.p);
	free(todo);
	return ret;
}
