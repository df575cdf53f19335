/*
 * What cuDNN is asked for, by the library itself, for GPUs that are not there: every convolution and
 * attention of Stable Diffusion 1.5 and 2 finds an engine that gives the same bytes every time. What no
 * test here can see is what the engines compute, and how fast.
 */
#include "kernels/cuda/dnn/open.h"

#include <dlfcn.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/grad.h"
#include "kernels/ir/lower.h"
#include "kernels/model/model.h"
#include "tests/test.h"

/* NVIDIA's libraries keep what they load. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libcudnn\nleak:libcublasLt\nleak:libnvrtc\n";
}

/* A GPU as cuDNN describes one. */
#define DEVICE(name, version, multiprocessors, shared, threads) \
	"{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536," \
	"\"multiProcessorCount\":" #multiprocessors ",\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152," \
	"\"maxSharedMemoryPerBlockOptin\":" #shared ",\"reservedSharedMemoryPerBlock\":1024," \
	"\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":16,\"maxThreadsPerBlock\":1024," \
	"\"maxThreadsPerSM\":" #threads ",\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1," \
	"\"totalGlobalMem\":25000000000,\"smClockRateKHz\":1900000,\"memClockRateKHz\":2600000," \
	"\"l2CacheSize\":50000000,\"cudaDeviceId\":0,\"deviceVer\":" #version ",\"driverVer\":13000," \
	"\"deviceName\":\"" name "\"}"

static const char h100[] = DEVICE("NVIDIA H100 80GB HBM3", 900, 132, 232448, 2048);

/* A lane with cuDNN for that device; NULL: it is not here. */
static struct lane *lane_open(const char *device)
{
	const char *version = strstr(device, "deviceVer\":");
	struct dnn_options o = { .device = device, .capability = atoi(version + 11) / 10 };
	struct lane *l = xcalloc(1, sizeof *l);
	struct err e;

	if (dnn_open(&l->dnn, &o, &e) == 0)
		return l;
	printf("# %s\n", e.text);
	free(l);
	return NULL;
}

static void lane_close(struct lane *l)
{
	dnn_close(l->dnn);
	free(l);
}

#define OPEN(l, device) struct lane *l = lane_open(device); if (!l) SKIP("cuDNN is not here")

/* ---- networks ---- */

static const struct unet_config unet1 = {
	.levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
	.cross_width = 768, .attention = { 1, 1, 1, 0 }, .heads = { 8, 8, 8, 8 }, .layers = 2,
	.depth = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1,
};
static const struct unet_config unet2 = {
	.levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
	.cross_width = 1024, .attention = { 1, 1, 1, 0 }, .heads = { 5, 10, 20, 20 }, .layers = 2,
	.depth = 1, .linear_projection = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1,
};
static const struct vae_config vae = {
	.levels = 4, .in_channels = 3, .out_channels = 3, .latent = 4, .width = { 128, 256, 512, 512 },
	.layers = 2, .groups = 32, .quant = 1, .post_quant = 1, .mid_attention = 1, .scaling = .18215f,
};
static const struct text_config text1 = {
	.vocab = 49408, .width = 768, .inner = 3072, .layers = 1, .heads = 12, .positions = 77,
	.act = ACT_QUICK_GELU, .eps = 1e-5f,
};

static id network(struct model *m, char which, int64_t n)
{
	struct graph *g = m->g;
	const struct unet_config *c = which == '1' ? &unet1 : &unet2;

	switch (which) {
	case 'e': return vae_encode(m, &vae, g_input(g, "x", DT_F32, n, 512, 512, 3));
	case 'd': return vae_decode(m, &vae, g_input(g, "x", DT_F32, n, 64, 64, 4));
	case 't': return text_encoder(m, &text1, g_input(g, "ids", DT_I32, 1, 1, n, 77), 0, NULL);
	default:
		return unet(m, c, g_input(g, "x", DT_F32, n, 64, 64, 4), g_input(g, "t", DT_F32, 1, 1, 1, n),
			    g_input(g, "text", DT_F32, n, 1, 77, c->cross_width));
	}
}

/* A training step of the UNets and the text encoder, the autoencoder's two ways, in `type`. */
static void build(struct graph *g, char which, int64_t n, enum dtype type)
{
	struct model m;
	id y, target, weight, loss, *map, all;

	model_begin(&m, g);
	m.train = which != 'e' && which != 'd';
	y = network(&m, which, n);
	target = g_input(g, "target", DT_F32, g->node[y].dim[0], g->node[y].dim[1], g->node[y].dim[2], g->node[y].dim[3]);
	weight = g_input(g, "weight", DT_F32, 1, 1, 1, n);
	loss = g_mse(g, y, target, weight);
	graph_keep(g, loss);
	all = g->n;
	map = grad_emit(g, loss, NULL, 0);
	for (id i = 0; i < all; i++)
		if (g->node[i].op == OP_WEIGHT && g->node[i].trainable && map[i] != NONE)
			graph_keep(g, map[i]);
	free(map);
	free(graph_fuse(g));
	model_release(&m);
	free(graph_lower(g, type, NULL, NULL));
}

static int is_convolution(const struct node *n)
{
	return n->op >= OP_CONV2D && n->op <= OP_CONV2D_DW;
}

/* 1x1 filters are products. */
static int is_product(const struct graph *g, const struct node *n)
{
	const int64_t *filter = n->op == OP_CONV2D_DW ? n->dim : g->node[n->in[1]].dim;

	return filter[1] == 1 && filter[2] == 1;
}

