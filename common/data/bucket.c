#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/bucket.h"

static int by_shape(const void *a, const void *b)
{
	const struct bucket_shape *p = a, *q = b;

	return p->w != q->w ? (p->w > q->w) - (p->w < q->w) : (p->h > q->h) - (p->h < q->h);
}

static int check_rules(const struct bucket_rules *r, int64_t min, int64_t max, struct err *e)
{
	int64_t small = r->w < r->h ? r->w : r->h, large = r->w < r->h ? r->h : r->w;

	if (r->w < 1 || r->h < 1 || large > BUCKET_SIDE_MAX || r->step < 1
	    || r->max > BUCKET_SIDE_MAX)
		return fail(e,
			"resolution %lldx%lld with step %lld and largest side %lld: all have to be 1 to %d",
			(long long)r->w, (long long)r->h, (long long)r->step, (long long)r->max,
			BUCKET_SIDE_MAX);
	if (min < 1)
		return fail(e, "smallest side %lld is below the step %lld", (long long)r->min,
			    (long long)r->step);
	if (min > small)
		return fail(e, "smallest side %lld is above the resolution %lldx%lld",
			    (long long)min, (long long)r->w, (long long)r->h);
	if (max < large)
		return fail(e, "largest side %lld is below the resolution %lldx%lld",
			    (long long)max, (long long)r->w, (long long)r->h);
	if ((int64_t)sqrt((double)(r->w * r->h)) < r->step)
		return fail(e, "resolution %lldx%lld is below the step %lld", (long long)r->w,
			    (long long)r->h, (long long)r->step);
	return 0;
}

static void remove_doubles(struct bucket_list *list)
{
	size_t kept = 0;

	qsort(list->at, list->n, sizeof *list->at, by_shape);
	for (size_t i = 0; i < list->n; i++)
		if (!kept || by_shape(&list->at[kept - 1], &list->at[i]))
			list->at[kept++] = list->at[i];
	list->n = kept;
}

int bucket_list_make(struct bucket_list *out, const struct bucket_rules *r, struct err *e)
{
	int64_t step = r->step > 0 ? r->step : 1, min = r->min - r->min % step, area = r->w * r->h;
	int64_t max = r->max % step ? r->max + step - r->max % step : r->max, square;

	*out = (struct bucket_list){ .min = min, .max = max };
	if (check_rules(r, r->upscale ? min : 1, r->upscale ? max : BUCKET_SIDE_MAX, e) < 0)
		return -1;
	if (!r->upscale)
		return 0;
	/* The square is there even if the limits would leave it out. */
	square = (int64_t)floor(sqrt((double)area) / step) * step;
	out->at = xcalloc(2 * (size_t)((max - min) / step + 1) + 1, sizeof *out->at);
	out->at[out->n++] = (struct bucket_shape){ square, square };
	for (int64_t w = min; w <= max; w += step) {
		int64_t h = area / w / step * step;

		if (h > max)
			h = max;
		if (h < min)
			continue;
		out->at[out->n++] = (struct bucket_shape){ w, h };
		out->at[out->n++] = (struct bucket_shape){ h, w };
	}
	remove_doubles(out);
	return 0;
}

void bucket_list_release(struct bucket_list *list)
{
	free(list->at);
	*list = (struct bucket_list){ 0 };
}

/* The picture's own shape if listed, else the nearest ratio (of ratios, not of logarithms); the
 * first one wins. */
static struct bucket_shape nearest(const struct bucket_list *list, int w, int h)
{
	double ratio = (double)w / h, best = INFINITY;
	struct bucket_shape found = list->at[0];

	for (size_t i = 0; i < list->n; i++) {
		double miss = fabs((double)list->at[i].w / list->at[i].h - ratio);

		if (list->at[i].w == w && list->at[i].h == h)
			return list->at[i];
		if (miss < best) {
			best = miss;
			found = list->at[i];
		}
	}
	return found;
}

static void choose_listed(struct bucket_fit *out, const struct bucket_list *list, int w, int h)
{
	struct bucket_shape b = nearest(list, w, h);
	double scale = (double)w / h > (double)b.w / b.h ? (double)b.h / h : (double)b.w / w;

	*out = (struct bucket_fit){ b.w, b.h, (int)(w * scale + 0.5), (int)(h * scale + 0.5) };
}

