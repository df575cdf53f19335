#include "kernels/run/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/ir/build.h"
#include "kernels/run/trainer_graph.h"

struct trainer_due {            /* a norm, whose square is fetched in its place */
	float *norm;
	float scale;            /* of the loss that it belongs to */
	int summed;             /* it is that of sums */
};

void trainer_begin(struct trainer *t, const struct trainer_config *c, struct backend *b)
{
	*t = (struct trainer){ .c = *c, .b = b };
}

int trainer_has_text(const struct trainer *t)
{
	return t->c.train[PART_TEXT];
}

static int same_key(const struct trainer_key *a, const struct trainer_key *b)
{
	return a->n == b->n && a->h == b->h && a->w == b->w && a->text_frozen == b->text_frozen &&
		a->alone == b->alone && a->validate == b->validate;
}

int trainer_shape(struct trainer *t, struct trainer_key key, struct err *e)
{
	struct trainer_shape *s;
	struct graph g = { 0 };

	for (size_t i = 0; i < t->shapes; i++)
		if (same_key(&t->shape[i].key, &key))
			return (int)i;
	t->shape = grow(t->shape, t->shapes, &t->cap_shapes, sizeof *t->shape);
	s = &t->shape[t->shapes++];
	*s = (struct trainer_shape){ .key = key };
	trainer_graph(&t->c, s, &g);
	if (pool_declare(&t->pool, &g, e) < 0 || session_plan(&s->session, &g, t->b, e) < 0) {
		graph_release(&g);
		return -1;
	}
	if (s->session.plan.arena > t->arena_bytes)
		t->arena_bytes = s->session.plan.arena;
	return (int)t->shapes - 1;
}

int trainer_plan(struct trainer *t, struct err *e)
{
	struct graph g = { 0 };

	if (!t->c.accumulate)
		return 0;
	trainer_update_graph(&t->c, t->shape[0].session.g, &g, &t->update_norm2);
	if (pool_declare(&t->pool, &g, e) < 0 || session_plan(&t->update, &g, t->b, e) < 0) {
		graph_release(&g);
		return -1;
	}
	if (t->update.plan.arena > t->arena_bytes)
		t->arena_bytes = t->update.plan.arena;
	return 0;
}

size_t trainer_pool_bytes(const struct trainer *t)
{
	return pool_bytes(&t->pool);
}

int trainer_place(struct trainer *t, struct err *e)
{
	if (pool_place(&t->pool, t->b, e) < 0 ||
	    arena_place(&t->arena, t->b, t->arena_bytes, e) < 0)
		return -1;
	for (size_t i = 0; i < t->shapes; i++)
		if (session_bind(&t->shape[i].session, &t->pool, &t->arena, e) < 0)
			return -1;
	if (t->c.accumulate && session_bind(&t->update, &t->pool, &t->arena, e) < 0)
		return -1;
	for (size_t i = 0; i < t->pool.n; i++)
		if (t->pool.entry[i].kind == OP_STATE &&
		    pool_fill(&t->pool, &t->pool.entry[i], 0, e) < 0)
			return -1;
	return 0;
}

void trainer_release(struct trainer *t)
{
	for (size_t i = 0; i < t->shapes; i++)
		session_release(&t->shape[i].session);
	free(t->shape);
	session_release(&t->update);
	pool_release(&t->pool);
	arena_release(&t->arena);
	free(t->due);
	*t = (struct trainer){ 0 };
}

static int put_if(struct session *s, const char *name, const void *values, struct err *e)
{
	if (!session_has_input(s, name))
		return 0;
	if (!values)
		BUG("the graph wants '%s'", name);
	return session_put(s, name, values, e);
}

static float scale_of(const struct trainer *t, const struct hyper *h)
{
	return t->c.type == DT_F16 && h && h->scale > 0 ? h->scale : 1;
}

static int put_hyper(const struct trainer *t, struct session *s, const struct hyper *h,
		     struct err *e)
{
	float ema = h->ema_decay;

