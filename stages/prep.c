/*
 * booth-prep: photographs in. Every picture is looked at once and gets a verdict; the original
 * bytes of those that can be used go into the store, so no later stage reads a user's file.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/folder.h"
#include "common/data/image.h"
#include "common/flow/stage.h"

#define FILE_LIMIT ((size_t)512 << 20)

enum verdict { UNKNOWN, ACCEPTED, FIXED, REJECTED };
static const char *const verdict_name[] = { "", "accepted", "fixed", "rejected" };

struct entry {                  /* what is known of one photo */
	struct oid file, mask, sidecar;
	enum verdict verdict;
	char *reason;           /* NULL = "" */
	char *caption;
	int w, h;
	int unusable; /* rejected for what the file holds, not for its caption or company */
	const struct photo *same;       /* an earlier one with the same bytes, or NULL */
	struct entry *same_entry;
	struct ref image, mask_image;
};

struct prep {
	int64_t min_side;
	const char *masks, *caption_extension;
	struct photos photos;
	struct entry *entry;    /* one for each photo */
};

static void reject(struct entry *n, const char *reason)
{
	if (n->verdict == REJECTED)
		return;
	n->verdict = REJECTED;
	n->reason = xstrdup(reason);
}

/* ---- the key: contents and relative names of all files ---- */

static void hash_photo(struct stores *s, const struct photo *p, struct entry *n)
{
	struct err e;

	if (outside_hash(s, p->path, &n->file, &e) < 0
	    || (p->mask && outside_hash(s, p->mask, &n->mask, &e) < 0)
	    || (p->sidecar && outside_hash(s, p->sidecar, &n->sidecar, &e) < 0))
		reject(n, e.text);
}

static void key_photo(struct action *a, const struct photo *p, const struct entry *n)
{
	action_param(a, "item", p->item);
	if (n->verdict == REJECTED)
		action_param(a, "unreadable", "1");
	else
		action_input(a, "file", &n->file);
	if (p->mask)
		action_input(a, "mask", &n->mask);
	if (p->sidecar)
		action_input(a, "caption", &n->sidecar);
	else if (p->source != CAPTION_NONE)
		action_paramf(a, caption_source_name(p->source), "%s", p->caption);
	if (p->repeats != 1)
		action_paramf(a, "repeats", "%lld", (long long)p->repeats);
	if (*p->concept)
		action_param(a, "concept", p->concept);
	if (p->class)
		action_param(a, "class", "1");
}

static int prep_key(struct job *j, struct action *a, struct err *e)
{
	struct prep *p = j->params;
	struct scan_rules r = { p->caption_extension, p->masks };

	if (photos_scan(&p->photos, j->path, j->paths, &r, e) < 0)
		return -1;
	if (p->photos.left_out)
		warn("%zu picture%s beside the folders with repeats (such as '10_dog') left out",
		     p->photos.left_out, p->photos.left_out == 1 ? "" : "s");
	p->entry = xcalloc(p->photos.n, sizeof *p->entry);
	for (size_t i = 0; i < p->photos.n; i++) {
		hash_photo(j->stores, &p->photos.at[i], &p->entry[i]);
		key_photo(a, &p->photos.at[i], &p->entry[i]);
	}
	return 0;
}

/* ---- the same picture twice ---- */

static void find_doubles(struct prep *p)
{
	const struct oid **hash = xcalloc(p->photos.n, sizeof *hash);
	size_t *first = xcalloc(p->photos.n, sizeof *first);

	for (size_t i = 0; i < p->photos.n; i++)
		hash[i] = p->entry[i].verdict == REJECTED ? NULL : &p->entry[i].file;
	photos_doubles(first, hash, p->photos.n);
	for (size_t i = 0; i < p->photos.n; i++)
		if (first[i] != i) {
			p->entry[i].same = &p->photos.at[first[i]];
			p->entry[i].same_entry = &p->entry[first[i]];
		}
	free(first);
	free(hash);
}

/* Two files that are no pictures are not the same picture: the second one gets the first one's
 * reason. */
static void reject_doubles(struct prep *p)
{
	for (size_t i = 0; i < p->photos.n; i++) {
		struct entry *n = &p->entry[i];
		char *reason;

		if (!n->same)
			continue;
		reason = n->same_entry->unusable ? xstrdup(n->same_entry->reason)
						 : xasprintf("same picture as '%s'", n->same->item);
		reject(n, reason);
		free(reason);
	}
}

