#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/precision.h"
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

int plan_text(struct run *r, struct err *e)
{
	r->text_bytes = 0;
	if (is_vae(r) || trainer_has_text(&r->t))
		return 0;
	return pipeline_text_bytes(&r->line, r->o->clip_skip, r->o->max_tokens, &r->text_bytes, e);
}

/*
 * In the machine's memory, the program itself, and what it takes to save: objects that wait to be written
 * together, the largest tensor as it goes into the store and as it is packed there.
 */
#define PROGRAM ((size_t)16 << 20)
#define WAITING ((size_t)32 << 20)

static size_t bytes_beside(const struct run *r)
{
	size_t largest = 0;

	if (r->line.b->memory)
		return r->line.b->overhead;
	for (size_t i = 0; i < r->t.pool.n; i++) {
		const struct pool_entry *w = &r->t.pool.entry[i];
		size_t bytes = (size_t)size_product(w->dim, MAX_DIM) * sizeof(float);

		if (w->trainable && bytes > largest)
			largest = bytes;
	}
	return PROGRAM + WAITING + 2 * largest;
}

/* All that a training takes where it computes: in the machine's memory, or the device's. */
static size_t bytes_needed(const struct run *r)
{
	size_t training = trainer_pool_bytes(&r->t) + r->t.arena_bytes;

	if (!text_is_first(r))
		training += r->text_bytes;
	else if (r->text_bytes > training)
		training = r->text_bytes;
	return training + bytes_beside(r);
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
	bytes_of(a, r->text_bytes);
	bytes_of(b, bytes_beside(r));
	if (r->text_bytes)
		printf("text encoder, %s: %s\n", text_is_first(r) ? "gone before it begins" : "beside it", a);
	if (r->line.b->memory)
		printf("on %s: libraries and uploads %s\n", r->line.b->device, b);
	else
		printf("program, and what is being saved: %s\n", b);
	bytes_of(a, bytes_needed(r));
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
	if (precision_use(t.line.b, o->precision, &t.line.type, e) < 0 || method_read(&t, e) < 0 ||
	    method_steps(&t, e) < 0)
		goto out;
	trainer_begin(&t.t, &t.config, t.line.b);
	if (step_shapes(&t, e) < 0 || trainer_plan(&t.t, e) < 0 || plan_text(&t, e) < 0)
		goto out;
	*out = bytes_needed(&t);
	ret = 0;
out:
	trainer_release(&t.t);
	batches_free(t.batches);
	return ret;
}

/* The next thing to give up: first what changes the result least. 0: nothing is left. */
static int give_up(struct train_options *o, const struct backend *b)
{
	if (o->batch > 1) {     /* as many pictures a step, one after the other */
		o->accumulate *= o->batch;
		o->batch = 1;
	} else if (strstr(o->precision, "f32")) {       /* tf32, too */
		o->precision = b->lacks >> PRECISION_BF16 & 1 ? "fp16" : "bf16";
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
	if (strcmp(o->precision, was->precision))
		buf_addf(b, " --precision %s", o->precision);
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

	while (need > have && give_up(&o, r->line.b))
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

/* Also what the driver takes for this program, which nobody tells. */
static void say_room(const struct backend *b, const struct room *room, struct buf *out)
{
	size_t others = room->all - room->unused > room->ours ? room->all - room->unused - room->ours : 0;
	char c[40], d[40];

	bytes_of(c, room->unused + room->ours);
	bytes_of(d, others);
	buf_addf(out, "on %s, there are %s, other programs and the driver hold %s%s%s%s", b->device, c, d,
		 *room->holders ? " (" : "", room->holders, *room->holders ? ")" : "");
}

/* The bytes that there are, and in words. */
static int find_room(const struct run *r, size_t *have, struct buf *words, struct err *e)
{
	struct backend *b = r->line.b;
	struct room room;
	char c[40];

	*have = mem_machine();
	if (b->memory && b->memory(b, &room, e) < 0)
		return -1;
	if (b->memory)
		*have = room.unused + room.ours;
	if (r->o->memory && (!b->memory || (size_t)r->o->memory < *have))
		*have = (size_t)r->o->memory;
	else if (b->memory) {
		say_room(b, &room, words);
		return 0;
	}
	bytes_of(c, *have);
	buf_addf(words, "%s is the limit", c);
	return 0;
}

int plan_fits(const struct run *r, struct err *e)
{
	size_t need = bytes_needed(r), have;
	struct buf other = { 0 }, words = { 0 };
	char a[40], c[40];
	int ret = r->o->plan ? 0 : find_room(r, &have, &words, e);

	if (ret == 0 && !r->o->plan && need > have) {
		bytes_of(a, need);
		bytes_of(c, trainer_pool_bytes(&r->t));
		if (suggest(r, have, &other, e) == 0)
			fail(e, "%s are needed (%s of them for weights and optimizer), %s; %s", a, c, buf_str(&words), buf_str(&other));
		ret = -1;
	}
	buf_release(&other);
	buf_release(&words);
	return ret;
}
