#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/folder_impl.h"

#define DEPTH 32        /* folders in folders; more is a link that leads back */

/* ---- names ---- */

int picture_extension(const char *name)
{
	static const char *const ours[] = { ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp" };
	static const char *const others[] = { ".bmp",  ".gif",	".tif",	 ".tiff",
					      ".heic", ".heif", ".avif", ".jxl" };
	const char *dot = strrchr(name, '.');

	if (!dot || dot == name)
		return 0;
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (!strcasecmp(dot, ours[i]))
			return 1;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcasecmp(dot, others[i]))
			return 2;
	return 0;
}

/* One line of UTF-8: what is neither becomes U+FFFD. */
static char *clean(const char *name)
{
	struct buf b = { 0 };
	size_t len = strlen(name);

	for (size_t i = 0; i < len; ) {
		uint32_t c;

		i += utf8_next(name + i, len - i, &c);
		utf8_put(&b, c < 0x20 || c == 0x7f ? 0xfffd : c);
	}
	return b.at ? buf_detach(&b) : xstrdup("");
}

static size_t stem_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot != name ? (size_t)(dot - name) : strlen(name);
}

static int is_side_picture(const char *name)
{
	char *stem = xstrndup(name, stem_length(name));
	int yes = ends_with(stem, "-masklabel") || ends_with(stem, "-condlabel");

	free(stem);
	return yes;
}

static int same_folder(const char *a, const char *b)
{
	struct stat p, q;

	return stat(a, &p) == 0 && stat(b, &q) == 0 && p.st_dev == q.st_dev && p.st_ino == q.st_ino;
}

static int is_mask_folder(const char *path, const char *name, const struct scan_rules *r)
{
	return !strcasecmp(name, "mask") || !strcasecmp(name, "masks")
	       || (r->masks && same_folder(path, r->masks));
}

/* ---- what lies beside a picture ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Asking the list first spares a system call for each name that a caption or mask might have. */
static int has_name(const struct place *at, const char *name)
{
	const struct names *l = at->list;

	return !l || bsearch(&name, l->at, l->n, sizeof *l->at, compare_names) != NULL;
}

/* Most folders have no masks or captions, and then no names need be made up for each picture. */
static void look_for_sides(struct place *at, const struct scan_rules *r)
{
	const char *ours = r->caption_extension;

	at->masks = at->captions = 0;
	for (size_t i = 0; i < at->list->n; i++) {
		const char *name = at->list->at[i];

		at->masks |= strstr(name, "-masklabel.") != NULL;
		at->captions |= ours ? ends_with(name, ours) :
			ends_with(name, ".caption") || ends_with(name, ".txt");
	}
}

/* The path if it is a file, else NULL; `path` is used up. */
static char *if_file(char *path)
{
	if (is_file(path))
		return path;
	free(path);
	return NULL;
}

/* The path of a file in the picture's own folder, or NULL; `name` is used up. */
static char *beside(const struct place *at, char *name)
{
	char *path = has_name(at, name) ? if_file(path_join(at->folder, name)) : NULL;

	free(name);
	return path;
}

/* Length of the stem without its last four fields (x_1_2_3_4: a face's place, by kohya's cutter),
 * or 0. */
static size_t face_stem(const char *name, size_t stem)
{
	int bars = 0;

	while (stem && bars < 4)
		bars += name[--stem] == '_';
	return bars == 4 ? stem : 0;
}

static char *find_sidecar(const struct place *at, const char *name, const char *extension)
{
	size_t stem = stem_length(name), face = face_stem(name, stem);
	char *path;

	if (at->list && !at->captions)
		return NULL;
	path = beside(at, xasprintf("%.*s%s", (int)stem, name, extension));

	if (!path && face)
		path = beside(at, xasprintf("%.*s%s", (int)face, name, extension));
	return path ? path : beside(at, xasprintf("%s%s", name, extension));
}

static const char *const mask_extension[] = { "png", "PNG", "webp", "jpg", "jpeg", "JPG" };
#define MASK_EXTENSIONS (sizeof mask_extension / sizeof *mask_extension)

