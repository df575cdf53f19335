/*
 * booth-caption: what each picture is said to show. Captions are a column from here on; where each
 * came from stands in 'caption_from'.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/caption_meta.h"
#include "common/data/folder.h"
#include "common/flow/stage.h"

struct caption {
	const char *text, *from, *metadata, *prefix, *suffix;
	struct opt_list replace;
	int none;
	struct caption_meta *meta;
	size_t used;            /* captions found in it */
};

struct row {                    /* one picture, by what its caption is made of */
	const char *item, *caption, *source;    /* as prep gave them */
	char *name, *folder;    /* stem; words of the innermost folder, or "" */
	struct buf text;
	const char *from;       /* for the column; NULL: no caption yet */
};

/* ---- parts of an item's name ---- */

static size_t stem_length(const char *name)
{
	const char *base = path_base(name), *dot = strrchr(base, '.');

	return dot && dot != base ? (size_t)(dot - name) : strlen(name);
}

static char *stem_of(const char *item)
{
	return xstrndup(path_base(item), stem_length(item) - (path_base(item) - item));
}

/* "x/10_sks dog/3.jpg" -> "sks dog"; "rex/3.jpg" -> "rex"; "3.jpg" -> "". */
static char *folder_of(const char *item)
{
	const char *base = path_base(item), *words;
	char *path, *name;

	if (base == item)
		return xstrdup("");
	path = xstrndup(item, base - item - 1);
	name = xstrdup(folder_repeats(path_base(path), &words) > 0 && *words ? words
									     : path_base(path));
	free(path);
	return name;
}

/* ---- making a caption ---- */

static void take_source(struct caption *p, struct row *r)
{
	if (p->meta) {
		r->from = caption_meta_find(p->meta, r->item, &r->text) ? "metadata" : NULL;
		p->used += r->from != NULL;
	} else if (!p->from) {
		buf_adds(&r->text, r->caption);
		r->from = *r->caption ? *r->source ? r->source : "table" : NULL;
	} else if (!strcmp(p->from, "sidecar")) {
		buf_adds(&r->text, strcmp(r->source, "sidecar") ? "" : r->caption);
		r->from = r->text.len ? "sidecar" : NULL;
	} else {
		buf_adds(&r->text, strcmp(p->from, "file-name") ? r->folder : r->name);
		r->from = r->text.len ? p->from : NULL;
	}
}

/* Length of a template's word at s ("{name}"), or 0: any other brace stands for itself, as in
 * {red|blue}. */
static size_t word_length(const char *s)
{
	size_t n = 1;

	while (isalpha((unsigned char)s[n]))
		n++;
	return *s == '{' && n > 1 && s[n] == '}' ? n + 1 : 0;
}

static int apply_template(const char *text, struct row *r, struct err *e)
{
	struct buf out = { 0 };

	for (const char *s = text; *s; ) {
		size_t n = word_length(s);
		const char *value = s[n > 0] == 'n' ? r->name
			: s[n > 0] == 'f' ? r->folder : buf_str(&r->text);

		if (n && !*value) {
			fail(e, "no %.*s for --text", (int)n, s);
			buf_release(&out);
			return -1;
		}
		if (n)
			buf_adds(&out, value);
		else
			buf_addc(&out, *s);
		s += n ? n : 1;
	}
	buf_release(&r->text);
	r->text = out;
	r->from = "text";
	return 0;
}

static void replace(struct buf *text, const char *rule)
{
	const char *equals = strchr(rule, '='), *at = buf_str(text), *hit;
	char *old = xstrndup(rule, equals - rule);
	struct buf out = { 0 };

	while ((hit = strstr(at, old))) {
		buf_add(&out, at, hit - at);
		buf_adds(&out, equals + 1);
		at = hit + strlen(old);
	}
	buf_adds(&out, at);
	buf_release(text);
	*text = out;
	free(old);
}

static void around(const struct caption *p, struct row *r)
{
	struct buf out = { 0 };

	if (p->prefix)
		buf_addf(&out, "%s%s", p->prefix, r->text.len ? " " : "");
	buf_adds(&out, buf_str(&r->text));
	if (p->suffix)
		buf_addf(&out, "%s%s", out.len ? " " : "", p->suffix);
	buf_release(&r->text);
	r->text = out;
}

static int is_blank(const char *s)
{
	return !s[strspn(s, " \t\n\r")];
}

