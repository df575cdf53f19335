/*
 * The attention ops as the library's fused ones: 16-bit types, neither scores nor probabilities in memory.
 * Backward it keeps one 16-bit number for each score, so that it need not add atomically; as many pictures
 * are taken at a time as that allows.
 */
#include "kernels/cuda/dnn.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define ALIGN 256

static int64_t align_up(int64_t bytes)
{
	return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Of tensors q, k: how many tokens, and what a head takes. */
static struct heads heads_of(const struct node *n, const int64_t *q, const int64_t *k, enum dtype type)
{
	struct heads h;

	memset(&h, 0, sizeof h);
	h.n = q[0];
	h.heads = n->at.attention.heads;
	h.tq = q[1] * q[2];
	h.tk = k[1] * k[2];
	h.d = q[3] / h.heads;
	h.scale = n->at.attention.scale;
	h.causal = n->at.attention.causal;
	h.dx = n->op == OP_ATTENTION_DX;
	h.type = type;
	return h;
}

static int64_t queries_bytes(const struct heads *h)
{
	return h->n * h->tq * h->heads * h->d * (int64_t)dtype_size(h->type);
}

static int64_t keys_bytes(const struct heads *h)
{
	return h->n * h->tk * h->heads * h->d * (int64_t)dtype_size(h->type);
}

static int64_t lse_bytes(const struct heads *h)
{
	return h->n * h->heads * h->tq * 4;
}

/*
 * How many pictures at a time: they divide n, so that what each run begins with is still aligned, and are
 * the most whose scores are no more than `most` bytes; where there are none such, the fewest.
 */
static int64_t pictures_of(const struct heads *h, int64_t most)
{
	int64_t each = h->heads * ((h->tq + 63) / 64 * 64) * ((h->tk + 63) / 64 * 64) * 2, found = h->n;

	for (int64_t n = h->n; h->dx && n > 0 && found * each > most; n--)
		if (h->n % n == 0 && n * h->heads * h->tq % 4 == 0)
			found = n;
	return found;
}

/* h becomes what is run at a time, if the library may take it. */
static int may_take(const struct lane *l, struct heads *h)
{
	if (!l->dnn || (h->type != DT_BF16 && h->type != DT_F16) || h->n * h->tq * h->tk * h->d == 0)
		return 0;
	h->n = pictures_of(h, l->dnn->scores);
	return 1;
}

/* The same; -1: not by the library, else its bytes. */
static int64_t settle(struct lane *l, struct heads *h)
{
	return may_take(l, h) ? l->dnn->plan_heads(l->dnn, h) : -1;
}

/* The library writes and reads lse as f32, as lowering leaves it; in another type it is not the library's. */
static enum dtype type_of(enum dtype tensors, enum dtype lse)
{
	return lse == DT_F32 ? tensors : DT_F32;
}

static struct heads heads_of_node(const struct node *n, const struct graph *g)
{
	int dx = n->op == OP_ATTENTION_DX;
	const struct node *q = &g->node[n->in[dx]], *k = &g->node[n->in[dx + 1]];
	id lse = dx ? n->in[5] : graph_aux(g, (id)(n - g->node), 1);

	return heads_of(n, q->dim, k->dim, type_of(q->type, lse == NONE ? DT_F32 : g->node[lse].type));
}

void attend_prepare(struct lane *l, const struct graph *g)
{
	struct heads *all;
	size_t n = 0;

	if (!l->dnn || !l->dnn->prepare)
		return;
	all = xcalloc((size_t)g->n + 1, sizeof *all);
	for (id x = 0; x < g->n; x++) {
		const struct node *node = &g->node[x];

		if (node->op != OP_ATTENTION && node->op != OP_ATTENTION_DX)
			continue;
		all[n] = heads_of_node(node, g);
		n += (size_t)may_take(l, &all[n]);
	}
	l->dnn->prepare(l->dnn, all, n);
	free(all);
}

/* Results that nobody wants are written behind the library's scratch. */
int64_t attend_scratch(struct lane *l, const struct node *n, const struct graph *g)
{
	struct heads h = heads_of_node(n, g), whole = h;
	int64_t bytes = settle(l, &h);
	int dx = h.dx;

	if (bytes < 0)
		return -1;
	return ALIGN + align_up(bytes) + align_up(dx ? keys_bytes(&whole) : lse_bytes(&whole)) +
		(dx ? align_up(keys_bytes(&whole)) : 0);
}

static void *or_else(void *at, char **unwanted, int64_t bytes)
{
	void *to = at ? at : *unwanted;

	if (!at)
		*unwanted += align_up(bytes);
	return to;
}

static void set_addresses(struct heads *h, const struct call *c, char *unwanted)
{
	const struct view *in = c->in, *out = c->out;

	h->q = in[h->dx].at;
	h->k = in[h->dx + 1].at;
	h->v = in[h->dx + 2].at;
	if (!h->dx) {
		h->y = out[0].at;
		h->lse = or_else(out[1].at, &unwanted, lse_bytes(h));
		return;
	}
	h->dy = in[0].at;
	h->y = in[4].at;
	h->lse = in[5].at;
	h->dq = out[0].at;
	h->dk = or_else(out[1].at, &unwanted, keys_bytes(h));
	h->dv = or_else(out[2].at, &unwanted, keys_bytes(h));
}

static void *further(void *at, int64_t bytes)
{
	return at ? (char *)at + bytes : NULL;
}

/* The pictures behind those that are done. */
static void next(struct heads *h)
{
	int64_t queries = queries_bytes(h), keys = keys_bytes(h);

	h->q = further(h->q, queries);
	h->y = further(h->y, queries);
	h->dy = further(h->dy, queries);
	h->dq = further(h->dq, queries);
	h->k = further(h->k, keys);
	h->v = further(h->v, keys);
	h->dk = further(h->dk, keys);
	h->dv = further(h->dv, keys);
	h->lse = further(h->lse, lse_bytes(h));
}

int attend_run(struct lane *l, const struct call *c)
{
	int dx = c->n->op == OP_ATTENTION_DX;
	const struct view *lse = dx ? &c->in[5] : &c->out[1];
	enum dtype type = type_of(c->in[dx].type, lse->at ? lse->type : DT_F32);
	struct heads h = heads_of(c->n, c->in[dx].dim, c->in[dx + 1].dim, type);
	char *scratch = (char *)c->scratch + (ALIGN - (uintptr_t)c->scratch % ALIGN) % ALIGN;
	int64_t all = h.n, bytes = settle(l, &h), pictures = h.n;

	if (bytes < 0)
		return 0;
	h.n = all;
	set_addresses(&h, c, scratch + align_up(bytes));
	h.n = pictures;
	for (int64_t done = 0; done < all && !l->failed; done += pictures, next(&h))
		if (l->dnn->run_heads(l->dnn, &h, scratch, &l->why) < 0)
			l->failed = 1;
	return 1;
}
