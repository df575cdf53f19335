/*
 * What lies between graphs and stages: the pool, batches, merged LoRAs, one network for several
 * shapes.
 */
#include "tests/test.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/run/batches.h"
#include "kernels/run/network.h"
#include "kernels/run/weights.h"

/* ---- batches ---- */

#define ITEMS 23

static void fill(struct batch_item item[ITEMS], int classes)
{
	for (int i = 0; i < ITEMS; i++)
		item[i] = (struct batch_item){ i % 3 ? 8 : 6, i % 3 ? 8 : 10, 1 + i % 2,
					       classes && i % 4 == 0 };
}

static void epoch_shows_each_item_as_often_as_it_is_repeated(void)
{
	struct batch_item item[ITEMS];
	int seen[ITEMS] = { 0 };
	struct batch_group g[2];
	struct batches *b;

	fill(item, 0);
	b = batches_new(item, ITEMS, 4, 7);
	for (int64_t at = 0; at < batches_per_epoch(b); at++) {
		CHECK_INT(batches_at(b, at, g), 1);
		for (int64_t i = 0; i < g[0].n; i++) {
			const struct batch_item *it = &item[g[0].item[i]];

			CHECK(it->h == g[0].h && it->w == g[0].w);
			seen[g[0].item[i]]++;
		}
	}
	for (int i = 0; i < ITEMS; i++)
		CHECK_INT(seen[i], item[i].repeats);
	batches_free(b);
}

static void batch_is_a_function_of_its_number(void)
{
	struct batch_item item[ITEMS];
	struct batch_group g[2];
	struct batches *a, *b;

	fill(item, 1);
	a = batches_new(item, ITEMS, 3, 5);
	b = batches_new(item, ITEMS, 3, 5);
	for (int64_t at = 60; at >= 0; at -= 7) {
		int64_t first[6], n;

		batches_at(a, at, g);
		n = g[0].n;
		memcpy(first, g[0].item, (size_t)n * sizeof *first);
		batches_at(b, at / 2, g);       /* looking elsewhere changes nothing */
		batches_at(b, at, g);
		CHECK_INT(g[0].n, n);
		CHECK(!memcmp(first, g[0].item, (size_t)n * sizeof *first));
	}
	batches_free(a);
	batches_free(b);
}

static void class_items_come_in_equal_number(void)
{
	struct batch_item item[ITEMS];
	struct batch_group g[2];
	struct batches *b;

	fill(item, 1);
	b = batches_new(item, ITEMS, 3, 5);
	CHECK(!batches_split(b));
	for (int64_t at = 0; at < 40; at++) {
		int64_t class = 0;

		CHECK_INT(batches_at(b, at, g), 1);
		for (int64_t i = 0; i < g[0].n; i++) {
			class += item[g[0].item[i]].is_class;
			CHECK(i < g[0].n / 2 || item[g[0].item[i]].is_class);
		}
		CHECK_INT(2 * class, g[0].n);
	}
	batches_free(b);
}

static void class_items_of_another_shape_are_a_second_group(void)
{
	struct batch_item item[3] = { { 8, 8, 1, 0 }, { 8, 8, 1, 0 }, { 4, 4, 1, 1 } };
	struct batches *b = batches_new(item, 3, 2, 1);
	struct batch_group g[2];

	CHECK(batches_split(b));
	CHECK_INT(batches_at(b, 0, g), 2);
	CHECK_INT(g[0].n, 2);
	CHECK_INT(g[1].n, 2);
	CHECK_INT(g[1].h, 4);
	batches_free(b);
}

/* ---- pool ---- */

static struct tensor random_tensor(int rank, const int64_t *side, uint32_t stream)
{
	struct tensor t = { 0 };
	struct err e;
	struct rng r = rng_stream(3, "run test", stream, 0);
	void *v;

	if (tensor_new(&t, DT_F32, rank, side, &v, &e) < 0)
		die(1, "%s", e.text);
	rng_normal(&r, v, tensor_count(&t));
	return t;
}

static void pool_turns_filters_and_back(void)
{
	struct graph g = { 0 };
	struct pool p = { 0 };
	struct backend *b = NULL;
	struct err e;
	struct tensor in = random_tensor(4, (int64_t[]){ 5, 3, 2, 4 }, 1), out = { 0 };
	float raw[5 * 2 * 4 * 3];

	g_weight(&g, "unet.conv.weight", (int64_t[]){ 5, 2, 4, 3 }, 1);
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(pool_declare(&p, &g, &e), e);
	CHECK_OK(pool_place(&p, b, &e), e);
	CHECK_OK(pool_put(&p, &p.entry[0], &in, &e), e);
	CHECK_OK(pool_get_raw(&p, &p.entry[0], raw, &e), e);
	/* device [k][r][s][c]; file [k][c][r][s] */
	CHECK(raw[((1 * 2 + 1) * 4 + 2) * 3 + 1] ==
	      ((const float *)in.at)[((1 * 3 + 1) * 2 + 1) * 4 + 2]);
	CHECK_OK(pool_get(&p, &p.entry[0], &out, &e), e);
	CHECK(out.rank == 4 && !memcmp(out.at, in.at, (size_t)tensor_bytes(&in)));
	CHECK_OK(pool_complete(&p, &e), e);
	tensor_release(&in);
	tensor_release(&out);
	pool_release(&p);
	graph_release(&g);
	b->close(b);
}