static char *mask_in(const char *folder, const char *below, const char *name)
{
	char *path = NULL;

	for (size_t i = 0; !path && i < MASK_EXTENSIONS; i++)
		path = if_file(xasprintf("%s/%s%.*s.%s", folder, below, (int)stem_length(name),
					 name, mask_extension[i]));
	return path;
}

static char *find_mask(const struct place *at, const char *name, const char *masks)
{
	char *path = NULL;

	if (masks) {
		path = mask_in(masks, at->below, name);
		return path || !*at->below ? path : mask_in(masks, "", name);
	}
	for (size_t i = 0; !path && i < MASK_EXTENSIONS && (at->masks || !at->list); i++)
		path = beside(at, xasprintf("%.*s-masklabel.%s", (int)stem_length(name), name,
					    mask_extension[i]));
	if (!path && has_name(at, "mask"))
		path = mask_in(at->folder, "mask/", name);
	if (!path && has_name(at, "masks"))
		path = mask_in(at->folder, "masks/", name);
	return path;
}

static void photo_add(struct photos *out, const struct place *at, const char *name,
		      const struct scan_rules *r)
{
	struct photo p = { .repeats = at->repeats, .class = at->class, .source = at->source };
	char *item = xasprintf("%s%s", at->prefix, name);

	p.item = clean(item);
	p.path = path_join(at->folder, name);
	p.concept = clean(at->concept);
	p.caption = clean(at->caption);
	p.mask = find_mask(at, name, r->masks);
	p.sidecar =
		find_sidecar(at, name, r->caption_extension ? r->caption_extension : ".caption");
	if (!p.sidecar && !r->caption_extension)
		p.sidecar = find_sidecar(at, name, ".txt");
	if (p.sidecar)
		p.source = CAPTION_SIDECAR;
	free(item);
	out->at = grow(out->at, out->n, &out->cap, sizeof *out->at);
	out->at[out->n++] = p;
}

/* ---- folders ---- */

static int has_repeats(const char *folder, const struct names *list)
{
	const char *words;
	int yes = 0;

	for (size_t i = 0; i < list->n && !yes; i++)
		if (*list->at[i] != '.' && folder_repeats(list->at[i], &words) > 0) {
			char *path = path_join(folder, list->at[i]);
			yes = is_folder(path);
			free(path);
		}
	return yes;
}

static int scan_child(struct photos *out, const struct place *at, const char *path,
		      const char *name, int kohya, const struct scan_rules *r, struct err *e)
{
	struct place in = *at;
	const char *words = "";
	int64_t repeats = kohya ? folder_repeats(name, &words) : 0;
	char *prefix, *below;
	int ret;

	if (kohya && repeats < 1) {
		warn("folder '%s' is left out: its name does not begin with repeats of 1 or more, as '10_dog' does",
		     path);
		return 0;
	}
	if (kohya) {
		in.repeats = repeats;
		in.concept = in.caption = words;
		in.source = *words ? CAPTION_FOLDER : CAPTION_NONE;
		in.settled = 1;
	}
	prefix = xasprintf("%s%s/", at->prefix, name);
	below = xasprintf("%s%s/", at->below, name);
	in.folder = path;
	in.prefix = prefix;
	in.below = below;
	in.depth++;
	ret = scan_folder(out, &in, r, e);
	free(prefix);
	free(below);
	return ret;
}

int scan_folder(struct photos *out, const struct place *of, const struct scan_rules *r,
		struct err *e)
{
	struct names list = { 0 };
	struct place here = *of, *at = &here;
	int ret = -1, kohya;

	if (at->depth > DEPTH) {
		fail(e, "'%s' is more than %d folders deep; does a link lead back?", at->folder,
		     DEPTH);
		goto out;
	}
	if (folder_list(&list, at->folder, e) < 0)
		goto out;
	here.list = &list;
	look_for_sides(&here, r);
	kohya = !at->settled && has_repeats(at->folder, &list);
	ret = 0;
	for (size_t i = 0; i < list.n && ret == 0; i++) {
		const char *name = list.at[i];
		char *path = path_join(at->folder, name);

		if (*name == '.')
			;
		else if (is_folder(path))
			ret = is_mask_folder(path, name, r) ? 0
				: scan_child(out, at, path, name, kohya, r, e);
		else if (!picture_extension(name) || is_side_picture(name))
			;
		else if (kohya)
			out->left_out++;
		else
			photo_add(out, at, name, r);
		free(path);
	}
out:
	names_release(&list);
	return ret;
}

