/*
 * Aspect-ratio buckets: which of a few shapes of about equal area a picture is trained in, to what
 * size it is resized before, and what is then cut off. The rules are kohya's (sd-scripts'
 * BucketManager), so that a folder gives the same shapes in both programs; the square is diffusers'
 * training scripts'.
 *
 * All sizes are pixels. Nothing here looks at pixels: image_fit (image.h) applies what was decided.
 */
#ifndef DATA_BUCKET_H
#define DATA_BUCKET_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

#define BUCKET_SIDE_MAX 65536

struct bucket_rules {
	int64_t w, h;           /* of the resolution: its product is the area aimed at */
	int64_t min, max, step; /* limits of a side, and what sides are multiples of */
	/* 0: never enlarge; buckets come from the pictures, min and max don't count. */
	int upscale;
};

struct bucket_shape {
	int w, h;
};

struct bucket_list {            /* sorted by width, then height; empty without upscale */
	struct bucket_shape *at;
	size_t n;
	int64_t min, max;       /* moved to multiples of the step: min down, max up */
};

/* -1: wrong limits, in words with the numbers. Release with bucket_list_release. */
int bucket_list_make(struct bucket_list *out, const struct bucket_rules *r, struct err *e);
void bucket_list_release(struct bucket_list *list);

struct bucket_fit {
	int w, h;                       /* the bucket */
	int resized_w, resized_h;       /* before the crop, never smaller than the bucket */
};

/* Where a picture of w x h goes. -1: a side is below one step and must not be enlarged. */
int bucket_choose(struct bucket_fit *out, const struct bucket_rules *r,
		  const struct bucket_list *list, int w, int h, struct err *e);

/* The shorter side becomes `side`, the longer one is cut to it. */
int bucket_square(struct bucket_fit *out, int side, int w, int h, struct err *e);

/* The centred cut: kohya rounds its corner down, diffusers (the square) half to even. */
void bucket_centre(const struct bucket_fit *fit, int square, int *x, int *y);

/* Part of the resized picture's area that the crop leaves out, 0..1. */
double bucket_cut(const struct bucket_fit *fit);

/*
 * The crop that kohya tells SDXL about: left, top, right, bottom of the whole picture fitted *into*
 * the bucket (not the crop that is made).
 */
void bucket_sdxl_crop(const struct bucket_fit *fit, int w, int h, double out[4]);

/* "512" or "768x512". -1: neither, or a side outside 1..65536. */
int bucket_parse(const char *text, int64_t *w, int64_t *h);

#endif
