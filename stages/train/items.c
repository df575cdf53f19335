#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "stages/shared/picture.h"
#include "stages/train/train.h"

#define IN_MEMORY ((int64_t)2 << 30)    /* bytes of items' values that are kept between steps */

static int read_repeats(struct item *it, const struct table *t, size_t row, struct err *e)
{
	int column = table_column(t, "repeats");

	it->repeats = 1;
	if (column < 0 || !*table_get(t, row, column))
		return 0;
	if (table_int(t, row, column, &it->repeats, e) < 0)
		return -1;
	if (it->repeats < 1 || it->repeats > 100000)
		return fail(e, "'%s' is repeated %lld times; 1 to 100000 are possible", it->name, (long long)it->repeats);
	return 0;
}

/* The size in latents: from the bucket's "WxH" in pixels. */
static int read_size(struct run *r, struct item *it, const char *bucket, struct err *e)
{
	long long w, h;
	int f = is_vae(r) ? 1 : vae_factor(&r->config.vae);

	if (sscanf(bucket, "%lldx%lld", &w, &h) != 2 || w < 1 || h < 1 || w > 65536 || h > 65536)
		return fail(e, "'%s': bucket '%s' is not WIDTHxHEIGHT", it->name, bucket);
	if (w % vae_factor(&r->config.vae) || h % vae_factor(&r->config.vae))
		return fail(e, "'%s': bucket %lldx%lld is not a multiple of the autoencoder's %d pixels", it->name, w, h,
			    vae_factor(&r->config.vae));
	it->w = w / f;
	it->h = h / f;
	return 0;
}

static int read_item(struct run *r, struct item *it, const struct table *t, size_t row,
		     int is_class, struct err *e)
{
	const char *column = is_vae(r) ? "image" : "moments";
	const char *caption = table_get(t, row, table_column(t, "caption"));

	*it = (struct item){ .name = table_get(t, row, table_column(t, "item")), .caption = caption,
			     .is_class = is_class, .row = row };
	if (read_repeats(it, t, row, e) < 0 ||
	    read_size(r, it, table_get(t, row, table_column(t, "bucket")), e) < 0)
		return -1;
	return ref_parse(r->j->stores, table_get(t, row, table_column(t, column)), &it->moments, e);
}

static int read_table(struct run *r, const struct table *t, int is_class, struct err *e)
{
	static const char *const need[] = { "item", "bucket", "caption" };
	const char *who = is_class ? "train --class" : "train";

	for (size_t i = 0; i < sizeof need / sizeof *need; i++)
		if (!(is_vae(r) && i == 2) && table_need(t, need[i], who, e) < 0)
			return -1;
	if (table_need(t, is_vae(r) ? "image" : "moments", who, e) < 0)
		return -1;
	if (!t->rows)
		return fail(e, "%s: the table has no rows", who);
	r->item = xrealloc(r->item, (r->items + t->rows) * sizeof *r->item);
	for (size_t i = 0; i < t->rows; i++)
		if (read_item(r, &r->item[r->items++], t, i, is_class, e) < 0)
			return -1;
	return 0;
}

/* The last `hold_out` of a shuffled list are left out. */
static int hold_out(struct run *r, struct err *e)
{
	size_t n = r->items, k = (size_t)r->o->hold_out;
	struct rng rng = rng_stream((uint64_t)r->o->seed, "hold out", 0, 0);
	int64_t *order;
	struct item *all = r->item;

	if (!k)
		return 0;
	if (k >= n)
		return fail(e, "--hold-out %zu leaves none of the %zu pictures to learn from", k, n);
	order = xmalloc(n * sizeof *order);
	rng_shuffle(&rng, order, (int64_t)n);
	r->held = xmalloc(k * sizeof *r->held);
	r->item = xmalloc(n * sizeof *r->item);
	r->items = 0;
	for (size_t i = 0; i < n; i++)
		if (i < n - k)
			r->item[r->items++] = all[order[i]];
		else
			r->held[r->n_held++] = all[order[i]];
	free(all);
	free(order);
	return 0;
}

void items_batches(struct run *r)
{
	struct batch_item *b = xmalloc(r->items * sizeof *b);

	for (size_t i = 0; i < r->items; i++)
		b[i] = (struct batch_item){ r->item[i].h, r->item[i].w, r->item[i].repeats,
					    r->item[i].is_class };
	r->batches = batches_new(b, (int64_t)r->items, r->o->batch, (uint64_t)r->o->seed);
	free(b);
}

int items_read(struct run *r, struct err *e)
{
	struct ref c;

	if (read_table(r, &r->j->in, 0, e) < 0 || hold_out(r, e) < 0)
		return -1;
	if (r->o->class_table) {
		if (ref_parse(r->j->stores, r->o->class_table, &c, e) < 0 ||
		    store_get_table(r->j->stores, &c, &r->class_table, e) < 0 ||
		    read_table(r, &r->class_table, 1, e) < 0)
			return -1;
	}
	items_batches(r);
	return 0;
}

static void free_items(struct item *it, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(it[i].values);
	free(it);
}

void items_release(struct run *r)
{
	free_items(r->item, r->items);
	free_items(r->held, r->n_held);
}

static int check_moments(const struct run *r, const struct item *it, const struct tensor *t,
			 struct err *e)
{
	char s[96];

	if (t->rank != 3 || t->side[0] != 2 * r->config.vae.latent || t->side[1] != it->h ||
	    t->side[2] != it->w)
		return fail(e, "'%s': moments are %s, %lldx%lldx%lld is wanted", it->name, tensor_shape_text(t, s),
			    2 * (long long)r->config.vae.latent, (long long)it->h,
			    (long long)it->w);
	return 0;
}

static float *read_moments(struct run *r, const struct item *it, struct err *e)
{
	struct tensor t = { 0 };
	float *v = NULL;

	if (store_get_tensor(r->j->stores, &it->moments, &t, e) == 0 &&
	    check_moments(r, it, &t, e) == 0 && tensor_to_f32(&t, e) == 0) {
		v = xmalloc((size_t)tensor_bytes(&t));
		memcpy(v, t.at, (size_t)tensor_bytes(&t));
	}
	tensor_release(&t);
	return v;
}

static float *read_pixels(struct run *r, const struct item *it, struct err *e)
{
	struct image im = { 0 };
	float *v = NULL;

	if (picture_of_row(r->j->stores, &r->j->in, it->row, &it->moments, &im, e) == 0) {
		size_t n = (size_t)im.w * (size_t)im.h * 3;

		v = xmalloc(n * sizeof *v);
		for (size_t i = 0; i < n; i++)
			v[i] = (float)im.at[i] / 255.0f * 2.0f - 1.0f;
	} else {
		err_prefix(e, "'%s'", it->name);
	}
	image_release(&im);
	return v;
}

/* When memory for values is full, those of all items are dropped and read again as they come. */
const float *item_values(struct run *r, struct item *it, struct err *e)
{
	int64_t bytes = it->h * it->w * (is_vae(r) ? 3 : 2 * r->config.vae.latent) *
		(int64_t)sizeof(float);

	if (it->values)
		return it->values;
	if (r->bytes_held + bytes > IN_MEMORY) {
		for (size_t i = 0; i < r->items; i++) {
			free(r->item[i].values);
			r->item[i].values = NULL;
		}
		r->bytes_held = 0;
	}
	it->values = is_vae(r) ? read_pixels(r, it, e) : read_moments(r, it, e);
	r->bytes_held += bytes;
	return it->values;
}
