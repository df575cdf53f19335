/*
 * Every graph that users run (tests/real_graphs.h), put to the libraries: for each convolution and attention
 * cuDNN itself finds an engine that gives the same bytes every time, or it is known that own kernels run
 * instead; each product is one that cuBLASLt's manual lists, and its description is taken (what it would
 * choose it tells nobody without a device). BOOTH_TEST_ALL=1: all graphs in all precisions on five cards, a
 * line for each (minutes, since attention is compiled).
 */
#include "tests/dnn_cards.h"

#include "common/base/talk.h"
#include "kernels/cuda/blas.h"
#include "kernels/ir/plan.h"
#include "tests/real_graphs.h"
#include "tests/test.h"

struct number { const char *name; enum dtype type; int tf32; };

static const struct number f32 = { "f32", DT_F32, 0 }, tf32 = { "tf32", DT_F32, 1 },
	bf16 = { "bf16", DT_BF16, 0 }, fp16 = { "fp16", DT_F16, 0 };

static int test_all(void)
{
	return getenv("BOOTH_TEST_ALL") != NULL;
}

static int is_convolution(const struct node *n) { return n->op >= OP_CONV2D && n->op <= OP_CONV2D_DW; }
static int is_attention(const struct node *n) { return n->op == OP_ATTENTION || n->op == OP_ATTENTION_DX; }

/* ---- cuDNN ---- */

#define MOST ((int64_t)1200 << 20)      /* bytes that a library may want for one node */

/* 1x1 filters are products. */
static int is_plain(const struct graph *g, const struct node *n)
{
	const int64_t *filter = n->op == OP_CONV2D_DW ? n->dim : g->node[n->in[1]].dim;

	return filter[1] == 1 && filter[2] == 1 && n->at.conv.stride == 1;
}

/*
 * Left to own kernels: attention in f32, which cuDNN does not have, all of it on Turing, and gradients of
 * heads that are wider than 256 (Hopper) or 128 numbers: of the autoencoder's one head of 512, and on other
 * cards of SD 1's inner heads of 160.
 */
static int is_ours(const struct card *c, const struct graph *g, const struct node *n)
{
	int dx = n->op == OP_ATTENTION_DX;
	const struct node *q = &g->node[n->in[dx]];

	return q->type == DT_F32 || c->capability < 80 ||
		(dx && q->dim[3] / n->at.attention.heads > (c->capability == 90 ? 256 : 128));
}

struct walk {
	const struct card *card;
	const struct number *number;
	const struct real_graph *real;
	struct lane *lane;
	struct graph g;
	size_t *scratch;        /* of each node, as far as cuDNN wants it */
	int64_t largest;
	int attention;          /* is it asked for? */
};