static void pool_refuses_wrong_weights(void)
{
	struct graph g = { 0 };
	struct pool p = { 0 };
	struct backend *b = NULL;
	struct err e;
	struct tensor wrong = random_tensor(2, (int64_t[]){ 4, 3 }, 2),
		right = random_tensor(2, (int64_t[]){ 3, 4 }, 3);

	g_weight(&g, "unet.to_q.weight", (int64_t[]){ 1, 1, 3, 4 }, 0);
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(pool_declare(&p, &g, &e), e);
	CHECK_OK(pool_place(&p, b, &e), e);
	CHECK(pool_complete(&p, &e) < 0);
	CHECK(strstr(e.text, "unet.to_q.weight") != NULL);
	CHECK(pool_put(&p, &p.entry[0], &wrong, &e) < 0);
	CHECK_STR(e.text, "weight 'unet.to_q.weight' is 4x3, the model wants 3x4");
	((float *)right.at)[5] = NAN;
	CHECK(pool_put(&p, &p.entry[0], &right, &e) < 0);
	CHECK(strstr(e.text, "not finite") != NULL);
	tensor_release(&wrong);
	tensor_release(&right);
	pool_release(&p);
	graph_release(&g);
	b->close(b);
}

/* More elements than are put at a time, of a type that has to be converted. */
static void pool_puts_large_weights_in_pieces(void)
{
	struct graph g = { 0 };
	struct pool p = { 0 };
	struct backend *b = NULL;
	struct err e;
	struct tensor filter = random_tensor(4, (int64_t[]){ 40, 512, 3, 3 }, 1),
		linear = random_tensor(2, (int64_t[]){ 300, 1000 }, 2), want = { 0 }, got = { 0 };

	g_weight(&g, "unet.conv.weight", (int64_t[]){ 40, 3, 3, 512 }, 0);
	g_weight(&g, "unet.to_q.weight", (int64_t[]){ 1, 1, 300, 1000 }, 0);
	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	CHECK_OK(pool_declare(&p, &g, &e), e);
	CHECK_OK(pool_place(&p, b, &e), e);
	CHECK_OK(tensor_convert(&filter, DT_F16, &e), e);
	want = filter;
	want.own = NULL;
	CHECK_OK(tensor_to_f32(&want, &e), e);
	CHECK_OK(pool_put(&p, pool_find(&p, "unet.conv.weight"), &filter, &e), e);
	CHECK_OK(pool_get(&p, pool_find(&p, "unet.conv.weight"), &got, &e), e);
	CHECK(!memcmp(got.at, want.at, (size_t)tensor_bytes(&want)));
	tensor_release(&got);
	CHECK_OK(pool_put(&p, pool_find(&p, "unet.to_q.weight"), &linear, &e), e);
	CHECK_OK(pool_get(&p, pool_find(&p, "unet.to_q.weight"), &got, &e), e);
	CHECK(!memcmp(got.at, linear.at, (size_t)tensor_bytes(&linear)));
	((float *)linear.own)[250001] = -INFINITY;
	CHECK(pool_put(&p, pool_find(&p, "unet.to_q.weight"), &linear, &e) < 0);
	CHECK_STR(e.text, "weight 'unet.to_q.weight' is not finite: element 250001 is -inf");
	CHECK(pool_complete(&p, &e) < 0);
	tensor_release(&filter);
	tensor_release(&linear);
	tensor_release(&want);
	tensor_release(&got);
	pool_release(&p);
	graph_release(&g);
	b->close(b);
}

/* Every weight but the first two is missing. */
static int give_two(void *data, const char *name, struct tensor *out, struct err *e)
{
	static const float w[1] = { 1 };

	(void)data;
	*out = (struct tensor){ DT_F32, 2, { 1, 1 }, w, NULL };
	return strcmp(name, "unet.w02") < 0 ? 0 : fail(e, "'%s' is missing", name);
}

static void pool_tells_the_first_failure(void)
{
	for (int i = 0; i < 20; i++) {
		struct graph g = { 0 };
		struct pool p = { 0 };
		struct backend *b = NULL;
		struct err e = { "" };
		char name[16];

		for (int k = 0; k < 40; k++) {
			snprintf(name, sizeof name, "unet.w%02d", k);
			g_weight(&g, name, (int64_t[]){ 1, 1, 1, 1 }, 0);
		}
		CHECK_OK(cpu_open(&b, 4, NULL, &e), e);
		CHECK_OK(pool_declare(&p, &g, &e), e);
		CHECK_OK(pool_place(&p, b, &e), e);
		CHECK(pool_fetch(&p, &(struct weight_source){ give_two, NULL, "model" }, &e) < 0);
		CHECK_STR(e.text, "'model': 'unet.w02' is missing");
		pool_release(&p);
		graph_release(&g);
		b->close(b);
	}
}

