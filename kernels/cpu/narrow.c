#include "kernels/cpu/narrow.h"

#define BLOCK 8192

static int narrow(enum dtype t)
{
	return t == DT_BF16 || t == DT_F16;
}

int narrow_is(const struct call *c)
{
	int found = 0;

	for (int i = 0; i < MAX_IN; i++)
		found |= c->in[i].at && narrow(c->in[i].type);
	for (int i = 0; i < MAX_OUT; i++)
		found |= c->out[i].at && narrow(c->out[i].type);
	return found && c->n->op != OP_CAST;
}

static size_t wide_bytes(const int64_t dim[MAX_DIM])
{
	return ((size_t)(dim[0] * dim[1] * dim[2] * dim[3]) * sizeof(float) + 63) & ~(size_t)63;
}

static size_t node_wide(const struct graph *g, id x)
{
	return x != NONE && narrow(g->node[x].type) ? wide_bytes(g->node[x].dim) : 0;
}

size_t narrow_scratch(const struct graph *g, id x)
{
	const struct node *n = &g->node[x];
	size_t sum = 0;

	if (op_info[n->op].source || n->op == OP_AUX || n->op == OP_CAST)
		return 0;
	for (int i = 0; i < MAX_IN; i++)
		sum += node_wide(g, n->in[i]);
	if (op_info[n->op].outs)
		sum += node_wide(g, x) + node_wide(g, graph_aux(g, x, 1)) + node_wide(g, graph_aux(g, x, 2));
	return sum;
}

/* ---- casts ---- */

static void cast_block(void *y, enum dtype to, const void *x, enum dtype from, int64_t n)
{
	float wide[BLOCK];

	if (from == DT_F32) {
		row_from_f32(y, to, x, n);
	} else if (to == DT_F32) {
		row_to_f32(y, x, from, n);
	} else {
		row_to_f32(wide, x, from, n);
		row_from_f32(y, to, wide, n);
	}
}

void narrow_cast(const struct view *y, const struct view *x)
{
	int64_t n = x->dim[0] * x->dim[1] * x->dim[2] * x->dim[3];
	size_t in = dtype_size(x->type), out = dtype_size(y->type);

#pragma omp parallel for schedule(static) if (n >= 8 * BLOCK)
	for (int64_t at = 0; at < n; at += BLOCK)
		cast_block((char *)y->at + (size_t)at * out, y->type, (const char *)x->at + (size_t)at * in,
			   x->type, n - at < BLOCK ? n - at : BLOCK);
}

/* ---- calls ---- */

/* What an op works on by effect, or NULL. */
static const struct view *moved(const struct call *c)
{
	if (op_info[c->n->op].outs)
		return NULL;
	if (c->n->op == OP_ADAMW && !narrow(c->in[0].type))
		return narrow(c->in[2].type) ? &c->in[2] : &c->in[3];
	return &c->in[0];
}

/* Room for a wide copy of v at *at, which moves on; v itself if it is wide. */
static struct view widened(const struct view *v, char **at)
{
	struct view w = { *at, v->dim, DT_F32 };

	if (!v->at || !narrow(v->type))
		return *v;
	*at += wide_bytes(v->dim);
	return w;
}

int narrow_run(cpu_kernel *kernel, const struct call *c, struct err *e)
{
	const struct view *m = moved(c);
	struct call wide = *c;
	char *at = c->scratch;

	if (m && narrow(m->type))
		return fail(e, "'%s' moves what is kept in %s; the CPU backend keeps it in F32",
			    op_info[c->n->op].name, dtype_name(m->type));
	for (int i = 0; i < MAX_IN; i++) {
		wide.in[i] = widened(&c->in[i], &at);
		if (wide.in[i].at != c->in[i].at)
			narrow_cast(&wide.in[i], &c->in[i]);
	}
	for (int i = 0; i < MAX_OUT; i++)
		wide.out[i] = widened(&c->out[i], &at);
	wide.scratch = at;
	kernel(&wide);
	for (int i = 0; i < MAX_OUT; i++)
		if (wide.out[i].at != c->out[i].at)
			narrow_cast(&c->out[i], &wide.out[i]);
	return 0;
}