static void check_node(struct walk *w, id x)
{
	const struct node *n = &w->g.node[x];
	int64_t bytes, again;
	int ours;

	if (is_attention(n)) {
		ours = is_ours(w->card, &w->g, n);
		bytes = attend_scratch(w->lane, n, &w->g);
		again = attend_scratch(w->lane, n, &w->g);
	} else {
		ours = is_plain(&w->g, n);
		bytes = convolve_scratch(w->lane, n, &w->g);
		again = convolve_scratch(w->lane, n, &w->g);
	}
	if ((bytes < 0) != ours || bytes > MOST || bytes != again) {
		printf("# %s on %s in %s: '%s' of %lld x %lld x %lld x %lld: %lld bytes, wanted %s\n",
		       w->real->name, w->card->name, w->number->name, op_info[n->op].name, (long long)n->dim[0],
		       (long long)n->dim[1], (long long)n->dim[2], (long long)n->dim[3], (long long)bytes,
		       ours ? "none" : "some");
		test_bad = 1;
	}
	w->scratch[x] = bytes > 0 ? (size_t)bytes : 0;
	w->largest = bytes > w->largest ? bytes : w->largest;
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

static size_t arena_of(const struct graph *g, const size_t *scratch)
{
	struct plan p = { 0 };
	size_t bytes;

	plan_make(&p, g, scratch);
	bytes = p.arena;
	plan_release(&p);
	return bytes;
}

static void print_line(const struct walk *w, double seconds)
{
	size_t *none = xcalloc((size_t)w->g.n + 1, sizeof *none);
	struct buf b = { 0 };

	dnn_report(w->lane->dnn, &b);
	printf("# %s, %s, %s: %d convolutions, %d attentions, %d of these own kernels, settled in %.2f s; "
	       "%.0f MB of workspace at most, arena %.0f MB, %.0f without any\n", w->card->name, w->number->name,
	       w->real->name, count(buf_str(&b), "convolution"), count(buf_str(&b), "attention"),
	       count(buf_str(&b), ": own kernels"), seconds, (double)w->largest / 1048576,
	       (double)arena_of(&w->g, w->scratch) / 1048576, (double)arena_of(&w->g, none) / 1048576);
	fflush(stdout);
	buf_release(&b);
	free(none);
}

/* -1: cuDNN is not here. */
static int walk(const struct card *c, const struct number *number, const struct real_graph *r)
{
	struct walk w = { .card = c, .number = number, .real = r, .lane = lane_open(c) };
	double begin;

	if (!w.lane)
		return -1;
	w.lane->b = &(struct backend){ .tf32 = number->tf32 };
	w.attention = test_all() || r->what >= REAL_ENCODE;
	real_graph(r, number->type, &w.g);
	w.scratch = xcalloc((size_t)w.g.n + 1, sizeof *w.scratch);
	begin = clock_now();
	if (w.attention)
		attend_prepare(w.lane, &w.g);
	for (id x = 0; x < w.g.n; x++)
		if (is_convolution(&w.g.node[x]) || (w.attention && is_attention(&w.g.node[x])))
			check_node(&w, x);
	if (test_all())
		print_line(&w, clock_now() - begin);
	graph_release(&w.g);
	free(w.scratch);
	lane_close(w.lane);
	return 0;
}

static void walk_all(const struct card *c, const struct number *number)
{
	for (size_t i = 0; i < REAL_GRAPHS; i++)
		if ((test_all() || real_graphs[i].brief) && walk(c, number, &real_graphs[i]) < 0)
			SKIP("cuDNN is not here");
}

static void hopper_bf16(void) { walk_all(H100, &bf16); }
static void hopper_others(void)
{
	if (walk(H100, &fp16, real_graphs) < 0)
		SKIP("cuDNN is not here");
	walk(H100, &f32, real_graphs);
	walk(H100, &tf32, real_graphs);
	for (int i = 0; i < 3 && test_all(); i++)
		walk_all(H100, (const struct number *const[]){ &fp16, &f32, &tf32 }[i]);
}

/* What learns and what is read first is asked for on each card; Turing has neither bf16 nor tf32. */
static void other_cards(void)
{
	for (size_t i = 1; i < CARDS; i++) {
		int turing = cards[i].capability < 80;
		const struct number *asked[] = { turing ? &fp16 : &bf16, &f32, turing ? NULL : &tf32 };

		if (walk(&cards[i], asked[0], real_graphs) < 0)
			SKIP("cuDNN is not here");
		for (int k = 0; k < 3 && test_all() && asked[k]; k++)
			walk_all(&cards[i], asked[k]);
	}
}

/* ---- pictures at a time ---- */

struct asked {                  /* a library that takes all, and remembers */
	struct dnn dnn;
	int64_t pictures, bytes;        /* of the largest gradients of a run */
};

static int64_t ask_heads(struct dnn *d, const struct heads *h)
{
	struct asked *a = (struct asked *)(void *)d;
	int64_t bytes = h->n * h->heads * h->tq * h->tk * 2;

	if (h->dx && bytes > a->bytes) {
		a->bytes = bytes;
		a->pictures = h->n;
	}
	return 0;
}

/* Four pictures of 268 MB each: as many as are allowed, one at least. */
static void pictures_at_a_time(void)
{
	static const struct { int64_t mb, pictures; } wanted[] = { { 1024, 4 }, { 1023, 2 }, { 300, 1 }, { 100, 1 } };
	const struct real_graph four = { "", REAL_LORA, 1, 4, 512, 512, 0, 0 };
	struct graph g = { 0 };

	real_graph(&four, DT_BF16, &g);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		struct asked a = { .dnn = { .scores = wanted[i].mb << 20, .plan_heads = ask_heads } };
		struct lane l = { .dnn = &a.dnn };

		for (id x = 0; x < g.n; x++)
			if (is_attention(&g.node[x]))
				attend_scratch(&l, &g.node[x], &g);
		CHECK_INT(a.pictures, wanted[i].pictures);
	}
	graph_release(&g);
}