/* ---- captions ---- */

static void take_caption(const struct photo *p, struct entry *n)
{
	struct buf text = { 0 };
	struct err e;

	if (!p->sidecar)
		n->caption = xstrdup(p->caption);
	else if (caption_file_read(&text, p->sidecar, &e) < 0)
		reject(n, e.text);
	else
		n->caption = buf_detach(&text);
	buf_release(&text);
}

/* ---- one picture ---- */

struct work {
	struct entry *n;
	const struct photo *p;
	struct buf bytes, mask;
	double seconds;
};

static int item_action(struct job *j, struct action *a, const struct photo *p,
		       const struct entry *n, struct err *e)
{
	static const char *const params[] = { "min-side", NULL };

	if (job_item_action(j, a, params, e) < 0)
		return -1;
	action_input(a, "file", &n->file);
	if (p->mask)
		action_input(a, "mask", &n->mask);
	return 0;
}

/* The bytes that were hashed, or a failure if the file has changed since. */
static int load(struct buf *out, const char *path, const struct oid *want, struct err *e)
{
	struct oid seen;

	if (file_read(out, path, FILE_LIMIT, e) < 0)
		return -1;
	oid_of(&seen, KIND_BYTES, out->at, out->len);
	if (!oid_equal(&seen, want))
		return fail(e, "'%s' changed while it was read", path);
	return 0;
}

static int check_mask(const struct work *w, const struct image_info *of, struct err *e)
{
	struct image_info info;
	const char *name = w->p->mask ? path_base(w->p->mask) : "";

	if (!w->p->mask)
		return 0;
	if (image_decode(NULL, &info, w->mask.at, w->mask.len, e) < 0)
		return err_prefix(e, "mask '%s'", name);
	if (info.w != of->w || info.h != of->h)
		return fail(e, "mask '%s' has %d x %d pixels, the picture %d x %d", name, info.w,
			    info.h, of->w, of->h);
	return 0;
}

/* Touches nothing but its own work, so several run at the same time. */
static void examine(struct work *w, int64_t min_side)
{
	struct image_info info;
	struct err e = { "" };
	double start = clock_now();
	int bad = image_decode(NULL, &info, w->bytes.at, w->bytes.len, &e);

	w->n->w = info.w;
	w->n->h = info.h;
	if (!bad && (info.w < min_side || info.h < min_side))
		bad = fail(&e, "%d x %d pixels, at least %lld x %lld are wanted (--min-side)",
			   info.w, info.h, (long long)min_side, (long long)min_side);
	if (!bad)
		bad = check_mask(w, &info, &e);
	w->n->unusable = bad != 0;
	if (bad) {
		reject(w->n, e.text);
	} else {
		w->n->verdict = *info.fixed ? FIXED : ACCEPTED;
		w->n->reason = *info.fixed ? xstrdup(info.fixed) : NULL;
	}
	w->seconds = clock_now() - start;
}

static void note_write(struct buf *note, const struct entry *n, int mask)
{
	char ref[STAGE_NAME + 1 + OID_HEX];

	buf_addf(note, "verdict %s\nsize %d %d\n", verdict_name[n->verdict], n->w, n->h);
	if (mask && n->verdict != REJECTED)
		buf_addf(note, "mask %s\n", ref_text(&n->mask_image, ref));
	buf_addf(note, "reason %s\n", n->reason ? n->reason : "");
}

static int note_read(struct stores *s, struct entry *n, const struct result *r, struct err *e)
{
	char *text = xstrdup(buf_str(&r->note)), *at = text;

	n->image = r->out;
	for (char *line; (line = strsep(&at, "\n")); ) {
		for (enum verdict v = ACCEPTED; v <= REJECTED; v++)
			if (starts_with(line, "verdict ") && !strcmp(line + 8, verdict_name[v]))
				n->verdict = v;
		if (starts_with(line, "size "))
			sscanf(line, "size %d %d", &n->w, &n->h);
		else if (starts_with(line, "mask ")
			 && ref_parse(s, line + 5, &n->mask_image, e) < 0)
			n->verdict = UNKNOWN;   /* the mask's object is gone: look again */
		else if (starts_with(line, "reason ") && line[7])
			n->reason = xstrdup(line + 7);
	}
	free(text);
	n->unusable = n->verdict == REJECTED;
	if (n->verdict == UNKNOWN) {
		free(n->reason);
		n->reason = NULL;
	}
	return n->verdict != UNKNOWN;
}

