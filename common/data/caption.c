#include "common/data/caption.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"

/* Stand for {{ and }} while wildcards are replaced; no UTF-8 text holds these bytes. */
#define OPEN '\xfe'
#define CLOSE '\xff'

struct dice {
	caption_draw *draw;
	void *state;
};

static double roll(const struct dice *d)
{
	return d->draw(d->state);
}

/* One of n things. */
static size_t choose(const struct dice *d, size_t n)
{
	size_t i = (size_t)(roll(d) * (double)n);

	return i < n ? i : n - 1;
}

static int is_given(const char *s)
{
	return s && *s;
}

/* Python's str.strip: Unicode's white space and the four ASCII separators. */
static int is_blank(uint32_t c)
{
	return (c >= 9 && c <= 13) || (c >= 0x1c &&
				       c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

static char *trimmed(const char *s, size_t len)
{
	size_t from = 0, to = 0;
	uint32_t c;

	for (size_t at = 0; at < len; ) {
		size_t step = (size_t)utf8_next(s + at, len - at, &c);

		if (!is_blank(c))
			to = at + step;
		else if (!to)
			from = at + step;
		at += step;
	}
	return to ? xstrndup(s + from, to - from) : xstrdup("");
}

struct tags {
	char **at;
	size_t n, cap;
};

static void tags_add(struct tags *l, char *tag)
{
	l->at = grow(l->at, l->n, &l->cap, sizeof *l->at);
	l->at[l->n++] = tag;
}

static void tags_release(struct tags *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
	free(l->at);
	*l = (struct tags){ 0 };
}

/* Cut at the separator, each piece trimmed; `empty` ones are kept or left out. */
static void tags_split(struct tags *l, const char *s, size_t len, const char *separator, int empty)
{
	size_t step = strlen(separator), from = 0;

	for (size_t at = 0; at <= len; ) {
		char *tag;

		if (at < len && (!step || len - at < step || memcmp(s + at, separator, step))) {
			at++;
			continue;
		}
		tag = trimmed(s + from, at - from);
		if (*tag || empty)
			tags_add(l, tag);
		else
			free(tag);
		at += at < len ? step : 1;
		from = at;
	}
}

static void replace(struct buf *b, const char *what, const char *by)
{
	struct buf out = { 0 };
	const char *at = buf_str(b), *hit;

	while ((hit = strstr(at, what))) {
		buf_add(&out, at, (size_t)(hit - at));
		buf_adds(&out, by);
		at = hit + strlen(what);
	}
	buf_adds(&out, at);
	buf_release(b);
	*b = out;
}

static void keep_line(struct buf *b, size_t line)
{
	const char *at = buf_str(b);
	struct buf out = { 0 };

	for (; line; line--)
		at = strchr(at, '\n') + 1;
	buf_add(&out, at, strcspn(at, "\n"));
	buf_release(b);
	*b = out;
}

/* One of the words between bars; returns what follows the closing brace. */
static const char *wildcard(struct buf *out, const char *open, const char *close,
			    const struct dice *d)
{
	size_t n = 1, pick;
	const char *at = open + 1;

	for (const char *s = at; s < close; s++)
		n += *s == '|';
	for (pick = choose(d, n); pick; pick--)
		at = strchr(at, '|') + 1;
	buf_add(out, at, strcspn(at, "|}"));
	return close + 1;
}

/* {a|b}, without nesting: from an opening brace to the next closing one, with something between. */
static void wildcards(struct buf *b, const struct dice *d)
{
	static const char open[] = { OPEN, 0 }, close[] = { CLOSE, 0 };
	struct buf out = { 0 };
	const char *at;

	replace(b, "{{", open);
	replace(b, "}}", close);
	for (at = buf_str(b); *at; ) {
		const char *end = *at == '{' ? strchr(at, '}') : NULL;

		if (end && end > at + 1)
			at = wildcard(&out, at, end, d);
		else
			buf_addc(&out, *at++);
	}
	buf_release(b);
	*b = out;
	replace(b, open, "{");
	replace(b, close, "}");
}

static void lines(struct buf *b, const struct caption_rules *r, const struct dice *d)
{
	size_t n = 1;

	for (const char *s = buf_str(b); *s; s++)
		n += *s == '\n';
	if (!r->wildcard) {
		keep_line(b, 0);
		return;
	}
	if (n > 1)
		keep_line(b, choose(d, n));
	wildcards(b, d);
}

/* Parts of a caption: fixed at the front, free, fixed at the end. */
struct parts {
	struct tags front, flex, end;
};

static void parts_split(struct parts *p, const char *s, const struct caption_rules *r)
{
	const char *first = is_given(r->keep_separator) ? strstr(s, r->keep_separator) : NULL;
	const char *second, *flex;
	size_t step;

	if (!first) {
		char *all = trimmed(s, strlen(s));
		struct tags l = { 0 };

		tags_split(&l, all, strlen(all), r->separator, 1);
		for (size_t i = 0; i < l.n; i++)
			tags_add((int64_t)i < r->keep_tokens ? &p->front : &p->flex, l.at[i]);
		free(l.at);
		free(all);
		return;
	}
	step = strlen(r->keep_separator);
	flex = first + step;
	second = strstr(flex, r->keep_separator);
	tags_split(&p->front, s, (size_t)(first - s), r->separator, 0);
	tags_split(&p->flex, flex, second ? (size_t)(second - flex) : strlen(flex), r->separator,
		   0);
	if (second)
		tags_split(&p->end, second + step, strlen(second + step), r->separator, 0);
}

/* Early on only the first tags are used; a negative count is from the end, as in a Python slice. */
static void warm_up(struct tags *flex, const struct caption_rules *r, int64_t step)
{
	double steps = r->warmup_steps, min = (double)r->warmup_min, n;
	size_t keep;

	if (steps < 1)
		steps = floor(steps * (double)r->total_steps);
	if (steps <= 0 || (double)step >= steps)
		return;
	n = floor((double)step * (((double)flex->n - min) / steps)) + min;
	if (n < 0)
		n = n + (double)flex->n > 0 ? n + (double)flex->n : 0;
	keep = n < (double)flex->n ? (size_t)n : flex->n;
	while (flex->n > keep)
		free(flex->at[--flex->n]);
}

static void shuffle(struct tags *l, const struct dice *d)
{
	for (size_t i = l->n; i-- > 1; ) {
		size_t j = choose(d, i + 1);
		char *t = l->at[i];

		l->at[i] = l->at[j];
		l->at[j] = t;
	}
}

static void drop(struct tags *l, double rate, const struct dice *d)
{
	size_t to = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (roll(d) >= rate)
			l->at[to++] = l->at[i];
		else
			free(l->at[i]);
	}
	l->n = to;
}

static void join(struct buf *b, const struct tags *l, int *any)
{
	for (size_t i = 0; i < l->n; i++) {
		buf_adds(b, *any ? ", " : "");
		buf_adds(b, l->at[i]);
		*any = 1;
	}
}

static void tags_apply(struct buf *b, const struct caption_rules *r, int64_t step,
		       const struct dice *d)
{
	struct parts p = { 0 };
	int any = 0;

	parts_split(&p, buf_str(b), r);
	if (r->warmup_steps > 0)
		warm_up(&p.flex, r, step);
	if (r->shuffle)
		shuffle(&p.flex, d);
	if (r->tag_dropout > 0)
		drop(&p.flex, r->tag_dropout, d);
	buf_clear(b);
	join(b, &p.front, &any);
	join(b, &p.flex, &any);
	join(b, &p.end, &any);
	tags_release(&p.front);
	tags_release(&p.flex);
	tags_release(&p.end);
}

/* Both are looked at, so that a draw is taken also where the epoch drops the caption anyway. */
static int is_dropped(const struct caption_rules *r, int64_t epoch, const struct dice *d)
{
	int drawn = r->dropout > 0 && roll(d) < r->dropout;

	return drawn || (r->dropout_every_epochs > 0 && epoch % r->dropout_every_epochs == 0);
}

void caption_apply(struct buf *out, const struct caption_rules *r, const char *caption,
		   int64_t step, int64_t epoch, caption_draw *draw, void *state)
{
	struct dice d = { draw, state };
	struct buf b = { 0 };

	if (is_given(r->prefix))
		buf_addf(&b, "%s ", r->prefix);
	buf_adds(&b, caption);
	if (is_given(r->suffix))
		buf_addf(&b, " %s", r->suffix);
	if (is_dropped(r, epoch, &d)) {
		buf_release(&b);
		return;
	}
	lines(&b, r, &d);
	if (r->shuffle || r->warmup_steps > 0 || r->tag_dropout > 0)
		tags_apply(&b, r, step, &d);
	if (is_given(r->secondary_separator))
		replace(&b, r->secondary_separator, r->separator);
	buf_add(out, buf_str(&b), b.len);
	buf_release(&b);
}

struct stream {
	struct rng r;
	uint32_t at;
};

static double stream_draw(void *state)
{
	struct stream *s = state;

	return rng_uniform(&s->r, s->at++);
}

void caption_at(struct buf *out, const struct caption_rules *r, const char *caption,
		uint64_t seed, int64_t step, int64_t epoch, int64_t item)
{
	struct stream s = { rng_stream(seed, "caption", (uint32_t)step, (uint32_t)item), 0 };

	caption_apply(out, r, caption, step, epoch, stream_draw, &s);
}

int caption_varies(const struct caption_rules *r)
{
	return r->dropout > 0 || r->dropout_every_epochs > 0 || r->wildcard || r->shuffle ||
	       r->tag_dropout > 0 || r->warmup_steps > 0;
}
