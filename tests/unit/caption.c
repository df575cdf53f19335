#include "common/data/caption.h"

#include "tests/test.h"

struct list {
	const double *at;
	int used;
};

static double next(void *state)
{
	struct list *l = state;

	return l->at[l->used++];
}

static void gives_at(const struct caption_rules *r, const char *caption, const double *draws, int n,
		     int64_t step, int64_t epoch, const char *want)
{
	struct list l = { draws, 0 };
	struct buf b = { 0 };

	caption_apply(&b, r, caption, step, epoch, next, &l);
	CHECK_STR(buf_str(&b), want);
	CHECK_INT(l.used, n);
	buf_release(&b);
}

#define GIVES(r, caption, want, ...) do { const double d_[] = { __VA_ARGS__ }; \
	gives_at(&(r), caption, d_, (int)(sizeof d_ / sizeof *d_) - 1, 0, 1, want); } while (0)

static void unchanged(void)
{
	struct caption_rules r = { .separator = "," };

	GIVES(r, " a ,, b ", " a ,, b ", 0);
	GIVES(r, "first\nsecond", "first", 0);
	CHECK(!caption_varies(&r));
}

static void around(void)
{
	struct caption_rules r = { .separator = ",", .prefix = "p", .suffix = "s" };

	GIVES(r, "one\ntwo", "p one", 0);
	r.dropout = .5;
	GIVES(r, "a", "", .4, 0);
	GIVES(r, "a", "p a s", .5, 0);
	CHECK(caption_varies(&r));
}

static void epochs(void)
{
	struct caption_rules r = { .separator = ",", .dropout_every_epochs = 2 };

	gives_at(&r, "a", NULL, 0, 0, 2, "");
	gives_at(&r, "a", NULL, 0, 0, 3, "a");
}

static void wildcards(void)
{
	struct caption_rules r = { .separator = ",", .wildcard = 1 };

	GIVES(r, "a {red|blue} dog", "a blue dog", .9, 0);
	GIVES(r, "{{a|b}} {}", "{a|b} {}", 0);
	GIVES(r, "{a|{b|c}|d}", "{b|d}", .5, 0);
	GIVES(r, "x\n{a|b}\nz", "a", .5, .1, 0);
	GIVES(r, "{a", "{a", 0);
}

static void tags(void)
{
	struct caption_rules r = { .separator = ",", .shuffle = 1, .keep_tokens = 1 };

	GIVES(r, "sks, a , b,c", "sks, c, b, a", .1, .9, 0);
	r = (struct caption_rules){ .separator = ",", .tag_dropout = .5 };
	GIVES(r, "a,b,c", "a, c", .5, .4, .9, 0);
	r.keep_separator = "|||";
	GIVES(r, "k ||| a,, b ||| z", "k, b, z", .1, .7, 0);
	r = (struct caption_rules){ .separator = ",", .secondary_separator = ";;",
		.tag_dropout = .1 };
	GIVES(r, "a;;b, c", "a,b, c", .5, .5, 0);
}

static void warm_up(void)
{
	struct caption_rules r = { .separator = ",", .warmup_min = 1, .warmup_steps = .5,
		.total_steps = 200 };

	gives_at(&r, "a,b,c,d,e", NULL, 0, 0, 1, "a");
	gives_at(&r, "a,b,c,d,e", NULL, 0, 50, 1, "a, b, c");
	gives_at(&r, "a,b,c,d,e", NULL, 0, 100, 1, "a, b, c, d, e");
}

/* The same (seed, step, item) gives the same caption, and others are met. */
static void function_of_step(void)
{
	struct caption_rules r = { .separator = ",", .shuffle = 1 };
	struct buf first = { 0 }, b = { 0 };
	int others = 0;

	caption_at(&first, &r, "a,b,c,d", 7, 3, 1, 2);
	for (int step = 0; step < 20; step++) {
		buf_clear(&b);
		caption_at(&b, &r, "a,b,c,d", 7, step, 1, 2);
		CHECK_INT(b.len, first.len);
		if (step == 3)
			CHECK_STR(b.at, first.at);
		others += strcmp(b.at, first.at) != 0;
	}
	CHECK(others > 10);
	buf_release(&first);
	buf_release(&b);
}

int main(void)
{
	TEST(unchanged);
	TEST(around);
	TEST(epochs);
	TEST(wildcards);
	TEST(tags);
	TEST(warm_up);
	TEST(function_of_step);
	return test_end();
}
