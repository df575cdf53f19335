/*
 * booth-bucket: which shape each picture is trained in, and what is cut off. Nothing is resized
 * here: encode-latents applies the columns it adds.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "common/data/bucket.h"
#include "common/flow/stage.h"

#define VARIANTS 1000   /* of a picture, at most */

struct params {
	const char *resolution, *crop;
	int64_t seed;
	struct bucket_rules rules;
	int square, flip;
	char canonical[32];     /* the resolution, so that 512 and 512x512 are the same action */
	int variants;           /* 0: the centred cut, else that many random ones */
	struct bucket_list list;
	size_t placed, known;
};

struct place {                  /* what an item's action remembers */
	struct bucket_fit fit;
	int x[VARIANTS], y[VARIANTS], n;
};

/* ---- one picture ---- */

/* Corners depend on the picture's content and the seed, not on what else is in the table. */
static void corners(struct place *at, const struct params *p, const struct ref *image)
{
	const unsigned char *id = image->id.at;
	uint32_t item = (uint32_t)id[0] << 24 | id[1] << 16 | id[2] << 8 | id[3];

	at->n = p->variants ? p->variants : 1;
	if (!p->variants)
		bucket_centre(&at->fit, p->square, &at->x[0], &at->y[0]);
	for (int i = 0; i < p->variants; i++) {
		struct rng r = rng_stream(p->seed, "crop", i, item);

		at->x[i] = (int)rng_below(&r, 0, at->fit.resized_w - at->fit.w + 1);
		at->y[i] = (int)rng_below(&r, 1, at->fit.resized_h - at->fit.h + 1);
	}
}

static void place_write(struct buf *b, const struct place *at)
{
	const struct bucket_fit *f = &at->fit;

	buf_addf(b, "bucket %d %d\nresized %d %d\n", f->w, f->h, f->resized_w, f->resized_h);
	for (int i = 0; i < at->n; i++)
		buf_addf(b, "crop %d %d\n", at->x[i], at->y[i]);
}

static int place_read(struct place *at, const struct blob *b, struct err *e)
{
	char *text = xstrndup((const char *)b->at, b->len), *rest = text;
	struct bucket_fit *f = &at->fit;
	int seen = 0;

	at->n = 0;
	for (char *line; (line = strsep(&rest, "\n")); ) {
		seen += sscanf(line, "bucket %d %d", &f->w, &f->h) == 2;
		seen += sscanf(line, "resized %d %d", &f->resized_w, &f->resized_h) == 2;
		if (at->n < VARIANTS
		    && sscanf(line, "crop %d %d", &at->x[at->n], &at->y[at->n]) == 2)
			at->n++;
	}
	free(text);
	return seen == 2 && at->n ? 0 : fail(e, "a stored placement is damaged");
}

static int choose(struct place *at, const struct params *p, int w, int h, struct err *e)
{
	if (p->square)
		return bucket_square(&at->fit, (int)p->rules.w, w, h, e);
	return bucket_choose(&at->fit, &p->rules, &p->list, w, h, e);
}

static int place_new(struct job *j, struct place *at, const struct action *a,
		     const struct ref *image, int w, int h, struct err *e)
{
	const struct params *p = j->params;
	struct result r = { 0 };
	struct buf text = { 0 };
	double start = clock_now();
	int ret = -1;

	if (choose(at, p, w, h, e) < 0)
		return -1;
	corners(at, p, image);
	place_write(&text, at);
	r.seconds = clock_now() - start;
	if (store_put(j->stores, "bucket", KIND_TEXT, text.at, text.len, &r.out, e) == 0)
		ret = store_record_later(j->stores, a, &r, e);
	buf_release(&text);
	result_release(&r);
	return ret;
}

/* 1: the picture's own fault (reported by the caller), 0, -1: the store's. */
static int place_picture(struct job *j, struct place *at, const struct ref *image, int w, int h,
			 struct err *e)
{
	static const char *const keyed[] = { "resolution", "min",  "max",  "step", "upscale",
					     "square",	   "crop", "seed", NULL };
	struct params *p = j->params;
	struct action a = { 0 };
	struct result r = { 0 };
	struct blob b = { 0 };
	int found = -1, ret = -1;

	if (job_item_action(j, &a, keyed, e) < 0)
		goto out;
	action_input(&a, "image", &image->id);
	action_paramf(&a, "size", "%dx%d", w, h);
	found = j->force ? 0 : store_find(j->stores, &a, &r, e);
	if (found > 0 && store_need(j->stores, &r.out, KIND_TEXT, &b, e) == 0)
		ret = place_read(at, &b, e);
	else if (found == 0)
		ret = choose(at, p, w, h, e) < 0 ? 1 : place_new(j, at, &a, image, w, h, e);
	p->known += found > 0;
	p->placed += found == 0 && ret == 0;
out:
	action_release(&a);
	result_release(&r);
	blob_release(&b);
	return ret;
}