/* ---- all ---- */

char *last_part(const char *path)
{
	char *s = xstrdup(path), *part;
	size_t n = strlen(s);

	while (n > 1 && s[n - 1] == '/')
		s[--n] = 0;
	part = xstrdup(path_base(s));
	free(s);
	return part;
}

static int item_begins(const struct photos *list, const char *prefix)
{
	for (size_t i = 0; i < list->n; i++)
		if (starts_with(list->at[i].item, prefix))
			return 1;
	return 0;
}

char *new_prefix(const struct photos *list, const char *path)
{
	char *part = last_part(path), *whole = xasprintf("%s/", part), *prefix = clean(whole);

	for (int i = 2; item_begins(list, prefix); i++) {
		free(prefix);
		free(whole);
		whole = xasprintf("%s.%d/", part, i);
		prefix = clean(whole);
	}
	free(part);
	free(whole);
	return prefix;
}

static int by_item(const void *a, const void *b)
{
	return strcmp(((const struct photo *)a)->item, ((const struct photo *)b)->item);
}

static int scan_path(struct photos *out, const char *path, int alone, const struct scan_rules *r,
		     struct err *e)
{
	char *prefix = alone || !is_folder(path) ? xstrdup("") : new_prefix(out, path),
	     *part = last_part(path);
	struct place at = {
		.folder = path, .prefix = prefix, .below = "", .concept = "", .caption = "",
		.repeats = 1,
	};
	const char *words;
	int64_t repeats = folder_repeats(part, &words);
	char *folder = NULL;
	int ret = 0;

	if (is_folder(path)) {
		if (repeats > 0 && strchr(part, '_')) { /* one of kohya's folders by itself */
			at.repeats = repeats;
			at.concept = at.caption = words;
			at.source = *words ? CAPTION_FOLDER : CAPTION_NONE;
			at.settled = 1;
		}
		ret = scan_folder(out, &at, r, e);
	} else if (!is_file(path)) {
		ret = fail(e, "'%s' is neither a folder nor a file", path);
	} else if (ends_with(path, ".json")) {
		ret = scan_concepts(out, path, r, e);
	} else {
		const char *base = path_base(path);

		folder = base == path ? xstrdup(".") : xstrndup(path, base - path);
		at.folder = folder;
		at.prefix = "";
		photo_add(out, &at, base, r);
	}
	free(folder);
	free(prefix);
	free(part);
	return ret;
}

/* Where all pictures are of one concept the column says nothing. */
static void drop_single_concept(struct photos *list)
{
	for (size_t i = 1; i < list->n; i++)
		if (strcmp(list->at[i].concept, list->at[0].concept))
			return;
	for (size_t i = 0; i < list->n; i++)
		*list->at[i].concept = 0;
}

int photos_scan(struct photos *out, char *const *path, int n, const struct scan_rules *r,
		struct err *e)
{
	*out = (struct photos){ 0 };
	for (int i = 0; i < n; i++)
		if (scan_path(out, path[i], n == 1, r, e) < 0)
			return -1;
	if (!out->n)
		return fail(e, "'%s' holds no picture (JPEG, PNG or WebP)", n ? path[0] : "");
	qsort(out->at, out->n, sizeof *out->at, by_item);
	for (size_t i = 1; i < out->n; i++)
		if (!strcmp(out->at[i - 1].item, out->at[i].item))
			return fail(e, "'%s' and '%s' would have the same name, '%s'",
				    out->at[i - 1].path, out->at[i].path, out->at[i].item);
	drop_single_concept(out);
	return 0;
}

void photos_release(struct photos *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct photo *p = &list->at[i];

		free(p->item);
		free(p->path);
		free(p->sidecar);
		free(p->mask);
		free(p->concept);
		free(p->caption);
	}
	free(list->at);
	*list = (struct photos){ 0 };
}