static int64_t to_steps(double x, int64_t step)
{
	int64_t t = (int64_t)(x + 0.5);

	return t - t % step;
}

/* Shrink to the area: round the width to steps, or the height, whichever keeps the ratio better. */
static int shrink(struct bucket_fit *out, const struct bucket_rules *r, double ratio)
{
	double area = (double)(r->w * r->h), rw = sqrt(area * ratio), rh = area / rw;
	int64_t w1 = to_steps(rw, r->step), h1 = to_steps(w1 / ratio, r->step);
	int64_t h2 = to_steps(rh, r->step), w2 = to_steps(h2 * ratio, r->step);

	if (!w1 || !h1 || !h2 || !w2)
		return -1;
	if (fabs((double)w1 / h1 - ratio) < fabs((double)w2 / h2 - ratio)) {
		out->resized_w = (int)w1;
		out->resized_h = (int)(w1 / ratio + 0.5);
	} else {
		out->resized_w = (int)(h2 * ratio + 0.5);
		out->resized_h = (int)h2;
	}
	return 0;
}

int bucket_choose(struct bucket_fit *out, const struct bucket_rules *r,
		  const struct bucket_list *list, int w, int h, struct err *e)
{
	int bad = 0;

	if (w < 1 || h < 1)
		return fail(e, "a picture of %d x %d pixels has no bucket", w, h);
	if (r->upscale) {
		choose_listed(out, list, w, h);
		return 0;
	}
	*out = (struct bucket_fit){ 0, 0, w, h };
	if ((int64_t)w * h > r->w * r->h)
		bad = shrink(out, r, (double)w / h);
	out->w = (int)(out->resized_w - out->resized_w % r->step);
	out->h = (int)(out->resized_h - out->resized_h % r->step);
	if (bad < 0 || !out->w || !out->h)
		return fail(e,
			    "%d x %d pixels give a side below the step of %lld without enlarging",
			    w, h, (long long)r->step);
	return 0;
}

int bucket_square(struct bucket_fit *out, int side, int w, int h, struct err *e)
{
	int64_t small = w < h ? w : h, large = w < h ? h : w, longer;

	if (small < 1 || side < 1)
		return fail(e, "a picture of %d x %d pixels cannot be cut to %d", w, h, side);
	longer = side * large / small;
	if (longer > BUCKET_SIDE_MAX)
		return fail(e, "%d x %d pixels would be %lld wide at side %d", w, h,
			    (long long)longer, side);
	*out = (struct bucket_fit){ side, side, w < h ? side : (int)longer,
				    w < h ? (int)longer : side };
	return 0;
}

void bucket_centre(const struct bucket_fit *fit, int square, int *x, int *y)
{
	int dx = fit->resized_w - fit->w, dy = fit->resized_h - fit->h;

	*x = square ? (int)nearbyint(dx / 2.0) : dx / 2;
	*y = square ? (int)nearbyint(dy / 2.0) : dy / 2;
}

double bucket_cut(const struct bucket_fit *fit)
{
	return 1 - (double)fit->w * fit->h / ((double)fit->resized_w * fit->resized_h);
}

void bucket_sdxl_crop(const struct bucket_fit *fit, int w, int h, double out[4])
{
	double ratio = (double)w / h, rw = fit->w, rh = fit->h;

	if ((double)fit->w / fit->h > ratio)
		rw = fit->h * ratio;
	else
		rh = fit->w / ratio;
	out[0] = floor((fit->w - rw) / 2);
	out[1] = floor((fit->h - rh) / 2);
	out[2] = out[0] + rw;
	out[3] = out[1] + rh;
}

static int side_of(const char *text, size_t len, int64_t *out)
{
	char *s = xstrndup(text, len);
	int ret = text_int(s, out);

	free(s);
	return ret < 0 || *out < 1 || *out > BUCKET_SIDE_MAX ? -1 : 0;
}

int bucket_parse(const char *text, int64_t *w, int64_t *h)
{
	const char *x = strpbrk(text, "xX,");

	if (side_of(text, x ? (size_t)(x - text) : strlen(text), w) < 0)
		return -1;
	*h = *w;
	return x ? side_of(x + 1, strlen(x + 1), h) : 0;
}
