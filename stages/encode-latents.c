/*
 * encode-latents: each item's picture, resized and cropped as its bucket says, through the
 * autoencoder's encoder: moments (mean, logvar; column moments). Each item is an action of its own,
 * so one replaced picture of 10,000 is one encoding.
 */
#include <math.h>
#include <string.h>

#include "common/flow/stage.h"
#include "kernels/run/device.h"
#include "kernels/run/precision.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/picture.h"

struct encode_latents {
	const char *model, *vae, *dtype, *device, *precision;
	struct opt_list weights;
	int64_t tile;
};

struct columns {
	int item, image, bucket, resized, crop, flip, moments;
};

struct work {                   /* what all items share */
	struct job *j;
	struct pipeline p;
	struct columns c;
	struct table *out;
	int64_t computed;
	double sum, squares, count;     /* of the means that were computed */
	int broken;             /* the model cannot be opened or has
				 * bad weights: no item can go on */
};

static int find_columns(struct columns *c, struct table *t, struct err *e)
{
	static const char who[] = "encode-latents";

	c->item = table_need(t, "item", who, e);
	if (c->item < 0 || (c->image = table_need(t, "image", who, e)) < 0 ||
	    (c->bucket = table_need(t, "bucket", who, e)) < 0 ||
	    (c->resized = table_need(t, "resized", who, e)) < 0 ||
	    (c->crop = table_need(t, "crop", who, e)) < 0)
		return -1;
	c->flip = table_column(t, "flip");
	c->moments = table_add_column(t, "moments");
	return 0;
}

static int check_finite(const struct work *w, const struct tensor *t, struct err *e)
{
	const float *v = t->at;

	for (int64_t i = 0; i < tensor_count(t); i++)
		if (!isfinite(v[i]))
			return fail(e, "the autoencoder's result is not finite (value %lld is %g)%s", (long long)i, (double)v[i],
				    w->p.type == DT_F16 ? ": it does not fit into fp16, use --precision bf16 or f32" : "");
	return 0;
}

/*
 * What the latents' standard deviation would have to be
 * multiplied by to be 1: a new model's scaling_factor.
 */
static void measure(struct work *w, const struct tensor *t)
{
	const float *v = t->at;

	for (int64_t i = 0; i < tensor_count(t) / 2; i++) {
		w->sum += v[i];
		w->squares += (double)v[i] * v[i];
	}
	w->count += (double)(tensor_count(t) / 2);
}

static void report(const struct work *w)
{
	double mean = w->sum / w->count, deviation = sqrt(w->squares / w->count - mean * mean);

	if (w->count > 0)
		talk("latents have standard deviation %.5f (1 / %.5f; the model's scaling_factor is %.5f)", deviation, 1 / deviation,
		     (double)w->p.vae.scaling);
}

static int compute(struct work *w, size_t row, const struct ref *image, struct action *a,
		   struct result *r, struct err *e)
{
	const struct encode_latents *p = w->j->params;
	double start = clock_now();
	struct image im = { 0 };
	struct tensor t = { 0 };
	int ret = -1;

	if (picture_of_row(w->j->stores, w->out, row, image, &im, e) < 0)
		goto out;
	if (pipeline_encode(&w->p, &im, p->tile, &t, e) < 0) {
		w->broken = !w->p.net_encode.pool.memory;
		if (!w->broken && p->tile == 0 && (im.w > 512 || im.h > 512))
			err_prefix(e, "without --tile (--tile 512 takes less memory)");
		goto out;
	}
	if (check_finite(w, &t, e) < 0)
		goto out;
	measure(w, &t);
	if (tensor_convert(&t, dtype_of_name(p->dtype), e) < 0 ||
	    store_put_tensor(w->j->stores, w->j->stage->name, &t, &r->out, e) < 0)
		goto out;
	r->seconds = clock_now() - start;
	w->computed++;
	ret = store_record_item(w->j->stores, a, r, e);
out:
	image_release(&im);
	tensor_release(&t);
	return ret;
}

static int item_key(struct work *w, size_t row, const struct ref *image, struct action *a,
		    struct err *e)
{
	static const char *const params[] = { "model", "vae", "weights", "dtype", "tile", "precision", NULL };