	for (int i = 0; i < PART__COUNT; i++) {
		float v[HYPER] = {
			h->lr[i], h->beta1, h->beta2, h->eps, h->weight_decay,
			(float)(1 - pow(h->beta1, (double)h->step)),
			(float)(1 - pow(h->beta2, (double)h->step)), h->max_norm,
			1 / scale_of(t, h),
		};

		if (t->c.train[i] && put_if(s, trainer_hyper_name(i), v, e) < 0)
			return -1;
	}
	return put_if(s, "ema_decay", &ema, e);
}

/* norm NULL: not wanted. x NONE: there is none. */
static int fetch_norm(struct trainer *t, struct session *s, id x, struct trainer_due due, struct err *e)
{
	if (!due.norm)
		return 0;
	*due.norm = 0;
	if (x == NONE)
		return 0;
	t->due = grow(t->due, t->n_due, &t->cap_due, sizeof *t->due);
	t->due[t->n_due++] = due;
	return session_fetch(s, x, due.norm, e);
}

/* Sums that are infinite stay so, whatever is taken from them. */
static int clear_sums(struct trainer *t, struct err *e)
{
	for (size_t i = 0; i < t->pool.n; i++)
		if (starts_with(t->pool.entry[i].name, "grad.") &&
		    pool_fill(&t->pool, &t->pool.entry[i], 0, e) < 0)
			return -1;
	return 0;
}

int trainer_wait(struct trainer *t, struct err *e)
{
	int ret = t->b->wait(t->b, e);

	for (size_t i = 0; i < t->n_due && ret == 0; i++) {
		const struct trainer_due *d = &t->due[i];

		*d->norm = sqrtf(*d->norm) / d->scale;
		if (d->summed && !isfinite(*d->norm))
			ret = clear_sums(t, e);
	}
	t->n_due = 0;
	return ret;
}

int trainer_go(struct trainer *t, int index, const struct microbatch *b, const struct hyper *h,
	       float *loss, float *norm, struct err *e)
{
	struct trainer_shape *s = &t->shape[index];
	float scale = scale_of(t, h);

	if (put_if(&s->session, "noisy", b->noisy, e) < 0 || put_if(&s->session, "target", b->target, e) < 0 ||
	    put_if(&s->session, "timestep", b->timestep, e) < 0 ||
	    put_if(&s->session, "weight", b->weight, e) < 0 ||
	    put_if(&s->session, "hidden", b->hidden, e) < 0 || put_if(&s->session, "ids", b->ids, e) < 0 ||
	    put_if(&s->session, "dropout_key", b->dropout_key, e) < 0 ||
	    put_if(&s->session, "image", b->image, e) < 0 ||
	    put_if(&s->session, "noise", b->noise, e) < 0 || put_if(&s->session, "join", s->join, e) < 0 ||
	    put_if(&s->session, "loss_scale", &scale, e) < 0)
		return -1;
	if (h && put_hyper(t, &s->session, h, e) < 0)
		return -1;
	if (session_go(&s->session, e) < 0 || session_fetch(&s->session, s->loss, loss, e) < 0)
		return -1;
	return fetch_norm(t, &s->session, s->norm2, (struct trainer_due){ norm, scale, 0 }, e);
}

int trainer_run(struct trainer *t, int index, const struct microbatch *b, const struct hyper *h,
		float *loss, float *norm, struct err *e)
{
	return trainer_go(t, index, b, h, loss, norm, e) < 0 ? -1 : trainer_wait(t, e);
}

int trainer_update_go(struct trainer *t, const struct hyper *h, float *norm, struct err *e)
{
	if (put_hyper(t, &t->update, h, e) < 0 || session_go(&t->update, e) < 0)
		return -1;
	return fetch_norm(t, &t->update, t->update_norm2, (struct trainer_due){ norm, scale_of(t, h), 1 }, e);
}

int trainer_update(struct trainer *t, const struct hyper *h, float *norm, struct err *e)
{
	return trainer_update_go(t, h, norm, e) < 0 ? -1 : trainer_wait(t, e);
}
