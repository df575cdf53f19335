/*
 * A small painter for the example scenes: everything is drawn without smoothing on a canvas of
 * four times the size, and reduced by averages of 4 x 4, so edges come out smooth. Only
 * + - * / and sqrt are used with fixed order, so that every machine draws the same bytes.
 *
 * A layer (what a thing is drawn on) has a mask; its painters take the thing's own coordinates,
 * x from -.55 to .55 and y from 0 (where it stands) up to 1.
 */
#ifndef EXAMPLES_CANVAS_H
#define EXAMPLES_CANVAS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct rgb {
	float r, g, b;                  /* 0..255 */
};

struct canvas {
	int n;                          /* side in samples */
	struct rgb *at;
	uint8_t *set;                   /* which samples were drawn */
	float x, y, scale, dir;         /* where own (0, 0) lies, length of 1, 1 or -1 = mirrored */
};

enum shade {
	FLAT,
	ROUND,                          /* as a ball lit from the upper left */
	SOFT,                           /* lighter at the top, darker at the bottom */
};

static inline struct rgb mix(struct rgb a, struct rgb b, float t)
{
	return (struct rgb){ a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t };
}

/* f below 1 darkens, above 1 goes towards white. */
static inline struct rgb lit(struct rgb c, float f)
{
	if (f <= 1)
		return (struct rgb){ c.r * f, c.g * f, c.b * f };
	return mix(c, (struct rgb){ 255, 255, 255 }, f - 1 < 1 ? f - 1 : 1);
}

/* Own coordinates are the picture's: x to the right, y up from the lower edge, both 0..1. */
static inline void canvas_begin(struct canvas *c, int n)
{
	*c = (struct canvas){ .n = n, .scale = (float)n, .y = (float)n, .dir = 1 };
	c->at = xcalloc((size_t)n * (size_t)n, sizeof *c->at);
	c->set = xcalloc((size_t)n * (size_t)n, 1);
}

static inline void canvas_end(struct canvas *c)
{
	free(c->at);
	free(c->set);
	*c = (struct canvas){ 0 };
}

static inline float to_x(const struct canvas *c, float x)
{
	return c->x + c->dir * x * c->scale;
}

static inline float to_y(const struct canvas *c, float y)
{
	return c->y - y * c->scale;
}

/* Light on a shape with the given box: u, v in -1..1 from left to right, top to bottom. */
static inline float light(enum shade s, float u, float v)
{
	float du = u + .35f, dv = v + .45f;

	if (s == SOFT)
		return 1.08f - .14f * (v + 1);
	if (s == ROUND)
		return 1.32f - .42f * sqrtf(du * du + dv * dv);
	return 1;
}

static inline void dot(struct canvas *c, int x, int y, struct rgb colour)
{
	c->at[(size_t)y * (size_t)c->n + (size_t)x] = colour;
	c->set[(size_t)y * (size_t)c->n + (size_t)x] = 1;
}

static inline int clamp(float v, int n)
{
	return v < 0 ? 0 : v > (float)n ? n : (int)v;
}

static inline void ellipse(struct canvas *c, float x, float y, float rx, float ry,
			   struct rgb colour, enum shade s)
{
	float cx = to_x(c, x), cy = to_y(c, y), ax = rx * c->scale, ay = ry * c->scale;

	for (int j = clamp(cy - ay, c->n); j < clamp(cy + ay + 1, c->n); j++)
		for (int i = clamp(cx - ax, c->n); i < clamp(cx + ax + 1, c->n); i++) {
			float u = ((float)i + .5f - cx) / ax, v = ((float)j + .5f - cy) / ay;
			if (u * u + v * v <= 1)
				dot(c, i, j, lit(colour, light(s, u, v)));
		}
}

#define POLYGON_MAX 16

/* Even-odd; p is x0, y0, x1, y1, ... */
static inline void polygon(struct canvas *c, const float *p, int n, struct rgb colour, enum shade s)
{
	float x[POLYGON_MAX], y[POLYGON_MAX], x0 = 1e9f, x1 = -1e9f, y0 = 1e9f, y1 = -1e9f;

	for (int k = 0; k < n; k++) {
		x[k] = to_x(c, p[2 * k]);
		y[k] = to_y(c, p[2 * k + 1]);
		x0 = fminf(x0, x[k]), x1 = fmaxf(x1, x[k]);
		y0 = fminf(y0, y[k]), y1 = fmaxf(y1, y[k]);
	}
	for (int j = clamp(y0, c->n); j < clamp(y1 + 1, c->n); j++)
		for (int i = clamp(x0, c->n); i < clamp(x1 + 1, c->n); i++) {
			float px = (float)i + .5f, py = (float)j + .5f;
			int in = 0;

			for (int k = 0, l = n - 1; k < n; l = k++)
				if ((y[k] > py) != (y[l] > py) &&
				    px < (x[l] - x[k]) * (py - y[k]) / (y[l] - y[k]) + x[k])
					in = !in;
			if (in)
				dot(c, i, j, lit(colour, light(s, 2 * (px - x0) / (x1 - x0) - 1,
							       2 * (py - y0) / (y1 - y0) - 1)));
		}
}

