#include "common/data/caption_meta.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/json.h"

struct entry {
	const char *key, *base;
	const struct json *value;
};

struct caption_meta {
	struct json *doc;
	struct entry *entry;    /* its members by the last part of their keys */
	size_t n;
};

static int by_base(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->base, ((const struct entry *)b)->base);
}

static void make_index(struct caption_meta *m)
{
	m->n = json_count(m->doc);
	m->entry = xcalloc(m->n, sizeof *m->entry);
	for (size_t i = 0; i < m->n; i++) {
		m->entry[i].value = json_member(m->doc, i, &m->entry[i].key);
		m->entry[i].base = path_base(m->entry[i].key);
	}
	qsort(m->entry, m->n, sizeof *m->entry, by_base);
}

int caption_meta_open(struct caption_meta **out, const char *path, struct err *e)
{
	struct json *doc = NULL;

	if (json_read(&doc, path, e) < 0)
		return -1;
	if (json_type(doc) != JSON_OBJECT) {
		json_free(doc);
		return fail(e, "'%s' is not kohya's metadata: an object {picture: {caption, tags}} is wanted",
			    path);
	}
	*out = xcalloc(1, sizeof **out);
	(*out)->doc = doc;
	make_index(*out);
	return 0;
}

void caption_meta_close(struct caption_meta *m)
{
	if (!m)
		return;
	free(m->entry);
	json_free(m->doc);
	free(m);
}

size_t caption_meta_count(const struct caption_meta *m)
{
	return m->n;
}

/* A key that ends in the item's path. */
static const struct json *find_longer(const struct caption_meta *m, const char *item)
{
	struct entry want = { .base = path_base(item) };
	const struct entry *at = bsearch(&want, m->entry, m->n, sizeof want, by_base), *end = m->entry + m->n;
	char *slash = xasprintf("/%s", item);
	const struct json *v = NULL;

	while (at && at > m->entry && !by_base(at - 1, &want))
		at--;
	for (; at && at < end && !v && !by_base(at, &want); at++)
		if (ends_with(at->key, slash))
			v = at->value;
	free(slash);
	return v;
}

static const struct json *find(const struct caption_meta *m, const char *item)
{
	const char *base = path_base(item), *dot = strrchr(base, '.');
	char *whole = xstrndup(item, dot && dot != base ? (size_t)(dot - item) : strlen(item));
	const struct json *v = json_get(m->doc, item);

	if (!v)
		v = find_longer(m, item);
	if (!v)
		v = json_get(m->doc, whole);
	if (!v)
		v = json_get(m->doc, base);
	if (!v)
		v = json_get(m->doc, whole + (base - item));
	free(whole);
	return v;
}

int caption_meta_find(const struct caption_meta *m, const char *item, struct buf *out)
{
	const struct json *v = find(m, item);
	const char *caption = json_text(json_get(v, "caption"), "");
	const char *tags = json_text(json_get(v, "tags"), "");

	buf_addf(out, "%s%s%s", caption, *caption && *tags ? ", " : "", tags);
	return *caption || *tags;
}
