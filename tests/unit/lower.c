/*
 * Lowering: the types that a training step's nodes get, by the rules in kernels/ir/lower.h; nothing is
 * changed where f32 is wanted.
 */
#include "tests/test.h"

#include <math.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/ir/build.h"
#include "kernels/ir/lower.h"
#include "kernels/run/session.h"
#include "kernels/run/trainer_graph.h"
#include "tests/small_model.h"

/* ---- types ---- */

struct step {
	const char *what;
	int full, text, vae, accumulate, ema, validate;
};

static const struct step steps[] = {
	{ "full", 1, 0, 0, 0, 0, 0 },
	{ "full with text, summed, averaged", 1, 1, 0, 1, 1, 0 },
	{ "a LoRA with text", 0, 1, 0, 0, 0, 0 },
	{ "the autoencoder", 1, 0, 1, 0, 0, 0 },
	{ "validation of full with text", 1, 1, 0, 0, 0, 1 },
};

/* In the step's training this weight learns. */
static int learns(const void *data, const char *name)
{
	const struct step *s = data;

	if (!s->full)
		return starts_with(name, "lora.");
	return s->vae ? starts_with(name, "vae.") : starts_with(name, "unet.") ||
		(s->text && starts_with(name, "text_encoder."));
}

static void build(const struct step *s, struct graph *g, id *loss)
{
	static const struct lora lora = { .cover = LORA_CONV, .rank = 4, .alpha = 2 };
	struct trainer_config c = small_trainer();
	struct trainer_shape shape = { .key = { .n = 2, .h = 8, .w = 8, .alone = !s->accumulate,
						.validate = s->validate } };

	c.train[PART_UNET] = !s->vae;
	c.train[PART_VAE] = s->vae;
	c.train[PART_TEXT] = s->text;
	c.lora[PART_UNET] = c.lora[PART_TEXT] = s->full ? NULL : &lora;
	c.accumulate = s->accumulate;
	c.ema = s->ema;
	c.kl_weight = 1e-6f;
	if (s->vae)
		shape.key.h = shape.key.w = 16;
	trainer_graph(&c, &shape, g);
	*loss = shape.loss;
}

static int bad(const struct step *s, const struct graph *g, id x, const char *what)
{
	printf("# %s: node %d '%s' (%s): %s\n", s->what, x, op_info[g->node[x].op].name,
	       dtype_name(g->node[x].type), what);
	test_bad = 1;
	return 1;
}

static enum dtype in_type(const struct graph *g, const struct node *n, int i)
{
	return n->in[i] == NONE ? DT_NONE : g->node[n->in[i]].type;
}

/* What a product multiplies has one type; bias and residual have the result's. */
static void check_product(const struct step *s, const struct graph *g, id x, enum dtype type)
{
	const struct node *n = &g->node[x];
	int forward = n->op == OP_LINEAR || n->op == OP_CONV2D;

	if (in_type(g, n, 0) != type || in_type(g, n, 1) != type)
		bad(s, g, x, "operands of other types");
	if (n->type != (n->op == OP_LINEAR_DW || n->op == OP_CONV2D_DW ? DT_F32 : type))
		bad(s, g, x, "a result of another type");
	for (int i = 2; i < 4 && (forward || i == 2); i++)
		if (n->in[i] != NONE && in_type(g, n, i) != n->type)
			bad(s, g, x, "a bias or residual of another type than the result");
}

static void check_attention(const struct step *s, const struct graph *g, id x, enum dtype type)
{
	const struct node *n = &g->node[x];

	for (int i = 0; i < 5; i++)
		if (n->in[i] != NONE && in_type(g, n, i) != type)
			bad(s, g, x, "an operand of another type");
	if (n->op == OP_ATTENTION_DX && in_type(g, n, 5) != DT_F32)
		bad(s, g, x, "lse is not f32");
}

static void check_aux(const struct step *s, const struct graph *g, id x, enum dtype type)
{
	id of = g->node[x].in[0];

	if (g->node[x].type != (g->node[of].op == OP_ATTENTION_DX ? type : DT_F32))
		bad(s, g, x, "an aux result of the wrong type");
	if (x - of > 2)
		bad(s, g, x, "an aux result far from its node");
}

/* Nodes whose type the op alone decides. 0: not one of them. */
static int check_fixed(const struct step *s, const struct graph *g, id x, enum dtype type)
{
	const struct node *n = &g->node[x];

	switch (n->op) {
	case OP_WEIGHT:
		return n->type != (learns(s, n->name) ? DT_F32 : type) && bad(s, g, x, "a weight");
	case OP_STATE: case OP_EMBED_DW: case OP_SUM_TO: case OP_MSE: case OP_SUMSQ: case OP_FILL:
		return n->type != DT_F32 && bad(s, g, x, "not f32");
	case OP_GROUP_NORM: case OP_LAYER_NORM: case OP_GROUP_NORM_DX: case OP_LAYER_NORM_DX: case OP_GEGLU:
	case OP_GEGLU_DX: case OP_EMBED: case OP_TIMESTEP: case OP_UPSAMPLE: case OP_CONCAT: case OP_SLICE:
	case OP_MSE_DX:
		return n->type != type && bad(s, g, x, "an activation or gradient that is not narrow");
	case OP_ADAMW: case OP_ACCUM:
		return (in_type(g, n, 0) != DT_F32 || in_type(g, n, 1) != DT_F32) &&
			bad(s, g, x, "moves or takes what is not f32");
	default:
		return 0;
	}
}