/* ---- LoRA ---- */

static void merge_case(const int64_t *w_side, int w_rank, const int64_t *a_side,
		       const int64_t *b_side, int l_rank)
{
	struct tensor w = random_tensor(w_rank, w_side, 4),
		before = random_tensor(w_rank, w_side, 4);
	struct lora_module l = { .module = (char *)"m", .alpha = 3 };
	int64_t k = w_side[0], r = a_side[0], x;
	struct err e;

	l.a = random_tensor(l_rank, a_side, 5);
	l.b = random_tensor(l_rank, b_side, 6);
	x = tensor_count(&w) / k;
	CHECK_OK(lora_merge(&w, &l, .5f, &e), e);
	for (int64_t i = 0; i < k; i++)
		for (int64_t c = 0; c < x; c++) {
			double sum = ((const float *)before.at)[i * x + c];

			for (int64_t j = 0; j < r; j++)
				sum += .5 * 3 / (double)r * ((const float *)l.b.at)[i * r + j] *
					((const float *)l.a.at)[j * x + c];
			CHECK_NEAR(((const float *)w.at)[i * x + c], sum, 1e-5);
		}
	tensor_release(&w);
	tensor_release(&before);
	tensor_release(&l.a);
	tensor_release(&l.b);
}

static void lora_merges_linear_layers_and_filters(void)
{
	merge_case((int64_t[]){ 5, 7 }, 2, (int64_t[]){ 2, 7 }, (int64_t[]){ 5, 2 }, 2);
	merge_case((int64_t[]){ 4, 3, 3, 3 }, 4, (int64_t[]){ 2, 3, 3, 3 },
		   (int64_t[]){ 4, 2, 1, 1 }, 4);
}

static void lora_that_does_not_fit_is_refused(void)
{
	struct tensor w = random_tensor(2, (int64_t[]){ 5, 7 }, 1);
	struct lora_module l = { .module = (char *)"unet.to_q" };
	struct err e;

	l.a = random_tensor(2, (int64_t[]){ 2, 6 }, 2);
	l.b = random_tensor(2, (int64_t[]){ 5, 2 }, 3);
	CHECK(lora_merge(&w, &l, 1, &e) < 0);
	CHECK_STR(e.text, "the LoRA of 'unet.to_q' is 2x6 and 5x2, the weight is 5x7");
	tensor_release(&w);
	tensor_release(&l.a);
	tensor_release(&l.b);
}

/* ---- networks ---- */

static id build(struct model *m, const void *config, const int64_t side[SHAPE_SIDES])
{
	(void)config;
	return linear(m, "proj", g_input(m->g, "x", DT_F32, 1, 1, side[0], 4), 3, 1);
}

static int give(void *data, const char *name, struct tensor *out, struct err *e)
{
	static const float w[12] = { 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0 }, b[3] = { .5f, 0, 0 };

	__atomic_add_fetch((int *)data, 1, __ATOMIC_RELAXED);   /* by several threads */
	(void)e;
	*out = strstr(name, "bias") ? (struct tensor){ DT_F32, 1, { 3 }, b, NULL } :
		(struct tensor){ DT_F32, 2, { 3, 4 }, w, NULL };
	return 0;
}

static void let_go(void *data)
{
	((int *)data)[1]++;
}

static void network_fetches_weights_once_for_all_shapes(void)
{
	struct network net;
	struct backend *b = NULL;
	struct err e;
	int fetched[2] = { 0 };         /* values, and how often their memory was let go */

	CHECK_OK(cpu_open(&b, 1, NULL, &e), e);
	network_begin(&net, b, DT_F32, build, NULL, (struct weight_source){ give, fetched, NULL, let_go });
	for (int64_t n = 1; n <= 3; n++) {
		struct network_shape *s = network_shape(&net,
							(int64_t[SHAPE_SIDES]){ n, 0, 0, 0 }, &e);
		float x[12] = { 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 }, y[9];

		CHECK(s != NULL);
		if (!s)
			break;
		CHECK_OK(session_put(&s->session, "x", x, &e), e);
		CHECK_OK(session_run(&s->session, &e), e);
		CHECK_OK(session_get(&s->session, s->out, y, &e), e);
		CHECK(y[3 * n - 3] == 1.5f && y[3 * n - 2] == 4 && y[3 * n - 1] == 9);
	}
	CHECK_INT(fetched[0], 2);
	CHECK_INT(fetched[1], 1);
	network_release(&net);
	b->close(b);
}

int main(void)
{
	TEST(epoch_shows_each_item_as_often_as_it_is_repeated);
	TEST(batch_is_a_function_of_its_number);
	TEST(class_items_come_in_equal_number);
	TEST(class_items_of_another_shape_are_a_second_group);
	TEST(pool_turns_filters_and_back);
	TEST(pool_refuses_wrong_weights);
	TEST(pool_puts_large_weights_in_pieces);
	TEST(pool_tells_the_first_failure);
	TEST(lora_merges_linear_layers_and_filters);
	TEST(lora_that_does_not_fit_is_refused);
	TEST(network_fetches_weights_once_for_all_shapes);
	return test_end();
}