	if (job_item_action(w->j, a, params, e) < 0)
		return -1;
	action_input(a, "image", &image->id);
	action_param(a, "bucket", table_get(w->out, row, w->c.bucket));
	action_param(a, "resized", table_get(w->out, row, w->c.resized));
	action_param(a, "crop", table_get(w->out, row, w->c.crop));
	action_param(a, "flip", strcmp(table_get(w->out, row, w->c.flip), "1") ? "0" : "1");
	return 0;
}

/* The model is opened when the first item is not known yet. */
static int open_model(struct work *w, struct err *e)
{
	const struct encode_latents *p = w->j->params;

	if (w->p.b)
		return 0;
	w->broken = pipeline_open(&w->p,
				  &(struct pipeline_options){ .model = p->model, .vae = p->vae,
			.configs_only = p->weights.n > 0, .threads = w->j->threads,
			.device = p->device, .precision = p->precision }, e) < 0 ||
		weights_add_tables(&w->p.weights, w->j->stores, &p->weights, e) < 0;
	return w->broken ? -1 : 0;
}

static int one_item(struct work *w, size_t row, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	struct ref image;
	char text[STAGE_NAME + 1 + OID_HEX];
	int found = -1, claim = CLAIM_NONE;

	if (ref_parse(w->j->stores, table_get(w->out, row, w->c.image), &image, e) < 0 ||
	    item_key(w, row, &image, &a, e) < 0)
		goto out;
	found = job_find(w->j, &a, &r, &claim, e);
	if (found == 0)
		found = open_model(w, e) < 0 ? -1 : compute(w, row, &image, &a, &r, e);
	if (found >= 0)
		table_set(w->out, row, w->c.moments, ref_text(&r.out, text));
out:
	claim_drop(claim);
	result_release(&r);
	action_release(&a);
	return found < 0 ? -1 : 0;
}

static int run(struct job *j, struct table *out, struct err *e)
{
	struct work w = { .j = j, .out = out };
	struct progress bar;
	int ret = -1;

	table_copy(out, &j->in);
	if (find_columns(&w.c, out, e) < 0)
		return -1;
	progress_begin(&bar, j->stage->name, "pictures", (int64_t)out->rows);
	for (size_t i = 0; i < out->rows; i++) {
		struct err why;

		if (stop_wanted()) {
			fail(e, "stopped after %zu of %zu pictures; the same command goes on from there", i, out->rows);
			goto out;
		}
		if (one_item(&w, i, &why) < 0 && w.broken) {
			*e = why;
			goto out;
		} else if (!*table_get(out, i, w.c.moments))
			job_item_failed(j, table_get(out, i, w.c.item), &why);
		progress_at(&bar, (int64_t)i + 1, NULL);
	}
	progress_end(&bar);
	talk("%lld pictures encoded, %lld known", (long long)w.computed, (long long)(out->rows - j->failed) - (long long)w.computed);
	report(&w);
	ret = 0;
out:
	pipeline_close(&w.p);
	return ret;
}

static int check(struct job *j, struct err *e)
{
	const struct encode_latents *p = j->params;

	return device_check(p->device, e);
}

int main(int argc, char **argv)
{
	struct encode_latents p = { .dtype = "f32", .precision = "f32" };
	const struct opt opts[] = {
		{ "model", OPT_PATH, &p.model, "", "the model: a diffusers folder or a single file", .required = 1 },
		{ "vae", OPT_PATH, &p.vae, "", "another autoencoder" },
		{ "weights", OPT_REFS, &p.weights, "", "trained weights laid over the model's; may be repeated" },
		{ "dtype", OPT_CHOICE, &p.dtype, "", "of the stored moments", .choices = "f32 f16 bf16" },
		{ "tile", OPT_INT, &p.tile, "pixels", "encode larger pictures in squares of this side, blended; 0: whole", .max = 4096, .added = 1 },
		PRECISION_ROW(&p.precision),
		DEVICE_ROW(&p.device),
		{ 0 }
	};
	const struct stage stage = {
		.name = "encode-latents", .version = 1, .input = INPUT_TABLE, .run = run,
		.check = check,
		.about = "encode pictures into the autoencoder's latents (mean and logvar)",
	};

	return stage_main(argc, argv, &stage, opts, &p);
}