static inline void box(struct canvas *c, float x0, float y0, float x1, float y1, struct rgb colour,
		       enum shade s)
{
	const float p[] = { x0, y0, x1, y0, x1, y1, x0, y1 };

	polygon(c, p, 4, colour, s);
}

/* A thick stroke with round ends; `width` is the whole width. */
static inline void stroke(struct canvas *c, float xa, float ya, float xb, float yb, float width,
			  struct rgb colour)
{
	float x0 = to_x(c, xa), y0 = to_y(c, ya), x1 = to_x(c, xb), y1 = to_y(c, yb);
	float r = width * c->scale / 2;
	float dx = x1 - x0, dy = y1 - y0, len = dx * dx + dy * dy;

	for (int j = clamp(fminf(y0, y1) - r, c->n); j < clamp(fmaxf(y0, y1) + r + 1, c->n); j++)
		for (int i = clamp(fminf(x0, x1) - r, c->n); i < clamp(fmaxf(x0, x1) + r + 1,
								       c->n); i++) {
			float px = (float)i + .5f - x0, py = (float)j + .5f - y0;
			float t = len > 0 ? (px * dx + py * dy) / len : 0;

			t = t < 0 ? 0 : t > 1 ? 1 : t;
			px -= t * dx, py -= t * dy;
			if (px * px + py * py <= r * r)
				dot(c, i, j, colour);
		}
}

/* A stroke along points. */
static inline void path(struct canvas *c, const float *p, int n, float width, struct rgb colour)
{
	for (int k = 0; k + 1 < n; k++)
		stroke(c, p[2 * k], p[2 * k + 1], p[2 * k + 2], p[2 * k + 3], width, colour);
}

/* From one colour at y0 to another at y1 (the picture's, y0 above y1), over the whole width. */
static inline void band(struct canvas *c, float y0, float y1, struct rgb top, struct rgb bottom)
{
	int from = clamp(to_y(c, y0), c->n), to = clamp(to_y(c, y1), c->n);

	for (int j = from; j < to; j++)
		for (int i = 0; i < c->n; i++)
			dot(c, i, j, mix(top, bottom,
					 ((float)(j - from) + .5f) / (float)(to - from)));
}

/* Darken (or lighten) what is there, strongest in the middle: shadows and ripples. */
static inline void shadow(struct canvas *c, float x, float y, float rx, float ry, float strength)
{
	float cx = to_x(c, x), cy = to_y(c, y), ax = rx * c->scale, ay = ry * c->scale;

	for (int j = clamp(cy - ay, c->n); j < clamp(cy + ay + 1, c->n); j++)
		for (int i = clamp(cx - ax, c->n); i < clamp(cx + ax + 1, c->n); i++) {
			float u = ((float)i + .5f - cx) / ax, v = ((float)j + .5f - cy) / ay;
			float d = u * u + v * v;
			struct rgb *at = &c->at[(size_t)j * (size_t)c->n + (size_t)i];
			if (d < 1)
				*at = lit(*at, 1 + strength * (1 - d * d));
		}
}

/* Put a layer on a canvas of the same size, with a line of `r` samples around it. */
static inline void layer_put(struct canvas *c, const struct canvas *layer, int r, struct rgb line)
{
	int n = c->n;

	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++) {
			if (!layer->set[j * n + i])
				continue;
			for (int y = j - r; y <= j + r; y++)
				for (int x = i - r; x <= i + r; x++)
					if (x >= 0 && y >= 0 && x < n && y < n &&
					    !layer->set[y * n + x] &&
					    (x - i) * (x - i) + (y - j) * (y - j) <= r * r)
						c->at[y * n + x] = line;
		}
	for (int k = 0; k < n * n; k++)
		if (layer->set[k])
			c->at[k] = layer->at[k];
}

/* Averages of 4 x 4 samples, as bytes. */
static inline void canvas_reduce(const struct canvas *c, uint8_t *out)
{
	int m = c->n / 4;

	for (int j = 0; j < m; j++)
		for (int i = 0; i < m; i++) {
			struct rgb sum = { 0, 0, 0 };

			for (int k = 0; k < 16; k++) {
				int y = 4 * j + k / 4, x = 4 * i + k % 4;
				const struct rgb *p = &c->at[y * c->n + x];
				sum.r += p->r, sum.g += p->g, sum.b += p->b;
			}
			out[3 * (j * m + i)] = (uint8_t)(sum.r / 16 + .5f);
			out[3 * (j * m + i) + 1] = (uint8_t)(sum.g / 16 + .5f);
			out[3 * (j * m + i) + 2] = (uint8_t)(sum.b / 16 + .5f);
		}
}

#endif
