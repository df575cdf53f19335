#include "kernels/run/network.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/lower.h"

void network_begin(struct network *net, struct backend *b, enum dtype type, network_build *build,
		   const void *config, struct weight_source source)
{
	*net = (struct network){ .b = b, .build = build, .config = config, .source = source, .type = type };
}

#define TRIM ((size_t)16 << 20)         /* bytes of files that may be in memory beside the pool */

/* *read: bytes in all. */
static void trim(const struct weight_source *source, size_t bytes, size_t *read)
{
	size_t now;

#pragma omp atomic capture
	now = *read += bytes;
	if (source->trim && now / TRIM != (now - bytes) / TRIM)
		source->trim(source->data);
}

static int fetch_one(struct pool *p, struct pool_entry *w, const struct weight_source *source, size_t *read,
		     struct err *e)
{
	struct tensor t = { 0 };
	int ret = source->get(source->data, w->name, &t, e) < 0 ? -1 : pool_put(p, w, &t, e);

	if (ret < 0 && source->path)
		err_prefix(e, "'%s'", source->path);
	trim(source, (size_t)tensor_bytes(&t), read);
	tensor_release(&t);
	return ret;
}

/*
 * By as many threads as the backend has: the pool's memory is touched here for the first time, and
 * that is most of the time this takes. What lies before a failure is still looked at, so that the
 * failure that is told is the first one's whoever meets it.
 */
int pool_fetch(struct pool *p, const struct weight_source *source, struct err *e)
{
	size_t failed = p->n, read = 0;

#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < p->n; i++) {
		struct pool_entry *w = &p->entry[i];
		struct err why;
		size_t until;

#pragma omp atomic read
		until = failed;
		if (i > until || w->kind != OP_WEIGHT || w->set || fetch_one(p, w, source, &read, &why) == 0)
			continue;
#pragma omp critical
		if (i < failed) {
#pragma omp atomic write
			failed = i;
			*e = why;
		}
	}
	if (source->trim)
		source->trim(source->data);
	return failed < p->n ? -1 : 0;
}

static int plan_shape(struct network *net, struct network_shape *s, struct err *e)
{
	struct graph g = { 0 };
	struct model m;
	id *map, *lowered;
	int ret;

	model_begin(&m, &g);
	s->out = net->build(&m, net->config, s->side);
	graph_keep(&g, s->out);
	map = graph_fuse(&g);
	lowered = graph_lower(&g, net->type, NULL, NULL);
	s->out = lowered[map[s->out]];
	free(lowered);
	free(map);
	model_release(&m);
	ret = net->pool.memory ? 0 : pool_declare(&net->pool, &g, e);
	if (ret == 0)
		ret = session_plan(&s->session, &g, net->b, e);
	graph_release(&g);
	return ret;
}

int network_bytes(const struct network *net, const int64_t side[SHAPE_SIDES], size_t *out, struct err *e)
{
	struct network n = { .b = net->b, .build = net->build, .config = net->config, .type = net->type };
	struct network_shape s = { .session = { 0 } };
	int ret;

	memcpy(s.side, side, sizeof s.side);
	ret = plan_shape(&n, &s, e);
	*out = ret < 0 ? 0 : pool_bytes(&n.pool) + s.session.plan.arena;
	session_release(&s.session);
	pool_release(&n.pool);
	return ret;
}

static int place_weights(struct network *net, struct err *e)
{
	if (net->pool.memory)
		return 0;
	if (pool_place(&net->pool, net->b, e) == 0 && pool_fetch(&net->pool, &net->source, e) == 0)
		return 0;
	pool_release(&net->pool);
	return -1;
}

/* An arena that is large enough for the largest shape, to which all shapes are bound again. */
static int place_shapes(struct network *net, struct err *e)
{
	size_t want = 0;

	for (size_t i = 0; i < net->n; i++)
		if (net->shape[i].session.plan.arena > want)
			want = net->shape[i].session.plan.arena;
	if (want > net->arena.bytes) {
		arena_release(&net->arena);
		if (arena_place(&net->arena, net->b, want, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < net->n; i++)
		if (session_bind(&net->shape[i].session, &net->pool, &net->arena, e) < 0)
			return -1;
	return 0;
}

/* What could not be placed must not be found by the next call; weights that were fetched stay. */
static void forget_shapes(struct network *net)
{
	for (size_t i = 0; i < net->n; i++)
		session_release(&net->shape[i].session);
	net->n = 0;
	arena_release(&net->arena);
}

struct network_shape *network_shape(struct network *net, const int64_t side[SHAPE_SIDES],
				    struct err *e)
{
	struct network_shape *s;

	for (size_t i = 0; i < net->n; i++)
		if (!memcmp(net->shape[i].side, side, sizeof net->shape[i].side))
			return &net->shape[i];
	net->shape = grow(net->shape, net->n, &net->cap, sizeof *net->shape);
	s = &net->shape[net->n];
	*s = (struct network_shape){ 0 };
	memcpy(s->side, side, sizeof s->side);
	if (plan_shape(net, s, e) < 0) {
		session_release(&s->session);
		return NULL;
	}
	net->n++;
	if (place_weights(net, e) < 0 || place_shapes(net, e) < 0) {
		forget_shapes(net);
		return NULL;
	}
	return s;
}

void network_release(struct network *net)
{
	forget_shapes(net);
	pool_release(&net->pool);
	free(net->shape);
	*net = (struct network){ 0 };
}