static int is_of_weight(const struct graph *g, id x)
{
	return g->node[x].op == OP_CAST && g->node[g->node[x].in[0]].op == OP_WEIGHT;
}

static void check_casts(const struct step *s, const struct graph *g)
{
	int begun = 0;

	for (id i = 0; i < g->n; i++) {
		if (begun && (op_info[g->node[i].op].source || is_of_weight(g, i)))
			bad(s, g, i, "does not come first");
		begun |= !op_info[g->node[i].op].source && !is_of_weight(g, i);
	}
	for (id i = 0; i < g->n; i++)
		for (id j = 0; j < i && g->node[i].op == OP_CAST; j++)
			if (g->node[j].op == OP_CAST && g->node[j].in[0] == g->node[i].in[0] &&
			    g->node[j].type == g->node[i].type)
				bad(s, g, i, "cast twice");
}

static void check_plan(const struct graph *g)
{
	struct backend *b = NULL;
	size_t *scratch = xcalloc((size_t)g->n + 1, sizeof *scratch);
	struct plan p;
	struct err e;

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	for (id i = 0; i < g->n; i++)
		scratch[i] = b->scratch(b, g, i);
	plan_make(&p, g, scratch);
	CHECK_OK(plan_check(&p, g, &e), e);
	plan_release(&p);
	free(scratch);
	b->close(b);
}

static void check_step(const struct step *s, enum dtype type)
{
	struct graph g = { 0 };
	id loss, *map;

	build(s, &g, &loss);
	map = graph_lower(&g, type, s->validate ? learns : NULL, s);
	for (id i = 0; i < g.n; i++) {
		const struct node *n = &g.node[i];

		if (n->op >= OP_LINEAR && n->op <= OP_CONV2D_DW)
			check_product(s, &g, i, type);
		else if (n->op == OP_ATTENTION || n->op == OP_ATTENTION_DX)
			check_attention(s, &g, i, type);
		else if (n->op == OP_AUX)
			check_aux(s, &g, i, type);
		else
			check_fixed(s, &g, i, type);
	}
	for (size_t i = 0; i < g.n_keep; i++)
		if (g.node[g.keep[i]].type != DT_F32)
			bad(s, &g, g.keep[i], "kept, and not f32");
	if (g.node[map[loss]].type != DT_F32 || node_count(&g.node[map[loss]]) != 1)
		bad(s, &g, map[loss], "no loss");
	check_casts(s, &g);
	check_plan(&g);
	free(map);
	graph_release(&g);
}

static void types_follow_the_rules(void)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		check_step(&steps[i], DT_BF16);
		check_step(&steps[i], DT_F16);
	}
}

static void f32_is_left_alone(void)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct graph g = { 0 };
		struct buf before = { 0 }, after = { 0 };
		id loss, *map;

		build(&steps[i], &g, &loss);
		graph_print(&g, &before);
		map = graph_lower(&g, DT_F32, learns, &steps[i]);
		graph_print(&g, &after);
		CHECK_STR(buf_str(&after), buf_str(&before));
		for (id k = 0; k < g.n; k++)
			CHECK(map[k] == k);
		buf_release(&before);
		buf_release(&after);
		free(map);
		graph_release(&g);
	}
}

/* A kept node that something else reads, too: it is read as it was, and kept as f32. */
static void kept_nodes_are_cast_at_the_end(void)
{
	struct graph g = { 0 };
	int64_t dim[MAX_DIM] = { 1, 1, 3, 4 };
	id x = g_input(&g, "x", DT_F32, 1, 1, 2, 4), *map;
	id h = g_linear(&g, x, g_weight(&g, "w", dim, 0), NONE), y = g_act(&g, h, ACT_SILU);

	graph_keep(&g, h);
	graph_keep(&g, y);
	graph_keep(&g, h);
	map = graph_lower(&g, DT_BF16, NULL, NULL);
	CHECK(g.keep[0] == map[h] && g.keep[1] == map[y] && g.keep[2] == map[h]);
	CHECK(g.node[map[h]].op == OP_CAST && g.node[map[y]].op == OP_CAST);
	CHECK(g.node[g.node[map[y]].in[0]].in[0] == g.node[map[h]].in[0]);
	CHECK_INT(g.node[g.node[map[h]].in[0]].type, DT_BF16);
	CHECK_INT(g.n, 7);
	free(map);
	graph_release(&g);
}

int main(void)
{
	TEST(types_follow_the_rules);
	TEST(f32_is_left_alone);
	TEST(kept_nodes_are_cast_at_the_end);
	return test_end();
}
