#include "stages/shared/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/sampler.h"

#define FILE_LIMIT ((size_t)16 << 20)

void prompts_release(struct prompts *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].text);
		free(p->at[i].negative);
	}
	free(p->at);
	*p = (struct prompts){ 0 };
}

int prompt_sampler(const char *name, const char **out, struct err *e)
{
	struct buf all = { 0 };

	for (int i = 0; sampler_name(i); i++) {
		if (sampler_same_name(sampler_name(i), name)) {
			*out = sampler_name(i);
			buf_release(&all);
			return 0;
		}
		if (!strstr(sampler_name(i), "Scheduler") && !strchr(sampler_name(i), '_'))
			buf_addf(&all, "%s%s", all.len ? ", " : "", sampler_name(i));
	}
	fail(e, "there is no sampler '%s'; there are %s", name, buf_str(&all));
	buf_release(&all);
	return -1;
}

/* ---- suffixes ---- */

static int take_int(const char *key, const char *value, int64_t min, int64_t max, int64_t *out,
		    struct err *e)
{
	if (text_int(value, out) < 0 || *out < min || *out > max)
		return fail(e, "'--%s' is '%s', a whole number from %lld to %lld is wanted", key, value, (long long)min,
			    (long long)max);
	return 0;
}

static int take_scale(const char *value, double *out, struct err *e)
{
	if (text_float(value, out) < 0 || *out < 0 || *out > 1000)
		return fail(e, "'--l' is '%s', a number from 0 to 1000 is wanted", value);
	return 0;
}

static int take_seed(const char *value, uint64_t *out, struct err *e)
{
	int64_t seed = 0;

	if (take_int("d", value, 0, INT64_MAX, &seed, e) < 0)
		return -1;
	*out = (uint64_t)seed;
	return 0;
}

static int take_suffix(struct prompt *p, const char *key, const char *value, struct err *e)
{
	if (!strcmp(key, "n")) {
		free(p->negative);
		p->negative = xstrdup(value);
		return 0;
	}
	if (!strcmp(key, "w"))
		return take_int(key, value, 8, 16384, &p->width, e);
	if (!strcmp(key, "h"))
		return take_int(key, value, 8, 16384, &p->height, e);
	if (!strcmp(key, "s"))
		return take_int(key, value, 1, 1000, &p->steps, e);
	if (!strcmp(key, "d"))
		return take_seed(value, &p->seed, e);
	if (!strcmp(key, "l"))
		return take_scale(value, &p->scale, e);
	if (!strcmp(key, "ss"))
		return prompt_sampler(value, &p->sampler, e);
	return fail(e, "there is no suffix '--%s'; there are --n, --w, --h, --d, --l, --s and --ss", key);
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	for (n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
		s[n - 1] = 0;
	return s;
}

/* The next " --" at or behind s, or the end. */
static char *next_suffix(char *s)
{
	for (; *s; s++)
		if (s[0] == ' ' && s[1] == '-' && s[2] == '-')
			return s;
	return s;
}

static int parse(struct prompt *p, char *line, struct err *e)
{
	char *at = next_suffix(line), *next, *value;
	int more = *at != 0;

	*at = 0;
	p->text = xstrdup(trim(line));
	while (more) {
		char *key = at + 3;

		next = next_suffix(key);
		more = *next != 0;
		*next = 0;
		value = key + strcspn(key, " \t");
		if (*value)
			*value++ = 0;
		if (take_suffix(p, key, trim(value), e) < 0)
			return -1;
		at = next;
	}
	return 0;
}

int prompts_add(struct prompts *p, const char *line, const struct prompt *otherwise, struct err *e)
{
	char *copy = xstrdup(line);
	int ret;

	p->at = grow(p->at, p->n, &p->cap, sizeof *p->at);
	p->at[p->n] = *otherwise;
	p->at[p->n].text = NULL;
	p->at[p->n].negative = xstrdup(otherwise->negative ? otherwise->negative : "");
	p->n++;
	ret = parse(&p->at[p->n - 1], copy, e);
	free(copy);
	return ret;
}

/* ---- files ---- */

static int add_lines(struct prompts *p, char *text, const char *path,
		     const struct prompt *otherwise, struct err *e)
{
	size_t number = 0, before = p->n;

	for (char *line = text, *end; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = 0;
		number++;
		if (*line == '#' || !*trim(line))
			continue;
		if (prompts_add(p, line, otherwise, e) < 0)
			return err_prefix(e, "%s:%zu", path, number);
	}
	return p->n > before ? 0 : fail(e, "'%s' holds no prompt", path);
}

int prompts_add_file(struct prompts *p, const char *path, const struct prompt *otherwise,
		     struct err *e)
{
	static const char mark[] = "\xef\xbb\xbf";
	struct buf b = { 0 };
	size_t good;
	int ret = -1;

	if (file_read(&b, path, FILE_LIMIT, e) < 0)
		goto out;
	good = utf8_valid(buf_str(&b), b.len);
	if (good != b.len || strlen(buf_str(&b)) != b.len) {
		fail(e, "'%s' is not UTF-8 text (at byte %zu)", path, good != b.len ? good : strlen(buf_str(&b)));
		goto out;
	}
	if (!b.len)
		fail(e, "'%s' holds no prompt", path);
	else
		ret = add_lines(p, b.at + (starts_with(b.at, mark) ? 3 : 0), path, otherwise, e);
out:
	buf_release(&b);
	return ret;
}
