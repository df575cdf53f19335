#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
			sum += (size_t)(w->dim[0] * w->dim[1] * w->dim[2] * w->dim[3]) * sizeof(float);
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
	fprintf(stderr, "weights %s, optimizer %s, gradient sums %s, averages %s\n", a, b, c, d);
	for (size_t i = 0; i < r->t.shapes; i++) {
		const struct trainer_shape *s = &r->t.shape[i];

		bytes_of(a, s->session.plan.arena);
		fprintf(stderr, "batch %lld of %lldx%lld%s: activations, gradients and workspace %s\n", (long long)s->key.n,
			(long long)s->key.w, (long long)s->key.h, s->key.validate ? " (validation)" : "", a);
	}
	bytes_of(a, trainer_pool_bytes(&r->t) + r->t.arena_bytes);
	fprintf(stderr, "peak %s\n", a);
	return 0;
}

int plan_fits(const struct run *r, struct err *e)
{
	size_t need = trainer_pool_bytes(&r->t) + r->t.arena_bytes;
	size_t have = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
	char a[40], b[40], c[40];

	if (r->o->memory)
		have = (size_t)r->o->memory;
	if (need <= have || r->o->plan)
		return 0;
	bytes_of(a, need);
	bytes_of(b, have);
	bytes_of(c, trainer_pool_bytes(&r->t));
	return fail(e, "%s are needed (%s of them for weights and optimizer), %s is the limit; less is needed by a smaller --batch, "
		    "by --method lora, or by training one part only", a, c, b);
}