/* What one picture's gradients take at 1024 pixels is too much for a card of 25 GB, and not for one of 85. */
static void too_many_scores(void)
{
	struct heads h;

	memset(&h, 0, sizeof h);
	h = (struct heads){ .n = 1, .heads = 8, .tq = 128 * 128, .tk = 128 * 128, .d = 40, .dx = 1, .type = DT_BF16 };
	for (int i = 0; i < 4; i += 3) {
		OPEN(l, &cards[i]);

		CHECK((l->dnn->plan_heads(l->dnn, &h) > 0) == (i == 0));
		lane_close(l);
	}
}

/* ---- cuBLASLt ---- */

/*
 * From the table at cublasLtMatmul in its manual: with 32-bit sums and factors these types of what is
 * multiplied, of C and D, and of a bias. TF32 is for the first line alone.
 */
static const struct { enum dtype x, y, bias; } listed[] = {
	{ DT_F32, DT_F32, DT_F32 },
	{ DT_BF16, DT_BF16, DT_BF16 }, { DT_BF16, DT_F32, DT_F32 },
	{ DT_F16, DT_F16, DT_F16 }, { DT_F16, DT_F32, DT_F32 },
};
#define LISTED (sizeof listed / sizeof *listed)

/* How often each line was met: alone, with a bias, with something added, with both; in batches. */
static int met[LISTED][8];

static int has_types(const struct product *p, size_t line)
{
	return p->x.type == listed[line].x && p->w.type == listed[line].x && p->y.type == listed[line].y &&
		(!p->add.at || p->add.type == listed[line].y) && (!p->bias.at || p->bias.type == listed[line].bias);
}

static int fits(const struct operand *o, int64_t rows, int64_t cols)
{
	return o->ld >= (o->turned ? rows : cols);
}

/* What C is has D's layout; a batch has no bias, and its results lie behind or between each other. */
static int is_whole(const struct product *p)
{
	int behind = p->y.step >= (p->rows - 1) * p->y.ld + p->cols;
	int apart = behind || (p->y.step >= p->cols && p->y.step * p->batch <= p->y.ld);

	return fits(&p->x, p->rows, p->inner) && fits(&p->w, p->inner, p->cols) &&
		fits(&p->y, p->rows, p->cols) && !p->y.turned &&
		(!p->add.at || (p->add.ld == p->y.ld && p->add.step == p->y.step)) &&
		(p->batch == 1 || (!p->bias.at && apart && p->batch <= INT32_MAX));
}

struct meeting {                /* where products end */
	struct lane lane;       /* first: meet() gets at the rest through it */
	struct blas *blas;      /* NULL: not asked */
	int left;               /* more of this node that are described; the others are like them */
	int described;
};

/* The library itself takes its description. */
static void describe(struct meeting *m, const struct product *p)
{
	struct err e = { "" };

	for (int as_tf32 = 0; m->blas && m->left > 0 && as_tf32 <= (p->x.type == DT_F32); as_tf32++) {
		int new = blas_describe(m->blas, p, as_tf32, &e);

		CHECK_OK(new, e);
		m->described += new > 0;
	}
	m->left--;
}

static void meet(struct lane *l, const struct product *p)
{
	size_t line = 0;

	describe((struct meeting *)(void *)l, p);
	while (line < LISTED && !has_types(p, line))
		line++;
	if (line < LISTED && is_whole(p)) {
		met[line][(p->bias.at != NULL) | (p->add.at != NULL) << 1 | (p->batch > 1) << 2]++;
		return;
	}
	printf("# a product %lldx %lld x %lld by %lld of %s and %s to %s, add %s, bias %s\n",
	       (long long)p->batch, (long long)p->rows, (long long)p->inner, (long long)p->cols,
	       dtype_name(p->x.type), dtype_name(p->w.type), dtype_name(p->y.type),
	       p->add.at ? dtype_name(p->add.type) : "none", p->bias.at ? dtype_name(p->bias.type) : "none");
	test_bad = 1;
}