/* Every convolution of a network is taken; how many there are. */
static int convolutions(struct lane *l, char which, int64_t n, enum dtype type)
{
	struct graph g = { 0 };
	int all = 0;

	build(&g, which, n, type);
	for (id i = 0; i < g.n; i++) {
		const struct node *x = &g.node[i];
		int64_t bytes;

		if (!is_convolution(x) || is_product(&g, x))
			continue;
		all++;
		bytes = convolve_scratch(l, x, &g);
		if (bytes < 0 || bytes > (int64_t)1 << 30) {
			printf("# '%s' of %lld x %lld x %lld, network %c, %s: %lld bytes\n", op_info[x->op].name,
			       (long long)x->dim[1], (long long)x->dim[2], (long long)x->dim[3], which,
			       dtype_name(type), (long long)bytes);
			test_bad = 1;
		}
		CHECK_INT(convolve_scratch(l, x, &g), bytes);
	}
	graph_release(&g);
	return all;
}

static void all_convolutions(void)
{
	static const enum dtype types[] = { DT_BF16, DT_F16, DT_F32 };
	OPEN(l, h100);

	for (int t = 0; t < 3; t++) {
		CHECK(convolutions(l, '1', 1, types[t]) > 100);
		CHECK(convolutions(l, 'd', 1, types[t]) > 20);
	}
	CHECK(convolutions(l, '1', 8, DT_BF16) > 100);
	CHECK(convolutions(l, '2', 1, DT_BF16) > 100);
	CHECK(convolutions(l, 'e', 8, DT_BF16) > 15);
	l->b = &(struct backend){ .tf32 = 1 };
	CHECK(convolutions(l, '1', 1, DT_F32) > 100);
	lane_close(l);
}

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

/* The same on cards of other generations. */
static void other_cards(void)
{
	static const char *const cards[] = {
		DEVICE("NVIDIA GeForce RTX 4090", 890, 128, 101376, 1536),
		DEVICE("NVIDIA A100-SXM4-80GB", 800, 108, 166912, 2048), DEVICE("Tesla T4", 750, 40, 65536, 1024),
	};

	for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
		OPEN(l, cards[i]);
		struct heads dx = heads(1, 8, 4096, 4096, 40, 0, 1);

		CHECK(convolutions(l, '1', 1, i == 2 ? DT_F16 : DT_BF16) > 100);
		CHECK((l->dnn->plan_heads(l->dnn, &dx) >= 0) == (i < 2));
		lane_close(l);
	}
}

/* A driver of ours, before cuDNN looks for one. */
static int driver_load(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 20);

	if (n < 0)
		return -1;
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/libcuda.so.1");
	return dlopen(path, RTLD_NOW | RTLD_LOCAL) ? 0 : -1;
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
	OPEN(l, h100);

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

/* All of a graph's attention is settled before the first of its nodes. */
static void text_encoder_step(void)
{
	struct graph g = { 0 };
	struct buf b = { 0 };
	int n = 0;
	OPEN(l, h100);

	build(&g, 't', 2, DT_F16);
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
	struct buf b = { 0 };
	struct heads odd = heads(1, 1, 9, 9, 12, 0, 0);
	OPEN(l, h100);

	convolutions(l, 'e', 1, DT_BF16);
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

/* The line about an attention's gradients, from a library that is opened anew. */
static void heads_line(struct buf *b, const char *device)
{
	struct lane *l = lane_open(device);
	struct heads h = heads(1, 8, 64, 77, 40, 0, 1);

	buf_clear(b);
	l->dnn->prepare(l->dnn, &h, 1);
	CHECK(l->dnn->plan_heads(l->dnn, &h) > 0);
	dnn_report(l->dnn, b);
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
 * that a line comes from the file. A file that is damaged, or for something else, is made again.
 */
static void kept(void)
{
	static const char folder[] = "build/scratch/dnn/booth/plans", end_of_device[] = "\"deviceName\":\"NVIDIA H100 80GB HBM3\"}";
	struct buf made = { 0 }, b = { 0 };
	struct lane *l = lane_open(h100);

	if (!l)
		SKIP("cuDNN is not here");
	lane_close(l);
	setenv("XDG_CACHE_HOME", realpath(test_folder("dnn"), (char[4096]){ 0 }), 1);
	heads_line(&made, h100);
	change_kept(folder, end_of_device, sizeof end_of_device);
	heads_line(&b, h100);
	CHECK(strstr(b.at, "engine 9 ") || strstr(b.at, "engine 8 "));
	change_kept(folder, "cubin", 100);
	heads_line(&b, h100);
	CHECK_STR(b.at, made.at);
	change_kept(folder, end_of_device, sizeof end_of_device);
	change_kept(folder, "booth plan", 20);
	heads_line(&b, h100);
	CHECK_STR(b.at, made.at);
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	heads_line(&b, h100);
	CHECK_STR(b.at, made.at);
	buf_release(&made);
	buf_release(&b);
}

/* Without a device nothing runs, and says so. */
static void no_device(void)
{
	struct filter f = { .n = 1, .h = 8, .w = 8, .c = 8, .i = 8, .j = 8, .k = 8, .r = 3, .s = 3, .stride = 1,
			    .top = 1, .left = 1, .bottom = 1, .right = 1 };
	static _Alignas(16) char some[16];
	struct err e = { "" };
	OPEN(l, h100);

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
	setenv("XDG_CACHE_HOME", "/dev/null", 1);       /* nothing is kept, but where that is tested */
	if (driver_load() < 0)
		printf("# %s\n", dlerror());
	TEST(refusals);
	TEST(all_convolutions);
	TEST(other_cards);
	TEST(attention);
	TEST(text_encoder_step);
	TEST(reports);
	TEST(kept);
	TEST(no_device);
	return test_end();
}
