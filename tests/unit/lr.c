/* Learning-rate schedules. */
#include "tests/test.h"

#include "kernels/run/lr.h"

static void shapes(void)
{
	struct lr s = { .kind = LR_LINEAR, .warmup = 10, .total = 110, .cycles = 1, .power = 1,
			.base = 1e-4 };

	CHECK(lr_factor(&s, 0) == 0);
	CHECK_NEAR(lr_factor(&s, 5), 0.5, 0);
	CHECK_NEAR(lr_factor(&s, 60), 0.5, 1e-12);
	CHECK(lr_factor(&s, 200) == 0);
	s.kind = LR_COSINE;
	CHECK_NEAR(lr_factor(&s, 60), 0.5, 1e-12);
	CHECK_NEAR(lr_factor(&s, 110), 0, 1e-12);
	s.kind = LR_COSINE_WITH_RESTARTS;
	s.cycles = 2;
	CHECK_NEAR(lr_factor(&s, 60), 1, 1e-12);
	CHECK(lr_factor(&s, 110) == 0);
	s.kind = LR_POLYNOMIAL;
	CHECK_NEAR(lr_factor(&s, 500), 1e-3, 1e-12);
	s.kind = LR_CONSTANT;
	CHECK(lr_factor(&s, 0) == 1);
	s.kind = LR_CONSTANT_WITH_WARMUP;
	CHECK(lr_factor(&s, 0) == 0 && lr_factor(&s, 10) == 1 && lr_factor(&s, 10000) == 1);
}

static void no_division_by_zero(void)
{
	struct lr s = { .total = 0, .cycles = 1, .power = 0.5, .base = 1e-4 };

	for (int k = LR_CONSTANT; k <= LR_WARMUP_STABLE_DECAY; k++) {
		s.kind = (enum lr_kind)k;
		for (int step = 0; step < 3; step++)
			CHECK(isfinite(lr_factor(&s, step)));
	}
	s.warmup = s.total = 5;
	s.kind = LR_POLYNOMIAL;
	CHECK(isfinite(lr_factor(&s, 5)));
}

static void rules(void)
{
	struct lr s = { .kind = LR_PIECEWISE_CONSTANT };
	struct err e = { "" };

	CHECK_OK(lr_rules(&s, "0.1:20,1:10,0.01:30,0.005", &e), e);
	CHECK(lr_factor(&s, 0) == 1 && lr_factor(&s, 9) == 1 && lr_factor(&s, 10) == 0.1);
	CHECK(lr_factor(&s, 29) == 0.01 && lr_factor(&s, 30) == 0.005);
	CHECK_OK(lr_rules(&s, "0.5", &e), e);
	CHECK(lr_factor(&s, 7) == 0.5);
	CHECK(lr_rules(&s, "", &e) < 0);
	CHECK(lr_rules(&s, "1:10", &e) < 0);
	CHECK(lr_rules(&s, "1:10,0.5,0.1", &e) < 0);
	CHECK(lr_rules(&s, "1:10,0.5:10,0.1", &e) < 0);
	CHECK(lr_rules(&s, "x:10,0.1", &e) < 0);
	CHECK(lr_rules(&s, "1:-3,0.1", &e) < 0);
}

static void updates(void)
{
	struct err e = { "" };
	int64_t n = -1;

	CHECK_OK(lr_updates("500", 1000, &n, &e), e);
	CHECK_INT(n, 500);
	CHECK_OK(lr_updates("0.1", 1000, &n, &e), e);
	CHECK_INT(n, 100);
	CHECK_OK(lr_updates("10%", 1000, &n, &e), e);
	CHECK_INT(n, 100);
	CHECK(lr_updates("-5", 1000, &n, &e) < 0);
	CHECK(lr_updates("1.5", 1000, &n, &e) < 0);
	CHECK(lr_updates("%", 1000, &n, &e) < 0);
	CHECK(lr_updates("", 1000, &n, &e) < 0);
}

static void bad_schedules(void)
{
	struct lr s = { .warmup = 5 };
	struct err e = { "" };
	enum lr_kind k;

	CHECK(lr_check(&s, &e) < 0);
	s = (struct lr){ .kind = LR_POLYNOMIAL, .base = 1e-8 };
	CHECK(lr_check(&s, &e) < 0);
	s = (struct lr){ .kind = LR_WARMUP_STABLE_DECAY, .warmup = 6, .decay = 6, .total = 10 };
	CHECK(lr_check(&s, &e) < 0);
	s = (struct lr){ .kind = LR_COSINE_WITH_MIN_LR, .min_ratio = 2 };
	CHECK(lr_check(&s, &e) < 0);
	CHECK(lr_kind_of_name("linearly", &k, &e) < 0);
	CHECK_OK(lr_kind_of_name("cosine", &k, &e), e);
	CHECK_STR(lr_kind_name(k), "cosine");
}

int main(void)
{
	TEST(shapes);
	TEST(no_division_by_zero);
	TEST(rules);
	TEST(updates);
	TEST(bad_schedules);
	return test_end();
}
