#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/lr.h"

/* Where the polynomial ends, as a rate. */
#define POLYNOMIAL_END 1e-7

static const char *const names[] = {
	"constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial",
	"piecewise_constant", "inverse_sqrt", "cosine_with_min_lr", "warmup_stable_decay",
};

int lr_kind_of_name(const char *name, enum lr_kind *out, struct err *e)
{
	int n = sizeof names / sizeof *names;

	for (int i = 0; i < n; i++) {
		if (!strcmp(name, names[i])) {
			*out = (enum lr_kind)i;
			return 0;
		}
	}
	return fail(e, "learning-rate schedule '%s' is unknown (constant, constant_with_warmup, "
		    "linear, cosine, cosine_with_restarts, polynomial, piecewise_constant, "
		    "inverse_sqrt, cosine_with_min_lr, warmup_stable_decay)", name);
}

const char *lr_kind_name(enum lr_kind k)
{
	return names[k];
}

static int add_rule(struct lr *s, double factor, int64_t before, struct err *e)
{
	int at = s->rules;

	if (s->rules == LR_RULES)
		return fail(e, "more than %d rules in a piecewise constant schedule", LR_RULES);
	for (; at > 0 && s->rule[at - 1].before > before; at--)
		s->rule[at] = s->rule[at - 1];
	if (at > 0 && s->rule[at - 1].before == before)
		return fail(e, "two rules end at update %lld", (long long)before);
	s->rule[at].before = before;
	s->rule[at].factor = factor;
	s->rules++;
	return 0;
}

/* One rule, "FACTOR:UPDATE" or at the end "FACTOR"; `part` is changed. */
static int read_rule(struct lr *s, char *part, int last, struct err *e)
{
	char *colon = strchr(part, ':');
	int64_t before = 0;
	double factor;

	if (colon)
		*colon = 0;
	if (text_float(part, &factor) < 0 || factor < 0 ||
	    (colon && text_int(colon + 1, &before) < 0) || before < 0)
		return fail(e, "'%s%s%s' is no rule (FACTOR:UPDATE, and FACTOR at the end)", part,
			    colon ? ":" : "", colon ? colon + 1 : "");
	if (last != !colon)
		return fail(e, last ? "the last rule is a factor alone, without an update"
			    : "only the last rule can be without an update");
	if (colon)
		return add_rule(s, factor, before, e);
	s->after = factor;
	return 0;
}

int lr_rules(struct lr *s, const char *text, struct err *e)
{
	char *copy = xstrdup(text), *next = copy;
	int ret = 0;

	s->rules = 0;
	while (ret == 0 && next) {
		char *part = strsep(&next, ",");
		ret = read_rule(s, part, !next, e);
	}
	free(copy);
	return ret;
}

int lr_updates(const char *text, int64_t total, int64_t *out, struct err *e)
{
	size_t len = strlen(text);
	char *number;
	double f;
	int ok;

	if (text_int(text, out) == 0 && *out >= 0)
		return 0;
	number = xstrndup(text, len && text[len - 1] == '%' ? len - 1 : len);
	ok = text_float(number, &f) == 0;
	free(number);
	if (ok && len && text[len - 1] == '%')
		f /= 100;
	if (!ok || !(f >= 0 && f <= 1))
		return fail(e, "'%s' is no number of updates (500, or a part: 0.1, 10%%)", text);
	*out = (int64_t)(f * (double)total);
	return 0;
}

int lr_check(const struct lr *s, struct err *e)
{
	if (s->warmup < 0 || s->total < 0 || s->decay < 0 || s->timescale < 0)
		return fail(e, "a learning-rate schedule with a negative number of updates");
	if (s->kind == LR_CONSTANT && s->warmup)
		return fail(e, "the schedule 'constant' has no warm-up (constant_with_warmup has)");
	if (s->kind == LR_POLYNOMIAL && !(s->base > POLYNOMIAL_END))
		return fail(e, "the schedule 'polynomial' ends at the rate %g, but begins at %g",
			    POLYNOMIAL_END, s->base);
	if (s->kind == LR_POLYNOMIAL && !(s->power >= 0))
		return fail(e, "the schedule 'polynomial' with the power %g", s->power);
	if (s->kind == LR_WARMUP_STABLE_DECAY && s->warmup + s->decay > s->total)
		return fail(e, "%lld updates of warm-up and %lld of decay do not fit into %lld",
			    (long long)s->warmup, (long long)s->decay, (long long)s->total);
	if (s->min_ratio < 0 || s->min_ratio > 1)
		return fail(e, "the smallest learning rate is %g times the largest, not between 0 and 1",
			    s->min_ratio);
	return 0;
}

static double at_least_1(int64_t n)
{
	return n > 1 ? (double)n : 1;
}

static double wave(double half_turns)
{
	return 0.5 * (1 + cos(M_PI * half_turns));
}

static double raised(double f, double floor)
{
	f = f * (1 - floor) + floor;
	return f > 0 ? f : 0;
}

static double polynomial(const struct lr *s, int64_t step)
{
	double end = POLYNOMIAL_END / s->base, left;

	/* a warm-up of all updates leaves nothing to come down over */
	if (step > s->total || s->total <= s->warmup)
		return end;
	left = 1 - (double)(step - s->warmup) / (double)(s->total - s->warmup);
	return ((s->base - POLYNOMIAL_END) * pow(left, s->power) + POLYNOMIAL_END) / s->base;
}

static double piecewise(const struct lr *s, int64_t step)
{
	for (int i = 0; i < s->rules; i++)
		if (step < s->rule[i].before)
			return s->rule[i].factor;
	return s->after;
}

static double inverse_sqrt(const struct lr *s, int64_t step)
{
	int64_t scale = s->timescale ? s->timescale : s->warmup ? s->warmup : 10000;

	return 1 / sqrt((double)(step + scale - s->warmup) / (double)scale);
}

static double stable_decay(const struct lr *s, int64_t step)
{
	int64_t begin = s->total - s->decay;

	if (step < s->warmup)
		return raised((double)step / at_least_1(s->warmup), s->min_ratio);
	if (step < begin)
		return 1;
	if (step < s->total)
		return raised(wave(s->cycles * (double)(step - begin) / at_least_1(s->decay)),
			      s->min_ratio);
	return s->min_ratio;
}

double lr_factor(const struct lr *s, int64_t step)
{
	double p = (double)(step - s->warmup) / at_least_1(s->total - s->warmup), left;

	if (s->kind == LR_CONSTANT)
		return 1;
	if (s->kind == LR_PIECEWISE_CONSTANT)
		return piecewise(s, step);
	if (s->kind == LR_WARMUP_STABLE_DECAY)
		return stable_decay(s, step);
	if (step < s->warmup)
		return (double)step / at_least_1(s->warmup);
	switch (s->kind) {
	case LR_LINEAR:
		left = (double)(s->total - step) / at_least_1(s->total - s->warmup);
		return left > 0 ? left : 0;
	case LR_COSINE: return wave(p);
	case LR_COSINE_WITH_RESTARTS: return p >= 1 ? 0 : wave(fmod(s->cycles * p, 1));
	case LR_POLYNOMIAL: return polynomial(s, step);
	case LR_INVERSE_SQRT: return inverse_sqrt(s, step);
	case LR_COSINE_WITH_MIN_LR: return raised(wave(s->cycles * p), s->min_ratio);
	default: return 1;
	}
}
