/*
 * The attention ops as the library's fused ones: 16-bit types, neither scores nor probabilities in memory.
 * Backward it keeps one 16-bit number for each score, so that it need not add atomically; as many pictures
 * are taken at a time as that allows.
 */
#include "kernels/cuda/dnn.h"

#include <string.h>

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

/* The most pictures at a time that divide n. */
static int64_t pictures_of(const struct heads *h, int64_t most)
{
	int64_t each = h->heads * (h->tq + 63) / 64 * 64 * ((h->tk + 63) / 64 * 64) * 2, n = h->n;

	while (h->dx && n > 1 && (h->n % n || n * each > most))
		n--;
	return n;
}

/* h becomes what is run at a time; -1: not by the library, else its bytes. */
static int64_t settle(struct lane *l, struct heads *h)
{
	if (!l->dnn || (h->type != DT_BF16 && h->type != DT_F16) || h->n * h->tq * h->tk * h->d == 0)
		return -1;
	h->n = pictures_of(h, l->dnn->scores);
	return l->dnn->plan_heads(l->dnn, h);
}

/* Results that nobody wants are written behind the library's scratch. */
int64_t attend_scratch(struct lane *l, const struct node *n, const struct graph *g)
{
	int dx = n->op == OP_ATTENTION_DX;
	const struct node *q = &g->node[n->in[dx]], *k = &g->node[n->in[dx + 1]];
	struct heads h = heads_of(n, q->dim, k->dim, q->type), whole = h;
	int64_t bytes = settle(l, &h);

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
	struct heads h = heads_of(c->n, c->in[dx].dim, c->in[dx + 1].dim, c->in[dx].type);
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