/* 1: known from an earlier run, 0: to be done, -1. */
static int recall(struct job *j, const struct photo *p, struct entry *n, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	int found = -1;

	if (item_action(j, &a, p, n, e) == 0)
		found = j->force ? 0 : store_find(j->stores, &a, &r, e);
	if (found > 0)
		found = note_read(j->stores, n, &r, e);
	action_release(&a);
	result_release(&r);
	return found;
}

static int put(struct job *j, enum kind kind, const void *at, size_t len, struct ref *out,
	       struct err *e)
{
	return store_put(j->stores, "prep", kind, at, len, out, e);
}

static int keep(struct job *j, struct work *w, struct err *e)
{
	struct action a = { 0 };
	struct result r = { .seconds = w->seconds };
	struct entry *n = w->n;
	int ret = -1;

	if (n->verdict == REJECTED) {
		if (put(j, KIND_TEXT, n->reason, strlen(n->reason), &n->image, e) < 0)
			goto out;
	} else {
		if (put(j, KIND_IMAGE, w->bytes.at, w->bytes.len, &n->image, e) < 0)
			goto out;
		if (w->p->mask
		    && put(j, KIND_IMAGE, w->mask.at, w->mask.len, &n->mask_image, e) < 0)
			goto out;
	}
	r.out = n->image;
	note_write(&r.note, n, w->p->mask != NULL);
	if (item_action(j, &a, w->p, n, e) < 0)
		goto out;
	ret = store_record_later(j->stores, &a, &r, e);
out:
	action_release(&a);
	result_release(&r);
	return ret;
}

/* ---- all pictures ---- */

/* Load, look at (at the same time) and keep `n` pictures. */
static int do_batch(struct job *j, struct work *w, int n, struct err *e)
{
	const struct prep *p = j->params;
	int ret = 0;

	for (int i = 0; i < n; i++) {
		struct err why;

		if (load(&w[i].bytes, w[i].p->path, &w[i].n->file, &why) < 0
		    || (w[i].p->mask && load(&w[i].mask, w[i].p->mask, &w[i].n->mask, &why) < 0))
			reject(w[i].n, why.text);
	}
#pragma omp parallel for schedule(dynamic) num_threads(j->threads > 0 ? j->threads : 1)
	for (int i = 0; i < n; i++)
		if (w[i].n->verdict == UNKNOWN) {
			examine(&w[i], p->min_side);
		} else {
			w[i].seconds = -1;      /* could not be read: nothing to remember */
		}
	for (int i = 0; i < n; i++) {
		if (ret == 0 && w[i].seconds >= 0)
			ret = keep(j, &w[i], e);
		buf_release(&w[i].bytes);
		buf_release(&w[i].mask);
	}
	return ret;
}

static int do_all(struct job *j, const size_t *todo, size_t n, struct err *e)
{
	struct prep *p = j->params;
	int batch = j->threads > 0 ? 2 * j->threads : 2, ret = 0;
	struct work *w = xcalloc(batch, sizeof *w);
	struct progress show;

	progress_begin(&show, "prep", "pictures", n);
	for (size_t done = 0; done < n && ret == 0; ) {
		int k = 0;

		if (stop_wanted()) {
			ret = fail(e,
				"interrupted after %zu of %zu pictures; the same command goes on from there",
				done, n);
			break;
		}
		for (; k < batch && done < n; k++, done++)
			w[k] = (struct work){ .n = &p->entry[todo[done]],
					      .p = &p->photos.at[todo[done]] };
		ret = do_batch(j, w, k, e);
		progress_at(&show, done, NULL);
	}
	progress_end(&show);
	free(w);
	return ret;
}

