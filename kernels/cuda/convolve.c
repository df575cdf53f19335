/* The convolution ops as the library's whole ones. 1x1 filters stay products, which is what they are. */
#include "kernels/cuda/dnn.h"

#include <string.h>

/* The library asks for addresses that are multiples of 16, and takes up to 256 for its own. */
#define ALIGN 256

static size_t align_up(size_t bytes)
{
	return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static char *align_at(void *scratch)
{
	return (char *)align_up((size_t)(uintptr_t)scratch);
}

/* A call without addresses: what is there points to `there`. */
static struct call call_of(const struct node *n, const struct graph *g)
{
	static char there;
	struct call c = { .n = n };

	for (int i = 0; i < MAX_IN; i++)
		if (n->in[i] != NONE)
			c.in[i] = (struct view){ &there, g->node[n->in[i]].dim, g->node[n->in[i]].type };
	c.out[0] = (struct view){ &there, n->dim, n->type };
	return c;
}

static struct side side_of(const struct view *v)
{
	return (struct side){ v->at, v->type };
}

static void set_x(struct filter *f, const struct view *v)
{
	f->x = side_of(v);
	f->n = v->dim[0];
	f->h = v->dim[1];
	f->w = v->dim[2];
	f->c = v->dim[3];
}

static void set_filter(struct filter *f, const struct view *v)
{
	f->filter = side_of(v);
	f->k = v->dim[0];
	f->r = v->dim[1];
	f->s = v->dim[2];
}

static void set_y(struct filter *f, const struct view *v)
{
	f->y = side_of(v);
	f->i = v->dim[1];
	f->j = v->dim[2];
}

static struct filter filter_of(const struct call *c)
{
	const union attr *at = &c->n->at;
	struct filter f;

	memset(&f, 0, sizeof f);
	f.stride = at->conv.stride;
	f.top = at->conv.top;
	f.left = at->conv.left;
	f.bottom = at->conv.bottom;
	f.right = at->conv.right;
	f.way = c->n->op == OP_CONV2D ? FILTER_FORWARD : c->n->op == OP_CONV2D_DX ? FILTER_DX : FILTER_DW;
	if (f.way == FILTER_FORWARD) {
		set_x(&f, &c->in[0]);
		set_filter(&f, &c->in[1]);
		set_y(&f, &c->out[0]);
		f.bias = side_of(&c->in[2]);
		f.add = side_of(&c->in[3]);
	} else if (f.way == FILTER_DX) {
		set_y(&f, &c->in[0]);
		set_filter(&f, &c->in[1]);
		set_x(&f, &c->out[0]);
		f.add = side_of(&c->in[2]);
	} else {
		set_x(&f, &c->in[0]);
		set_y(&f, &c->in[1]);
		set_filter(&f, &c->out[0]);
	}
	return f;
}

static int is_plain(const struct filter *f)
{
	return f->r == 1 && f->s == 1 && f->stride == 1 && !f->top && !f->left && !f->bottom && !f->right;
}

/*
 * How f is done: with bias and add in one pass where the library has that, else onto a copy of add, and
 * the bias after it. -1: not by the library; else its bytes.
 */
static int64_t settle(struct lane *l, struct filter *f, struct side *bias, struct side *add)
{
	int64_t bytes;

	if (!l->dnn || is_plain(f) || f->n * f->h * f->w * f->c * f->i * f->j * f->k == 0)
		return -1;
	f->tf32 = l->b && l->b->tf32;
	if (f->way == FILTER_DW)
		f->filter.type = f->x.type;
	*bias = *add = (struct side){ NULL, DT_NONE };
	f->fused = f->bias.at != NULL;
	if (f->fused) {
		bytes = l->dnn->plan_filter(l->dnn, f);
		if (bytes >= 0)
			return bytes;
	}
	*bias = f->bias;
	*add = f->add;
	f->fused = 0;
	f->onto = f->add.at != NULL;
	f->bias = f->add = (struct side){ NULL, DT_NONE };
	return l->dnn->plan_filter(l->dnn, f);
}

/*
 * A filter's gradient comes in the type of what it is made of: the library has no engine for 16 bits that
 * makes f32 of them. Where f32 is wanted it is made in scratch and cast.
 */
static size_t narrow_bytes(const struct filter *f, enum dtype wanted)
{
	if (f->way != FILTER_DW || f->filter.type == wanted)
		return 0;
	return align_up((size_t)(f->k * f->r * f->s * f->c) * dtype_size(f->filter.type));
}

/* The bias' gradient is our own sum. */
static size_t sums_bytes(const struct filter *f)
{
	return f->way == FILTER_DW ? cuda_bias_scratch(f->n * f->i * f->j, f->k) : 0;
}

int64_t convolve_scratch(struct lane *l, const struct node *n, const struct graph *g)
{
	struct call c = call_of(n, g);
	struct filter f = filter_of(&c);
	struct side bias, add;
	int64_t bytes = settle(l, &f, &bias, &add);

	if (bytes < 0)
		return -1;
	return (int64_t)(ALIGN + align_up((size_t)bytes) + narrow_bytes(&f, n->type) + sums_bytes(&f));
}

/* y += b, b like y or one for each channel */
static void add_onto(struct lane *l, const struct view *y, struct side b, const int64_t dim[MAX_DIM])
{
	struct node n = { .op = OP_ADD };
	struct call c = { .n = &n };

	memcpy(n.dim, y->dim, sizeof n.dim);
	c.in[0] = c.out[0] = *y;
	c.in[1] = (struct view){ b.at, dim, b.type };
	cuda_add(&c, l);
}

int convolve_run(struct lane *l, const struct call *c)
{
	struct filter f = filter_of(c);
	struct side bias, add;
	int64_t bytes = settle(l, &f, &bias, &add);
	const struct view *y = &c->out[0];
	char *scratch = align_at(c->scratch), *behind;
	size_t narrow;

	if (bytes < 0)
		return 0;
	behind = scratch + align_up((size_t)bytes);
	narrow = narrow_bytes(&f, y->type);
	if (narrow)
		f.filter.at = behind;
	if (add.at && add.at != y->at)
		cuda_cast(l, *y, (struct view){ add.at, y->dim, add.type });
	if (!l->failed && l->dnn->run_filter(l->dnn, &f, scratch, &l->why) < 0)
		l->failed = 1;
	if (narrow)
		cuda_cast(l, *y, (struct view){ f.filter.at, y->dim, f.filter.type });
	if (bias.at)
		add_onto(l, y, bias, (int64_t[]){ 1, 1, 1, f.k });
	if (c->out[1].at)
		cuda_bias(l, c->out[1], c->in[1], f.n * f.i * f.j, f.k, behind + narrow);
	return 1;
}
