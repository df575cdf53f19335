#include "kernels/run/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/talk.h"

int arena_place(struct arena *a, struct backend *b, size_t bytes, struct err *e)
{
	void *memory;

	if (!b->memory && bytes > mem_machine())
		return fail(e, "activations: %zu MB are needed and the machine has %zu MB", bytes >> 20, mem_machine() >> 20);
	if (b->alloc(b, bytes, &memory, e) < 0)
		return err_prefix(e, "activations");
	*a = (struct arena){ .b = b, .memory = memory, .bytes = bytes };
	return 0;
}

void arena_release(struct arena *a)
{
	if (a->memory)
		a->b->release(a->b, a->memory, a->bytes);
	*a = (struct arena){ 0 };
}

/*
 * Shapes that the backend left to slower kernels are told of in a line. BOOTH_KERNELS=1 in the environment:
 * how each shape is run, as far as the backend had to choose; of convolutions and attention before the first
 * run, of products after the last.
 */
static void report(struct backend *b)
{
	const char *wanted = getenv("BOOTH_KERNELS"), *first = NULL;
	struct buf lines = { 0 };
	char *save = NULL;
	int all = wanted && !strcmp(wanted, "1"), n = 0, slow = 0;

	if (!b || !b->report)
		return;
	b->report(b, &lines);
	for (char *l = lines.len ? strtok_r(lines.at, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
		n++;
		if (strstr(l, ": own kernels ") && !slow++)
			first = l;
		if (all)
			talk("%s", l);
	}
	if (slow && !all && n == 1)
		talk("%s", first);
	else if (slow && !all)
		talk("%d of %d shapes run as slower kernels (BOOTH_KERNELS=1 lists them), as %s", slow, n, first);
	buf_release(&lines);
}

int session_plan(struct session *s, struct graph *g, struct backend *b, struct err *e)
{
	size_t *scratch = xcalloc((size_t)g->n + 1, sizeof *scratch);
	const char *check = getenv("BOOTH_CHECK");

	*s = (struct session){ .b = b, .g = xmalloc(sizeof *g) };
	*s->g = *g;
	*g = (struct graph){ 0 };
	for (id i = 0; i < s->g->n; i++)
		scratch[i] = b->scratch(b, s->g, i);
	plan_make(&s->plan, s->g, scratch);
	free(scratch);
	report(b);
	return check && *check == '1' ? plan_check(&s->plan, s->g, e) : 0;
}

static void *place_of(const struct session *s, struct pool *p, struct arena *a, id x)
{
	const struct node *n = &s->g->node[x];

	if (n->op == OP_WEIGHT || n->op == OP_STATE) {
		struct pool_entry *w = pool_find(p, n->name);

		if (!w)
			BUG("'%s' is not in the pool", n->name);
		return p->memory + w->at;
	}
	return s->plan.at[x] == NOWHERE ? NULL : a->memory + s->plan.at[x];
}

static struct view view_of(const struct session *s, struct pool *p, struct arena *a, id x)
{
	if (x == NONE)
		return (struct view){ 0 };
	return (struct view){ place_of(s, p, a, x), s->g->node[x].dim, s->g->node[x].type };
}

static void forget_tape(struct session *s)
{
	if (s->tape)
		s->b->forget(s->b, s->tape);
	s->tape = NULL;
	s->ran = 0;
}

int session_bind(struct session *s, struct pool *p, struct arena *a, struct err *e)
{
	if (a->bytes < s->plan.arena)
		return fail(e, "the arena has %zu bytes, the graph needs %zu", a->bytes, s->plan.arena);
	forget_tape(s);
	free(s->call);
	free(s->seconds);
	s->call = xcalloc((size_t)s->g->n + 1, sizeof *s->call);
	s->seconds = xcalloc(OP__COUNT, sizeof *s->seconds);
	for (id i = 0; i < s->g->n; i++) {
		struct call *c = &s->call[i];

		c->n = &s->g->node[i];
		for (int k = 0; k < MAX_IN; k++)
			c->in[k] = view_of(s, p, a, c->n->in[k]);
		c->out[0] = view_of(s, p, a, i);
		for (int k = 1; k < MAX_OUT && c->n->op != OP_AUX; k++)
			c->out[k] = view_of(s, p, a, graph_aux(s->g, i, k));
		if (s->plan.scratch_at[i] != NOWHERE)
			c->scratch = a->memory + s->plan.scratch_at[i];
	}
	return 0;
}

void session_release(struct session *s)
{
	report(s->b);
	forget_tape(s);
	if (s->g)
		graph_release(s->g);
	free(s->g);
	plan_release(&s->plan);
	free(s->call);
	free(s->seconds);
	*s = (struct session){ 0 };
}

int session_has_input(const struct session *s, const char *input)
{
	return graph_find(s->g, OP_INPUT, input) != NONE;
}

int session_put(struct session *s, const char *input, const void *values, struct err *e)
{
	id x = graph_find(s->g, OP_INPUT, input);

	if (x == NONE)
		BUG("the graph has no input '%s'", input);
	return s->b->put(s->b, s->call[x].out[0].at, values, (size_t)node_bytes(&s->g->node[x]), e);
}

static int runs(enum op op)
{
	return !op_info[op].source && op != OP_AUX;
}

static int run_nodes(struct session *s, struct err *e)
{
	for (id i = 0; i < s->g->n; i++) {
		double t = s->timing ? clock_now() : 0;

		if (!runs(s->g->node[i].op))
			continue;
		if (s->b->run(s->b, &s->call[i], e) < 0)
			return err_prefix(e, "node %d '%s'", i, op_info[s->g->node[i].op].name);
		if (!s->timing)
			continue;
		if (s->b->wait(s->b, e) < 0)    /* or the time is that of asking for it */
			return -1;
		s->seconds[s->g->node[i].op] += clock_now() - t;
	}
	s->ran = 1;
	return 0;
}

static int record(struct session *s, struct err *e)
{
	const struct call **list = xcalloc((size_t)s->g->n + 1, sizeof *list);
	size_t n = 0;
	int ret;

	for (id i = 0; i < s->g->n; i++)
		if (runs(s->g->node[i].op))
			list[n++] = &s->call[i];
	ret = s->b->record(s->b, list, n, &s->tape, e);
	free(list);
	return ret;
}

static int wants_tape(const struct session *s)
{
	const char *word = getenv("BOOTH_TAPE");

	return s->b->record && s->ran && !s->timing && !(word && !strcmp(word, "0"));
}

int session_go(struct session *s, struct err *e)
{
	if (!wants_tape(s))
		return run_nodes(s, e);
	if (!s->tape && record(s, e) < 0)
		return -1;
	return s->b->replay(s->b, s->tape, e);
}

int session_run(struct session *s, struct err *e)
{
	return session_go(s, e) < 0 ? -1 : s->b->wait(s->b, e);
}

int session_fetch(struct session *s, id x, void *out, struct err *e)
{
	if (!s->b->fetch)
		return session_get(s, x, out, e);
	return s->b->fetch(s->b, out, s->call[x].out[0].at, (size_t)node_bytes(&s->g->node[x]), e);
}

int session_get(struct session *s, id x, void *out, struct err *e)
{
	return s->b->get(s->b, out, s->call[x].out[0].at, (size_t)node_bytes(&s->g->node[x]), e);
}

void to_nhwc(float *out, const float *in, int64_t n, int64_t c, int64_t h, int64_t w)
{
	for (int64_t i = 0; i < n; i++, in += c * h * w, out += c * h * w)
		for (int64_t k = 0; k < c; k++)
			for (int64_t p = 0; p < h * w; p++)
				out[p * c + k] = in[k * h * w + p];
}

void to_nchw(float *out, const float *in, int64_t n, int64_t c, int64_t h, int64_t w)
{
	for (int64_t i = 0; i < n; i++, in += c * h * w, out += c * h * w)
		for (int64_t k = 0; k < c; k++)
			for (int64_t p = 0; p < h * w; p++)
				out[k * h * w + p] = in[p * c + k];
}