static int make(struct caption *p, struct row *r, struct err *e)
{
	take_source(p, r);
	if (p->text && apply_template(p->text, r, e) < 0)
		return -1;
	for (int i = 0; i < p->replace.n; i++)
		replace(&r->text, p->replace.at[i]);
	if (!r->from || is_blank(buf_str(&r->text))) {
		if (!p->none)
			return fail(e, "no caption%s%s; --none takes pictures without one",
				    p->from ? " from " : "", p->from ? p->from : "");
		r->from = "";
		buf_clear(&r->text);
	}
	around(p, r);
	if (utf8_valid(buf_str(&r->text), r->text.len) != r->text.len)
		return fail(e, "the caption is not UTF-8");
	return 0;
}

static void caption_row(struct job *j, const struct table *in, size_t i, struct table *out)
{
	struct caption *p = j->params;
	struct row r = {
		.item = table_get(in, i, table_column(in, "item")),
		.caption = table_get(in, i, table_column(in, "caption")),
		.source = table_get(in, i, table_column(in, "caption_from")),
	};
	size_t row = table_append(out, in, i);
	struct err e;

	if (!strcmp(table_get(in, i, table_column(in, "verdict")), "rejected"))
		return;
	r.name = stem_of(r.item);
	r.folder = folder_of(r.item);
	if (make(p, &r, &e) < 0) {
		job_item_failed(j, r.item, &e);
	} else {
		table_set(out, row, table_column(out, "caption"), buf_str(&r.text));
		table_set(out, row, table_column(out, "caption_from"), r.from);
	}
	buf_release(&r.text);
	free(r.name);
	free(r.folder);
}

static int caption_run(struct job *j, struct table *out, struct err *e)
{
	struct caption *p = j->params;

	if (table_need(&j->in, "item", "caption", e) < 0)
		return -1;
	if (p->metadata && caption_meta_open(&p->meta, p->metadata, e) < 0)
		return -1;
	for (int k = 0; k < j->in.columns; k++)
		table_add_column(out, j->in.name[k]);
	table_add_column(out, "caption");
	table_add_column(out, "caption_from");
	for (size_t i = 0; i < j->in.rows; i++)
		caption_row(j, &j->in, i, out);
	if (p->meta)
		talk("%zu of %zu pictures have a caption in '%s', which has %zu", p->used,
		     j->in.rows, p->metadata, caption_meta_count(p->meta));
	return 0;
}

static int check_template(const char *text, struct err *e)
{
	for (const char *s = text; *s; s++) {
		size_t n = word_length(s);

		if (n && strncmp(s, "{name}", n) && strncmp(s, "{folder}", n)
		    && strncmp(s, "{caption}", n))
			return fail(e,
				"--text: there is no %.*s; there are {name}, {folder}, {caption}",
				(int)n, s);
	}
	return 0;
}

static int caption_check(struct job *j, struct err *e)
{
	struct caption *p = j->params;

	if (p->text && is_blank(p->text))
		return fail(e, "--text is empty");
	if (p->text && check_template(p->text, e) < 0)
		return -1;
	if (p->from && !strcmp(p->from, "metadata") && !p->metadata)
		return fail(e, "--from metadata needs --metadata FILE");
	if (p->metadata && p->from && strcmp(p->from, "metadata"))
		return fail(e, "--metadata and --from %s exclude each other", p->from);
	for (int i = 0; i < p->replace.n; i++)
		if (!strchr(p->replace.at[i], '=') || *p->replace.at[i] == '=')
			return fail(e, "--replace '%s': OLD=NEW is wanted", p->replace.at[i]);
	return 0;
}

int main(int argc, char **argv)
{
	struct caption p = { 0 };
	const struct opt opts[] = {
		{ "from", OPT_CHOICE, &p.from, "",
		  "where captions come from; else what prep found beside the pictures",
		  .choices = "sidecar file-name folder-name metadata" },
		{ "metadata", OPT_PATH, &p.metadata, "file",
		  .help = "kohya's JSON: {picture: {caption, tags}}" },
		{ "text", OPT_TEXT, &p.text, "",
		  .help = "template; {name} is the file's name, {folder} its folder's, {caption} the caption so far" },
		{ "replace", OPT_LIST, &p.replace, "OLD=NEW",
		  .help = "put NEW for OLD wherever it stands, after --text" },
		{ "prefix", OPT_TEXT, &p.prefix, "", .help = "put in front, with a blank" },
		{ "suffix", OPT_TEXT, &p.suffix, "", .help = "put behind, with a blank" },
		{ "none", OPT_FLAG, &p.none, "", .help = "pictures without a caption are fine" },
		{ 0 }
	};
	const struct stage stage = {
		.name = "caption", .version = 1, .input = INPUT_TABLE,
		.about = "give each picture its caption",
		.run = caption_run, .check = caption_check,
	};
	int code = stage_main(argc, argv, &stage, opts, &p);

	caption_meta_close(p.meta);
	return code;
}
