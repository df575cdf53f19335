/*
 * tables/lr-schedules.tsv: the factor of each update, of every schedule. tables/img2img-steps.tsv:
 * which timesteps a run from a picture makes.
 */
#include "tests/golden/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/data/table.h"
#include "kernels/run/lr.h"
#include "kernels/run/sampler.h"

static int read_table(struct table *t, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int ret = file_read(&b, path, 64 << 20, e);

	if (ret == 0)
		ret = table_parse(t, buf_str(&b), b.len, path, e);
	buf_release(&b);
	return ret;
}

static double number(const struct table *t, size_t row, const char *column, double otherwise)
{
	double v;

	return text_float(table_get(t, row, table_column(t, column)), &v) == 0 ? v : otherwise;
}

static const char *word(const struct table *t, size_t row, const char *column)
{
	return table_get(t, row, table_column(t, column));
}

static int rate_of_row(const struct table *t, size_t row, struct lr *s, struct err *e)
{
	*s = (struct lr){ .base = number(t, row, "lr", 0) };
	s->warmup = (int64_t)number(t, row, "num_warmup_steps", 0);
	s->total = (int64_t)number(t, row, "num_training_steps", 0);
	s->cycles = number(t, row, "num_cycles", 1);
	s->power = number(t, row, "power", 1);
	s->timescale = (int64_t)number(t, row, "timescale", 0);
	s->decay = (int64_t)number(t, row, "num_decay_steps", 0);
	s->min_ratio = number(t, row, "min_lr_ratio", 0);
	if (lr_kind_of_name(word(t, row, "schedule"), &s->kind, e) < 0)
		return -1;
	if (s->kind == LR_PIECEWISE_CONSTANT && lr_rules(s, word(t, row, "step_rules"), e) < 0)
		return -1;
	return lr_check(s, e);
}

static int check_rates(const char *root, const char *path, int *rows, int *wrong, struct err *e)
{
	struct table t = { 0 };
	int ret = read_table(&t, path, e);
	struct lr s;

	(void)root;
	for (size_t i = 0; ret == 0 && i < t.rows; i++) {
		double want = number(&t, i, "multiplier", NAN), have;
		ret = rate_of_row(&t, i, &s, e);
		have = ret ? 0 : lr_factor(&s, (int64_t)number(&t, i, "step", 0));
		++*rows;
		if (ret == 0 && !(fabs(have - want) <= 1e-12)) {
			++*wrong;
			golden_row(path, (int)i + 1, "%s at %s: %.17g, not %.17g", word(&t, i, "schedule"),
				   word(&t, i, "step"), have, want);
		}
	}
	table_release(&t);
	return ret;
}

/* "801,781,...": are these time[from .. to - 1]? Fractions are written with 9 digits. */
static int same_times(const struct sampler *s, int from, int to, const char *list)
{
	while (from < to && *list) {
		char *end;
		double v = strtod(list, &end);
		if (end == list || !(fabs(v - s->time[from]) <= 1e-5 * (v + 1)))
			return 0;
		list = *end == ',' ? end + 1 : end;
		from++;
	}
	return from == to && !*list;
}

static int check_starts(const char *root, const char *path, int *rows, int *wrong, struct err *e)
{
	struct table t = { 0 };
	int ret = read_table(&t, path, e);

	(void)root;
	for (size_t i = 0; ret == 0 && i < t.rows; i++) {
		struct sampler_config c;
		struct sampler s = { 0 };
		int begin;
		const char *name = word(&t, i, "sampler");
		ret = sampler_configure(&c, NULL, !strcmp(name, "dpmpp-2m") ? "dpmsolver++" : name, e) < 0 ||
			sampler_init(&s, &c, (int)number(&t, i, "steps", 0), 1, 1, e) < 0 ? -1 : 0;
		if (ret)
			break;
		sampler_set_strength(&s, number(&t, i, "strength", 0));
		++*rows;
		/* where no step is left the table's index may be beyond the end */
		begin = (int)number(&t, i, "begin_index", -1);
		if (s.first != (begin < s.count ? begin : s.count) ||
		    !same_times(&s, s.first, s.count, word(&t, i, "timesteps"))) {
			++*wrong;
			golden_row(path, (int)i + 1, "%s begins at %d, not %s", name, s.first, word(&t, i, "begin_index"));
		}
		sampler_release(&s);
	}
	table_release(&t);
	return ret;
}

const struct golden_group golden_table_rates = { .name = "tables/lr-schedules.tsv", .check_table = check_rates };
const struct golden_group golden_table_img2img = { .name = "tables/img2img-steps.tsv", .check_table = check_starts };
