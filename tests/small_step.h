/* Training steps of tests/small_model.h, whose numbers are drawn, on a backend. */
#ifndef SMALL_STEP_H
#define SMALL_STEP_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "tests/small_model.h"
#include "tests/test.h"

#define SMALL_PICTURES 2
#define SMALL_SIDE 8
#define SMALL_LATENTS (SMALL_PICTURES * SMALL_SIDE * SMALL_SIDE * 4)

struct small {
	struct backend *b;
	struct trainer t;
	struct lora lora;
	float noisy[SMALL_LATENTS], target[SMALL_LATENTS];
	float hidden[SMALL_PICTURES * 77 * 16], time[SMALL_PICTURES], weight[SMALL_PICTURES];
	struct microbatch batch;
};

static inline void small_normals(float *v, int64_t n, const char *name, float by)
{
	struct rng r = rng_stream(3, "precision", rng_word(name), 0);

	rng_normal(&r, v, n);
	for (int64_t i = 0; i < n; i++)
		v[i] *= by;
}

/* Weights small enough that nothing grows; norms' are 1. */
static inline void small_fill(struct small *x, struct err *e)
{
	for (size_t i = 0; i < x->t.pool.n; i++) {
		struct pool_entry *w = &x->t.pool.entry[i];
		int64_t n = w->dim[0] * w->dim[1] * w->dim[2] * w->dim[3];
		float *v = xcalloc((size_t)n, sizeof *v);

		small_normals(v, n, w->name, .1f);
		for (int64_t k = 0; k < n && strstr(w->name, "norm") && ends_with(w->name, ".weight"); k++)
			v[k] = 1;
		if (w->kind == OP_WEIGHT)
			CHECK_OK(pool_put_raw(&x->t.pool, w, v, e), *e);
		free(v);
	}
	small_normals(x->noisy, SMALL_LATENTS, "noisy", 1);
	small_normals(x->target, SMALL_LATENTS, "target", 1);
	small_normals(x->hidden, SMALL_PICTURES * 77 * 16, "hidden", 1);
	for (int i = 0; i < SMALL_PICTURES; i++) {
		x->time[i] = (float)(300 * i + 7);
		x->weight[i] = 1.0f / SMALL_PICTURES;
	}
	x->batch = (struct microbatch){ .noisy = x->noisy, .target = x->target, .timestep = x->time,
					.weight = x->weight, .hidden = x->hidden };
}

/* b is given to x. lora: else all weights learn; accumulate: two micro-batches a step. */
static inline void small_open(struct small *x, struct backend *b, enum dtype type, int lora, int accumulate,
			      struct err *e)
{
	struct trainer_key key = { SMALL_PICTURES, SMALL_SIDE, SMALL_SIDE, .alone = !accumulate };
	struct trainer_key held = { SMALL_PICTURES, SMALL_SIDE, SMALL_SIDE, .validate = 1 };
	struct trainer_config c = small_trainer();

	*x = (struct small){ .b = b, .lora = { .cover = LORA_CONV, .rank = 4, .alpha = 4 } };
	c.type = type;
	c.train[PART_UNET] = 1;
	c.lora[PART_UNET] = lora ? &x->lora : NULL;
	c.accumulate = accumulate;
	c.ema = 1;
	trainer_begin(&x->t, &c, x->b);
	CHECK_INT(trainer_shape(&x->t, key, e), 0);
	CHECK_INT(trainer_shape(&x->t, held, e), 1);
	CHECK_OK(trainer_plan(&x->t, e), *e);
	CHECK_OK(trainer_place(&x->t, e), *e);
	small_fill(x, e);
}

static inline void small_close(struct small *x)
{
	trainer_release(&x->t);
	x->b->close(x->b);
}

/* Step `number`, from 1. */
static inline void small_step(struct small *x, int number, float scale, float *loss, float *norm,
			      struct err *e)
{
	struct hyper h = { .lr = { 1e-3f, 1e-3f, 1e-3f }, .beta1 = .9f, .beta2 = .999f, .eps = 1e-8f,
			   .weight_decay = .01f, .max_norm = 1, .step = number, .ema_decay = .5f,
			   .scale = scale };

	for (int k = 0; k <= x->t.c.accumulate; k++)
		CHECK_OK(trainer_run(&x->t, 0, &x->batch, &h, loss, norm, e), *e);
	if (x->t.c.accumulate)
		CHECK_OK(trainer_update(&x->t, &h, norm, e), *e);
}

#endif
