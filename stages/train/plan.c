#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/trainer_graph.h"
#include "stages/train/train.h"

static void bytes_of(char out[40], size_t n)
{
	struct buf b = { 0 };

	text_bytes(&b, (int64_t)n);
	snprintf(out, 40, "%s", buf_str(&b));
	buf_release(&b);
}

/* Bytes of the pool whose names begin with `prefix`; NULL: weights proper. */
static size_t pool_part(const struct run *r, const char *prefix)
{
	size_t sum = 0;

	for (size_t i = 0; i < r->t.pool.n; i++) {
		const struct pool_entry *w = &r->t.pool.entry[i];

		if (prefix ? starts_with(w->name, prefix) : w->kind == OP_WEIGHT)
			sum += (size_t)(w->dim[0] * w->dim[1] * w->dim[2] * w->dim[3]) *
				dtype_size(w->type);
	}
	return sum;
}

int plan_print(const struct run *r)
{
	char a[40], b[40], c[40], d[40];

	bytes_of(a, pool_part(r, NULL));
	bytes_of(b, pool_part(r, "adam_"));
	bytes_of(c, pool_part(r, "grad."));
	bytes_of(d, pool_part(r, "ema."));
	printf("weights %s, optimizer %s, gradient sums %s, averages %s\n", a, b, c, d);
	for (size_t i = 0; i < r->t.shapes; i++) {
		const struct trainer_shape *s = &r->t.shape[i];

		bytes_of(a, s->session.plan.arena);
		printf("batch %lld of %lldx%lld%s: activations, gradients and workspace %s\n", (long long)s->key.n,
		       (long long)s->key.w, (long long)s->key.h, s->key.validate ? " (validation)" : "", a);
	}
	bytes_of(a, trainer_pool_bytes(&r->t) + r->t.arena_bytes);
	printf("peak %s\n", a);
	return 0;
}

/* ---- what would fit ---- */

/* Bytes that the same training would take with other options. */
static int bytes_with(const struct run *r, struct train_options *o, size_t *out, struct err *e)
{
	struct run t = *r;
	int ret = -1;

	t.o = o;
	t.t = (struct trainer){ 0 };
	items_batches(&t);
	if (method_read(&t, e) < 0 || method_steps(&t, e) < 0)
		goto out;
	trainer_begin(&t.t, &t.config, t.line.b);
	if (step_shapes(&t, e) < 0 || trainer_plan(&t.t, e) < 0)
		goto out;
	*out = trainer_pool_bytes(&t.t) + t.t.arena_bytes;
	ret = 0;
out:
	trainer_release(&t.t);
	batches_free(t.batches);
	return ret;
}

/* The next thing to give up: first what changes the result least. 0: nothing is left. */
static int give_up(struct train_options *o)
{
	if (o->batch > 1) {     /* as many pictures a step, one after the other */
		o->accumulate *= o->batch;
		o->batch = 1;
	} else if (!strcmp(o->method, "full")) {
		o->method = "lora";
	} else if (!strcmp(o->parts, "unet,text") && strcmp(o->method, "vae")) {
		o->parts = "unet";
	} else {
		return 0;
	}
	return 1;
}

static void put_options(struct buf *b, const struct train_options *was,
			const struct train_options *o)
{
	if (o->batch != was->batch)
		buf_addf(b, " --batch %lld --accumulate %lld", (long long)o->batch, (long long)o->accumulate);
	if (strcmp(o->method, was->method))
		buf_addf(b, " --method %s", o->method);
	if (strcmp(o->parts, was->parts))
		buf_addf(b, " --train %s", o->parts);
}

/* The nearest options that fit into `have`, as half a sentence; else those that take least. */
static int suggest(const struct run *r, size_t have, struct buf *b, struct err *e)
{
	struct train_options o = *r->o;
	size_t need = have + 1;
	char a[40];

	while (need > have && give_up(&o))
		if (bytes_with(r, &o, &need, e) < 0)
			return -1;
	bytes_of(a, need);
	if (need == have + 1)
		buf_adds(b, "nothing that train offers takes less");
	else if (need > have)
		buf_addf(b, "the least is %s, with", a);
	else
		buf_addf(b, "%s would fit, with", a);
	put_options(b, r->o, &o);
	return 0;
}

int plan_fits(const struct run *r, struct err *e)
{
	size_t need = trainer_pool_bytes(&r->t) + r->t.arena_bytes;
	size_t have = mem_machine();
	struct buf other = { 0 };
	char a[40], b[40], c[40];

	if (r->o->memory)
		have = (size_t)r->o->memory;
	if (need <= have || r->o->plan)
		return 0;
	bytes_of(a, need);
	bytes_of(b, have);
	bytes_of(c, trainer_pool_bytes(&r->t));
	if (suggest(r, have, &other, e) == 0)
		fail(e, "%s are needed (%s of them for weights and optimizer), %s is the limit; %s", a, c, b, buf_str(&other));
	buf_release(&other);
	return -1;
}
