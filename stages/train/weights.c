/*
 * What the pool begins with: the base model's weights, or random ones.
 *
 * A LoRA starts as kohya's and PEFT's do: A uniform in +-1/sqrt(inputs), B zero, so the model is
 * unchanged. From nothing: norms 1, biases 0, linear layers and filters uniform in +-sqrt(3 /
 * inputs) (unit gain), embeddings normal with deviation .02, and zero where a residual branch ends
 * (UNet: conv2, proj_out, conv_out, as in the original latent diffusion code), so that training
 * starts from the identity.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "stages/train/train.h"

static struct rng stream_of(const struct run *r, const char *name)
{
	return rng_stream((uint64_t)r->o->seed, "weights", rng_word(name), 0);
}

static void fill_uniform(struct rng s, float *v, int64_t n, double bound)
{
	for (int64_t i = 0; i < n; i++)
		v[i] = (float)((2 * (double)rng_uniform(&s, (uint32_t)i) - 1) * bound);
}

static int ends_residual(const char *name)
{
	return starts_with(name, "unet.") &&
		(ends_with(name, ".conv2.weight") || ends_with(name, ".proj_out.weight") || ends_with(name, "conv_out.weight"));
}

static void initial(const struct run *r, const struct pool_entry *w, float *v, int64_t n)
{
	double inputs = (double)(w->dim[1] * w->dim[2] * w->dim[3]);

	if (w->dim[0] == 1 && w->dim[1] == 1)
		inputs = (double)w->dim[3];
	if (starts_with(w->name, "lora.") && strstr(w->name, ".lora_A."))
		fill_uniform(stream_of(r, w->name), v, n, 1 / sqrt(inputs));
	else if (starts_with(w->name, "lora.") || ends_with(w->name, ".bias") || ends_residual(w->name))
		memset(v, 0, (size_t)n * sizeof *v);
	if (!strcmp(w->name, "vae.quant_conv.bias"))    /* logvar -6: samples that begin near the mean */
		for (int64_t i = n / 2; i < n; i++)
			v[i] = -6;
	if (starts_with(w->name, "lora.") || ends_with(w->name, ".bias") || ends_residual(w->name))
		return;
	if (strstr(w->name, "norm"))
		for (int64_t i = 0; i < n; i++)
			v[i] = 1;
	else if (strstr(w->name, "embedding.weight") && starts_with(w->name, "text_encoder.")) {
		struct rng s = stream_of(r, w->name);

		rng_normal(&s, v, n);
		for (int64_t i = 0; i < n; i++)
			v[i] *= .02f;
	} else
		fill_uniform(stream_of(r, w->name), v, n, sqrt(3 / inputs));
}

static int fill_initial(struct run *r, struct pool_entry *w, struct err *e)
{
	int64_t n = size_product(w->dim, MAX_DIM);
	void *v;
	int ret;

	if (mem_try(&v, (size_t)n * sizeof(float), w->name, e) < 0)
		return -1;
	initial(r, w, v, n);
	ret = pool_put_raw(&r->t.pool, w, v, e);
	free(v);
	return ret;
}

/* Does the base model give this weight, or does it begin anew? */
static int begins_anew(const struct run *r, const struct pool_entry *w)
{
	return starts_with(w->name, "lora.") || (r->o->from_config && w->trainable);
}

static int copy_to_average(struct run *r, struct pool_entry *ema, struct err *e)
{
	struct pool_entry *w = pool_find(&r->t.pool, ema->name + strlen("ema."));
	struct tensor t = { 0 };
	int ret = pool_get(&r->t.pool, w, &t, e) < 0 ? -1 : pool_put(&r->t.pool, ema, &t, e);

	tensor_release(&t);
	return ret;
}

int weights_fill(struct run *r, struct err *e)
{
	struct weight_source source = { weights_get, &r->line.weights, r->line.model.path, weights_trim };

	for (size_t i = 0; i < r->t.pool.n; i++) {
		struct pool_entry *w = &r->t.pool.entry[i];

		if (w->kind == OP_WEIGHT && begins_anew(r, w) && fill_initial(r, w, e) < 0)
			return -1;
	}
	if (pool_fetch(&r->t.pool, &source, e) < 0)
		return -1;
	for (size_t i = 0; i < r->t.pool.n; i++)
		if (starts_with(r->t.pool.entry[i].name, "ema.") &&
		    copy_to_average(r, &r->t.pool.entry[i], e) < 0)
			return -1;
	return pool_complete(&r->t.pool, e);
}