static void put_row(struct table *t, const struct photo *p, const struct entry *n)
{
	size_t row = table_add_row(t);
	char ref[STAGE_NAME + 1 + OID_HEX];
	int good = n->verdict != REJECTED;

	table_set(t, row, table_column(t, "item"), p->item);
	table_set(t, row, table_column(t, "verdict"), verdict_name[n->verdict]);
	table_set(t, row, table_column(t, "reason"), n->reason ? n->reason : "");
	table_setf(t, row, table_column(t, "repeats"), "%lld", (long long)p->repeats);
	table_set(t, row, table_column(t, "concept"), p->concept);
	table_set(t, row, table_column(t, "caption"), n->caption ? n->caption : "");
	table_set(t, row, table_column(t, "caption_from"),
		  n->caption ? caption_source_name(p->source) : "");
	if (n->w)
		table_setf(t, row, table_column(t, "width"), "%d", n->w);
	if (n->h)
		table_setf(t, row, table_column(t, "height"), "%d", n->h);
	if (good)
		table_set(t, row, table_column(t, "image"), ref_text(&n->image, ref));
	if (good && p->mask)
		table_set(t, row, table_add_column(t, "mask"), ref_text(&n->mask_image, ref));
	if (p->class)
		table_set(t, row, table_add_column(t, "class"), "1");
}

static int report(struct job *j, struct table *out, struct err *e)
{
	static const char *const columns[] = { "item",	  "image",	 "width",   "height",
					       "verdict", "reason",	 "concept", "repeats",
					       "caption", "caption_from" };
	const struct prep *p = j->params;
	size_t count[4] = { 0 }, n = p->photos.n;

	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		table_add_column(out, columns[i]);
	for (size_t i = 0; i < n; i++) {
		struct entry *at = &p->entry[i];
		struct err why;

		count[at->verdict]++;
		put_row(out, &p->photos.at[i], at);
		if (at->verdict == REJECTED) {
			fail(&why, "%s", at->reason);
			job_item_failed(j, p->photos.at[i].item, &why);
		}
	}
	if (count[REJECTED] == n)
		return fail(e, "none of %zu picture%s can be used", n, n == 1 ? "" : "s");
	talk("%zu picture%s: %zu accepted, %zu fixed, %zu rejected", n, n == 1 ? "" : "s",
	     count[ACCEPTED], count[FIXED], count[REJECTED]);
	return 0;
}

static int prep_run(struct job *j, struct table *out, struct err *e)
{
	struct prep *p = j->params;
	size_t *todo = xcalloc(p->photos.n, sizeof *todo), n = 0;
	int ret = -1;

	find_doubles(p);
	for (size_t i = 0; i < p->photos.n; i++) {
		struct entry *at = &p->entry[i];
		int known = 1;

		if (at->same)
			continue;
		if (at->verdict == UNKNOWN)
			take_caption(&p->photos.at[i], at);
		if (at->verdict == UNKNOWN)
			known = recall(j, &p->photos.at[i], at, e);
		if (known < 0)
			goto out;
		if (!known)
			todo[n++] = i;
	}
	if (do_all(j, todo, n, e) < 0)
		goto out;
	reject_doubles(p);
	ret = report(j, out, e);
out:
	free(todo);
	return ret;
}

static int prep_check(struct job *j, struct err *e)
{
	struct prep *p = j->params;

	if (p->caption_extension && *p->caption_extension != '.')
		return fail(e, "--caption-extension is '%s', one with its dot is wanted, as .txt",
			    p->caption_extension);
	if (!j->paths)
		return fail(e, "which folder? booth prep FOLDER|FILE...");
	return 0;
}

static void prep_release(struct prep *p)
{
	for (size_t i = 0; p->entry && i < p->photos.n; i++) {
		free(p->entry[i].reason);
		free(p->entry[i].caption);
	}
	free(p->entry);
	photos_release(&p->photos);
}

int main(int argc, char **argv)
{
	struct prep p = { .min_side = 64 };
	const struct opt opts[] = {
		{ "min-side", OPT_INT, &p.min_side, "pixels",
		  "a picture with a shorter side is rejected", .min = 1, .max = 16384 },
		{ "masks", OPT_PATH, &p.masks, "folder",
		  .help = "masks, named as the pictures; else NAME-masklabel.png or mask/NAME.png beside the picture NAME.jpg are taken" },
		{ "caption-extension", OPT_TEXT, &p.caption_extension, "",
		  .help = "of caption files beside the pictures; else .caption, then .txt" },
		{ 0 }
	};
	const struct stage stage = {
		.name = "prep", .version = 1, .input = INPUT_PATHS,
		.usage = "FOLDER|FILE|concepts_list.json ...",
		.about = "look at photographs once, and keep them with their captions and masks",
		.run = prep_run, .check = prep_check, .key = prep_key,
	};
	int code = stage_main(argc, argv, &stage, opts, &p);

	prep_release(&p);
	return code;
}
