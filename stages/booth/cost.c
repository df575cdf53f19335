#include "stages/booth/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

void cost_put(struct buf *note, const struct cost *c)
{
	buf_addf(note, "cost %.3f %.3f %lld %lld %lld %lld\n", c->seconds, c->work,
		 (long long)c->done, (long long)c->of, (long long)c->made, (long long)c->known);
}

int cost_read(struct cost *out, const char *note)
{
	const char *at = starts_with(note, "cost ") ? note : strstr(note, "\ncost ");
	long long v[4];

	*out = (struct cost){ 0 };
	if (!at || sscanf(at + (*at == '\n'), "cost %lf %lf %lld %lld %lld %lld", &out->seconds,
			  &out->work, &v[0], &v[1], &v[2], &v[3]) != 6)
		return 0;
	out->done = v[0];
	out->of = v[1];
	out->made = v[2];
	out->known = v[3];
	return 1;
}

static int64_t number(const char *text)
{
	int64_t v;

	return text_int(text, &v) < 0 || v < 0 ? 0 : v;
}

static void bar_begins(struct meter *m, const char *what, const char *unit)
{
	snprintf(m->what, sizeof m->what, "%s", what);
	snprintf(m->unit, sizeof m->unit, "%s", unit);
	m->bar = (struct progress){ .what = m->what, .unit = m->unit, .start = clock_now() };
}

static void bar_ended(struct meter *m, int64_t done, int64_t from, double seconds)
{
	m->cost.work += seconds;
	if (seconds >= m->longest) {
		m->longest = seconds;
		m->cost.done = done - from;
		m->cost.of = m->bar.total ? m->bar.total : done;
	}
	m->unit[0] = 0;
}

void meter_line(struct meter *m, char *line)
{
	char *word[8] = { NULL };
	double seconds;
	int n = 0;

	while (n < 8 && (word[n] = strsep(&line, "\t")))
		n++;
	if (n >= 7 && !strcmp(word[0], "bar")) {
		if (!m->unit[0] || strcmp(m->what, word[1]) || strcmp(m->unit, word[2]))
			bar_begins(m, word[1], word[2]);
		m->bar.done = number(word[3]);
		m->bar.from = number(word[4]);
		m->bar.total = number(word[5]);
		snprintf(m->note, sizeof m->note, "%s", word[6]);
	} else if (n >= 6 && !strcmp(word[0], "end") && text_float(word[5], &seconds) == 0) {
		bar_ended(m, number(word[3]), number(word[4]), seconds);
	} else if (n >= 3 && !strcmp(word[0], "items")) {
		m->cost.made = number(word[1]);
		m->cost.known = number(word[2]);
	}
}