static void no_launch(struct lane *l, void (*kernel)(void), const char *name, struct grid g, const void *args)
{
	(void)l; (void)kernel; (void)name; (void)g; (void)args;
}

static int64_t take_filter(struct dnn *d, const struct filter *f) { (void)d; (void)f; return 0; }
static int64_t take_heads(struct dnn *d, const struct heads *h) { (void)d; (void)h; return 0; }
static int no_filter(struct dnn *d, const struct filter *f, void *scratch, struct err *e)
{
	(void)d; (void)f; (void)scratch; (void)e;
	return 0;
}
static int no_heads(struct dnn *d, const struct heads *h, void *scratch, struct err *e)
{
	(void)d; (void)h; (void)scratch; (void)e;
	return 0;
}

static struct view view_of(const struct graph *g, id x)
{
	static _Alignas(256) char somewhere[256];

	return x == NONE ? (struct view){ 0 } : (struct view){ somewhere, g->node[x].dim, g->node[x].type };
}

/* Runs x where nothing runs but meet(). */
static void run_node(struct meeting *m, const struct graph *g, id x)
{
	struct call c = { .n = &g->node[x] };
	struct err e = { "" };

	if (op_info[c.n->op].source || c.n->op == OP_AUX)
		return;
	for (int i = 0; i < MAX_IN; i++)
		c.in[i] = view_of(g, c.n->in[i]);
	c.out[0] = view_of(g, x);
	for (int i = 1; i < MAX_OUT; i++)
		c.out[i] = view_of(g, graph_aux(g, x, i));
	c.scratch = c.out[0].at;
	m->left = 8;
	CHECK_OK(lane_run(&m->lane, &c, &e), e);
}

static void print_met(void)
{
	for (size_t i = 0; i < LISTED; i++) {
		const int *m = met[i];

		printf("# %s to %s: %d alone, %d with bias, %d added to, %d both; in batches %d, %d added to\n",
		       dtype_name(listed[i].x), dtype_name(listed[i].y), m[0], m[1], m[2], m[3], m[4], m[6]);
		CHECK(m[0] > 0);
	}
}

/*
 * Once as cuDNN leaves them, and some graphs with all that own kernels do without it: whose runs are so short
 * on the host that there are very many.
 */
static void products(void)
{
	struct dnn takes_all = { .plan_filter = take_filter, .plan_heads = take_heads, .run_filter = no_filter,
				 .run_heads = no_heads };
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
	struct meeting m = { .lane = { .launch = no_launch, .product = meet } };
	struct err e;

	if (blas_load(&m.blas, &e) < 0)
		printf("# %s\n", e.text);
	for (size_t i = 0; i < REAL_GRAPHS * 6; i++) {
		const struct real_graph *r = &real_graphs[i / 6];
		struct graph g = { 0 };

		m.lane.dnn = i % 2 ? &takes_all : NULL;
		if (m.lane.dnn ? !test_all() && !r->brief : r != real_graphs && (!test_all() || r->n > 1))
			continue;
		real_graph(r, types[i / 2 % 3], &g);
		for (id x = 0; x < g.n; x++)
			run_node(&m, &g, x);
		graph_release(&g);
	}
	blas_close(m.blas);
	print_met();
	printf("# cuBLASLt takes %d descriptions\n", m.described);
}

int main(void)
{
	cards_begin();
	setenv("XDG_CACHE_HOME", realpath(test_folder("plans"), (char[4096]){ 0 }), 1); /* graphs share shapes */
	TEST(products);
	TEST(pictures_at_a_time);
	TEST(too_many_scores);
	TEST(hopper_bf16);
	TEST(hopper_others);
	TEST(other_cards);
	return test_end();
}