/* ---- rows ---- */

static void put_row(struct table *out, const struct table *in, size_t i, const struct place *at,
		    int variant, int flip)
{
	size_t row = table_append(out, in, i);
	const char *item = table_get(in, i, table_column(in, "item"));
	const struct bucket_fit *f = &at->fit;
	char crop[32] = "";

	if (variant)
		snprintf(crop, sizeof crop, "#crop%d", variant + 1);
	table_setf(out, row, table_column(out, "item"), "%s%s%s", item, crop, flip ? "#flip" : "");
	table_setf(out, row, table_column(out, "bucket"), "%dx%d", f->w, f->h);
	table_setf(out, row, table_column(out, "resized"), "%dx%d", f->resized_w, f->resized_h);
	table_setf(out, row, table_column(out, "crop"), "%d,%d", at->x[variant], at->y[variant]);
	table_setf(out, row, table_column(out, "cut"), "%.4f", bucket_cut(f));
	table_set(out, row, table_column(out, "flip"), flip ? "1" : "0");
}

static int picture_of(struct stores *s, const struct table *in, size_t i, struct ref *image, int *w,
		      int *h, struct err *e)
{
	const char *text = table_get(in, i, table_column(in, "image"));
	int64_t width, height;

	if (!*text)
		return fail(e, "the row has no image");
	if (ref_parse(s, text, image, e) < 0
	    || table_int(in, i, table_column(in, "width"), &width, e) < 0
	    || table_int(in, i, table_column(in, "height"), &height, e) < 0)
		return -1;
	if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
		return fail(e, "%lld x %lld pixels", (long long)width, (long long)height);
	*w = (int)width;
	*h = (int)height;
	return 0;
}

static int bucket_row(struct job *j, size_t i, struct place *at, struct table *out, struct err *e)
{
	const struct params *p = j->params;
	const char *item = table_get(&j->in, i, table_column(&j->in, "item"));
	struct ref image;
	struct err why;
	int w = 0, h = 0, bad;

	bad = picture_of(j->stores, &j->in, i, &image, &w, &h, &why) < 0
		      ? 1
		      : place_picture(j, at, &image, w, h, &why);
	if (bad < 0) {
		*e = why;
		return err_prefix(e, "'%s'", item);
	}
	if (bad) {
		job_item_failed(j, item, &why);
		return 0;
	}
	for (int v = 0; v < at->n; v++)
		for (int flip = 0; flip <= p->flip; flip++)
			put_row(out, &j->in, i, at, v, flip);
	return 0;
}

/* ---- summary ---- */

struct count {
	const char *bucket;
	size_t n;
	double cut;
};

static int by_bucket(const void *a, const void *b)
{
	const struct count *p = a, *q = b;
	int w1 = atoi(p->bucket), w2 = atoi(q->bucket);

	return w1 != w2 ? (w1 > w2) - (w1 < w2) : strcmp(p->bucket, q->bucket);
}

static void summary(const struct table *t)
{
	struct count *list = xcalloc(t->rows + 1, sizeof *list);
	int bucket = table_column(t, "bucket"), cut = table_column(t, "cut");
	size_t kept = 0;

	for (size_t i = 0; i < t->rows; i++)
		list[i] = (struct count){ table_get(t, i, bucket), 1, atof(table_get(t, i, cut)) };
	qsort(list, t->rows, sizeof *list, by_bucket);
	for (size_t i = 0; i < t->rows; i++) {
		if (kept && !by_bucket(&list[kept - 1], &list[i])) {
			list[kept - 1].n++;
			list[kept - 1].cut += list[i].cut;
		} else {
			list[kept++] = list[i];
		}
	}
	for (size_t i = 0; i < kept; i++)
		talk("%-9s %6zu row%s, %4.1f %% cut off", list[i].bucket, list[i].n,
		     list[i].n == 1 ? " " : "s", 100 * list[i].cut / list[i].n);
	free(list);
}

static int add_columns(struct table *out, const struct table *in, struct err *e)
{
	static const char *const needed[] = { "item", "image", "width", "height" };
	static const char *const added[] = { "bucket", "resized", "crop", "cut", "flip" };

	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		if (table_need(in, needed[i], "bucket", e) < 0)
			return -1;
	for (int k = 0; k < in->columns; k++)
		table_add_column(out, in->name[k]);
	for (size_t i = 0; i < sizeof added / sizeof *added; i++)
		table_add_column(out, added[i]);
	return 0;
}

