/*
 * cuDNN itself, for a GPU that is not there: what it takes and why not, what is told and kept of that. All
 * shapes that users run are asked for in plans.c. What no test here can see is what the engines compute, and
 * how fast.
 */
#include "tests/dnn_cards.h"

#include "common/base/file.h"
#include "kernels/ir/grad.h"
#include "tests/real_graphs.h"
#include "tests/test.h"

/* ---- attention ---- */

static struct heads heads(int64_t n, int64_t a, int64_t tq, int64_t tk, int64_t d, int causal, int dx)
{
	struct heads h;

	memset(&h, 0, sizeof h);
	h.n = n;
	h.heads = a;
	h.tq = tq;
	h.tk = tk;
	h.d = d;
	h.causal = causal;
	h.dx = dx;
	h.type = DT_BF16;
	return h;
}

/*
 * Shapes of SD's levels, of its text and of the text encoder (BOOTH_TEST_ALL=1: all of them). Each plan is
 * compiled, which takes half a second.
 */
static void attention(void)
{
	const struct heads taken[] = {
		heads(1, 8, 4096, 4096, 40, 0, 0), heads(8, 8, 4096, 77, 40, 0, 1),
		heads(1, 8, 64, 64, 160, 0, 1), heads(8, 12, 77, 77, 64, 1, 1),
		heads(1, 8, 4096, 4096, 40, 0, 1), heads(1, 8, 4096, 77, 40, 0, 0),
		heads(8, 8, 1024, 1024, 80, 0, 0), heads(8, 8, 1024, 1024, 80, 0, 1),
		heads(8, 8, 1024, 77, 80, 0, 0), heads(8, 8, 1024, 77, 80, 0, 1),
		heads(8, 8, 256, 256, 160, 0, 0), heads(8, 8, 256, 77, 160, 0, 1),
		heads(1, 12, 77, 77, 64, 1, 0), heads(4, 5, 4096, 4096, 64, 0, 0),
		heads(4, 5, 4096, 4096, 64, 0, 1), heads(8, 20, 64, 77, 64, 0, 1),
	};
	size_t n = getenv("BOOTH_TEST_ALL") ? sizeof taken / sizeof *taken : 4;
	struct heads odd = heads(1, 1, 64, 64, 9, 0, 0);
	OPEN(l, H100);

	l->dnn->prepare(l->dnn, taken, n);
	for (size_t i = 0; i < n; i++) {
		int64_t bytes = l->dnn->plan_heads(l->dnn, &taken[i]);

		CHECK(bytes >= 0 && bytes <= (int64_t)3 << 29);
		CHECK_INT(l->dnn->plan_heads(l->dnn, &taken[i]), bytes);
	}
	/* left to own kernels */
	CHECK_INT(l->dnn->plan_heads(l->dnn, &odd), -1);
	lane_close(l);
}

/* A step of a text encoder of one layer, in fp16. */
static void text_step(struct graph *g)
{
	struct text_config c = real_text[0];
	struct model m;
	id y, loss, n;
	id *map;

	c.layers = 1;
	model_begin(&m, g);
	m.train = 1;
	y = text_encoder(&m, &c, g_input(g, "ids", DT_I32, 1, 1, 2, 77), 0, NULL);
	loss = g_mse(g, y, g_input(g, "target", DT_F32, 2, 1, 77, c.width), g_input(g, "weight", DT_F32, 1, 1, 1, 2));
	graph_keep(g, loss);
	n = g->n;
	map = grad_emit(g, loss, NULL, 0);
	for (id i = 0; i < n; i++)
		if (g->node[i].op == OP_WEIGHT && map[i] != NONE)
			graph_keep(g, map[i]);
	free(map);
	free(graph_fuse(g));
	model_release(&m);
	free(graph_lower(g, DT_F16, NULL, NULL));
}

/* All of a graph's attention is settled before the first of its nodes. */
static void text_encoder_step(void)
{
	struct graph g = { 0 };
	struct buf b = { 0 };
	int n = 0;
	OPEN(l, H100);

	text_step(&g);
	attend_prepare(l, &g);
	dnn_report(l->dnn, &b);
	CHECK(strstr(buf_str(&b), "attention 2x12 heads of 64, 77 x 77 tokens, causal, F16: cuDNN's engine ") != NULL);
	CHECK(strstr(buf_str(&b), "attention, dx 2x12 heads of 64, 77 x 77 tokens, causal, F16: cuDNN's engine ") != NULL);
	for (id i = 0; i < g.n; i++)
		if (g.node[i].op == OP_ATTENTION || g.node[i].op == OP_ATTENTION_DX)
			n += attend_scratch(l, &g.node[i], &g) >= 0;
	CHECK_INT(n, 2);
	buf_clear(&b);
	dnn_report(l->dnn, &b);
	CHECK_STR(buf_str(&b), "");
	buf_release(&b);
	graph_release(&g);
	lane_close(l);
}

/* ---- what is told ---- */

static void reports(void)
{
	const struct real_graph encode = { .what = REAL_ENCODE, .sd = 1, .n = 1, .h = 512, .w = 512 };
	struct graph g = { 0 };
	struct buf b = { 0 };
	id x = 0;
	struct heads odd = heads(1, 1, 9, 9, 12, 0, 0);
	OPEN(l, H100);

	for (real_graph(&encode, DT_BF16, &g); x < g.n; x++)
		if (g.node[x].op == OP_CONV2D)
			convolve_scratch(l, &g.node[x], &g);
	graph_release(&g);
	l->dnn->plan_heads(l->dnn, &odd);
	dnn_report(l->dnn, &b);
	CHECK(strstr(buf_str(&b), "convolution with bias 1x512x512x128 to 128 by 3x3/1, BF16: cuDNN's engine ") != NULL);
	CHECK(strstr(buf_str(&b), "convolution with bias 1x512x512x128 to 128 by 3x3/2, BF16: cuDNN's engine ") != NULL);
	CHECK(strstr(buf_str(&b), "9 x 9 tokens, BF16: own kernels (cuDNN's heads are multiples of 8, not 12)\n") != NULL);
	buf_clear(&b);
	dnn_report(l->dnn, &b);
	CHECK_STR(buf_str(&b), "");
	buf_release(&b);
	lane_close(l);
}