static int bucket_run(struct job *j, struct table *out, struct err *e)
{
	struct params *p = j->params;
	struct place *at = xcalloc(1, sizeof *at);
	int verdict = table_column(&j->in, "verdict"), ret = -1;
	size_t rejected = 0;
	struct progress show;

	if (add_columns(out, &j->in, e) < 0)
		goto out;
	progress_begin(&show, "bucket", "pictures", j->in.rows);
	ret = 0;
	for (size_t i = 0; i < j->in.rows && ret == 0; i++) {
		if (stop_wanted())
			ret = fail(e,
				"interrupted after %zu of %zu pictures; the same command goes on from there",
				i, j->in.rows);
		else if (!strcmp(table_get(&j->in, i, verdict), "rejected"))
			rejected++;
		else
			ret = bucket_row(j, i, at, out, e);
		progress_at(&show, i + 1, NULL);
	}
	progress_end(&show);
	if (ret < 0)
		goto out;
	if (!out->rows && !j->failed)
		ret = fail(e, "no picture to place: the table has %zu rows, %zu of them rejected",
			   j->in.rows, rejected);
	if (rejected)
		talk("%zu picture%s rejected by prep left out", rejected, rejected == 1 ? "" : "s");
	summary(out);
	talk("%zu picture%s placed, %zu known from before", p->placed, p->placed == 1 ? "" : "s",
	     p->known);
out:
	free(at);
	return ret;
}

/* ---- options ---- */

static int check_crop(struct params *p, struct err *e)
{
	int64_t n;

	if (!strcmp(p->crop, "center"))
		return 0;
	if (!starts_with(p->crop, "random:") || text_int(p->crop + 7, &n) < 0 || n < 1
	    || n > VARIANTS)
		return fail(e, "--crop '%s': 'center' or 'random:N' with N from 1 to %d is wanted",
			    p->crop, VARIANTS);
	p->variants = (int)n;
	return 0;
}

/*
 * 256 as kohya's trainers have it; half the resolution for
 * models of small pictures, but one step at least.
 */
static int64_t default_min(const struct bucket_rules *r)
{
	int64_t half = (r->w < r->h ? r->w : r->h) / 2;

	return half >= 256 ? 256 : half > r->step ? half : r->step;
}

static int bucket_check(struct job *j, struct err *e)
{
	struct params *p = j->params;
	struct bucket_rules *r = &p->rules;

	if (bucket_parse(p->resolution, &r->w, &r->h) < 0)
		return fail(e, "--resolution '%s': a side (512) or WIDTHxHEIGHT is wanted",
			    p->resolution);
	snprintf(p->canonical, sizeof p->canonical, "%lldx%lld", (long long)r->w, (long long)r->h);
	p->resolution = p->canonical;
	if (check_crop(p, e) < 0)
		return -1;
	if (!r->min)
		r->min = default_min(r);
	if (!p->variants)
		p->seed = 0;            /* draws nothing, so it must not tell actions apart */
	if (p->square && r->w != r->h)
		return fail(e, "--square with --resolution %s: one side is wanted", p->resolution);
	if (p->square && !r->upscale)
		return fail(e, "--square and --no-upscale exclude each other");
	return p->square ? 0 : bucket_list_make(&p->list, r, e);
}

int main(int argc, char **argv)
{
	struct params p = { .resolution = "512",
			    .crop = "center",
			    .rules = { .max = 1024, .step = 64, .upscale = 1 } };
	const struct opt opts[] = {
		{ "resolution", OPT_TEXT, &p.resolution, "pixels",
		  .help = "side of a square, or WIDTHxHEIGHT, of the area aimed at" },
		{ "min", OPT_INT, &p.rules.min, "pixels",
		  "smallest side of a bucket, rounded down to steps; 0: 256, or half the resolution if that is less",
		  .min = 0, .max = 16384 },
		{ "max", OPT_INT, &p.rules.max, "pixels",
		  "largest side of a bucket, rounded up to steps", .min = 1, .max = 16384 },
		{ "step", OPT_INT, &p.rules.step, "pixels", "sides are multiples of this", .min = 1,
		  .max = 4096 },
		{ "upscale", OPT_FLAG, &p.rules.upscale, "",
		  .help = "enlarge small pictures; --no-upscale never does, and takes buckets from the pictures (min and max don't count)" },
		{ "square", OPT_FLAG, &p.square, "",
		  .help = "one square for all pictures, instead of buckets" },
		{ "crop", OPT_TEXT, &p.crop, "",
		  .help = "center, or random:N for N different cuts of each picture" },
		{ "seed", OPT_INT, &p.seed, "", .help = "of the random cuts" },
		{ "flip", OPT_FLAG, &p.flip, "", .help = "each picture a second time, mirrored" },
		{ 0 }
	};
	const struct stage stage = {
		.name = "bucket",
		.version = 1,
		.input = INPUT_TABLE,
		.about = "sort pictures into shapes of about equal area",
		.run = bucket_run,
		.check = bucket_check,
	};
	int code = stage_main(argc, argv, &stage, opts, &p);

	bucket_list_release(&p.list);
	return code;
}