/* ---- what is kept ---- */

/* The line about an attention's gradients, from a library that is opened anew; fails: and run, for want of a GPU. */
static void heads_line(struct buf *b, int fails)
{
	struct lane *l = lane_open(H100);
	struct heads h = heads(1, 8, 64, 77, 40, 0, 1);
	static _Alignas(256) char some[256];
	struct err e;

	buf_clear(b);
	l->dnn->prepare(l->dnn, &h, 1);
	CHECK(l->dnn->plan_heads(l->dnn, &h) > 0);
	dnn_report(l->dnn, b);
	if (fails)
		CHECK_INT(l->dnn->run_heads(l->dnn, &h, some, &e), -1);
	lane_close(l);
}

/* The only file that is kept, with one byte after `word` made another: which may be found, or not. */
static void change_kept(const char *folder, const char *word, size_t further)
{
	struct names all = { 0 };
	struct buf b = { 0 };
	struct err e;
	char *path, *at;

	CHECK_OK(folder_list(&all, folder, &e), e);
	CHECK_INT(all.n, 1);
	path = path_join(folder, all.at[0]);
	CHECK_OK(file_read(&b, path, 1 << 24, &e), e);
	at = strstr(b.at, word) + further;
	*at = *at == '9' ? '8' : '9';
	CHECK_OK(file_replace(path, b.at, b.len, &e), e);
	buf_release(&b);
	free(path);
	names_release(&all);
}

/*
 * What one program compiled the next one finds: the number of the engine, which nothing depends on, shows
 * that a line comes from the file. A file that is damaged, or for something else, is made again; one whose
 * plan fails is gone.
 */
static void kept(void)
{
	static const char folder[] = "build/scratch/dnn/booth/plans", end_of_device[] = "\"deviceName\":\"NVIDIA H100 80GB HBM3\"}";
	struct buf made = { 0 }, b = { 0 };
	struct names all = { 0 };
	struct err e;
	struct lane *l = lane_open(H100);

	if (!l)
		SKIP("cuDNN is not here");
	lane_close(l);
	setenv("XDG_CACHE_HOME", realpath(test_folder("dnn"), (char[4096]){ 0 }), 1);
	heads_line(&made, 0);
	change_kept(folder, end_of_device, sizeof end_of_device);
	heads_line(&b, 0);
	CHECK(strstr(b.at, "engine 9 ") || strstr(b.at, "engine 8 "));
	change_kept(folder, "cubin", 100);
	heads_line(&b, 0);
	CHECK_STR(b.at, made.at);
	change_kept(folder, end_of_device, sizeof end_of_device);
	change_kept(folder, "booth plan", 20);
	heads_line(&b, 0);
	CHECK_STR(b.at, made.at);
	heads_line(&b, 1);
	CHECK_OK(folder_list(&all, folder, &e), e);
	CHECK_INT(all.n, 0);
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	heads_line(&b, 0);
	CHECK_STR(b.at, made.at);
	buf_release(&made);
	buf_release(&b);
	names_release(&all);
}

/* Without a device nothing runs, and says so. */
static void no_device(void)
{
	struct filter f = { .n = 1, .h = 8, .w = 8, .c = 8, .i = 8, .j = 8, .k = 8, .r = 3, .s = 3, .stride = 1,
			    .top = 1, .left = 1, .bottom = 1, .right = 1 };
	static _Alignas(16) char some[16];
	struct err e = { "" };
	OPEN(l, H100);

	f.x = f.filter = f.y = (struct side){ some, DT_BF16 };
	CHECK(l->dnn->plan_filter(l->dnn, &f) >= 0);
	CHECK_INT(l->dnn->run_filter(l->dnn, &f, some, &e), -1);
	CHECK(strstr(e.text, "cuDNN has no device to run this on (BOOTH_CUDNN=0") == e.text);
	lane_close(l);
}

/* Why own kernels do its work. */
static void refusals(void)
{
	struct dnn_options real = { 0 }, wrong = { .device = "{}" };
	struct dnn *d = NULL;
	struct err e = { "" };
	char version[64];

	if (dnn_version(version, sizeof version, &e) < 0)
		SKIP("cuDNN is not here");
	CHECK(!strncmp(version, "cuDNN 9.", 8));
	CHECK_INT(dnn_open(&d, &wrong, &e), -1);
	CHECK(!d && strstr(e.text, "cuDNN: ") == e.text);
	setenv("BOOTH_CUDNN", "0", 1);
	CHECK_INT(dnn_open(&d, &real, &e), -1);
	CHECK_STR(e.text, "cuDNN is not used, as BOOTH_CUDNN=0 says");
	CHECK_INT(dnn_version(version, sizeof version, &e), -1);
	unsetenv("BOOTH_CUDNN");
	dnn_close(NULL);
}

int main(void)
{
	cards_begin();
	TEST(refusals);
	TEST(attention);
	TEST(text_encoder_step);
	TEST(reports);
	TEST(kept);
	TEST(no_device);
	return test_end();
}
