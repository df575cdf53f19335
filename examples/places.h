/*
 * The places of the example scenes: each fills the canvas behind the thing. `h` is the height
 * of the horizon (0 = lower edge), `r` the scene's stream of random numbers, read from word 32 on.
 */
#ifndef EXAMPLES_PLACES_H
#define EXAMPLES_PLACES_H

#include "common/base/rng.h"
#include "examples/things.h"

/* Uniform in [from, to), the i-th number for places. */
static inline float pick(const struct rng *r, int i, float from, float to)
{
	return from + (to - from) * rng_uniform(r, 32 + (uint32_t)i);
}

#define RGB(r, g, b) ((struct rgb){ r, g, b })

static inline void cloud(struct canvas *c, float x, float y, float s)
{
	ellipse(c, x, y, .13f * s, .05f * s, paper, FLAT);
	ellipse(c, x - .05f * s, y + .04f * s, .06f * s, .05f * s, paper, FLAT);
	ellipse(c, x + .04f * s, y + .05f * s, .08f * s, .07f * s, paper, FLAT);
}

static inline void place_snow(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(150, 170, 204), RGB(206, 217, 234));
	band(c, h, 0, RGB(246, 249, 255), RGB(214, 224, 243));
	ellipse(c, pick(r, 0, .1f, .9f), h - .02f, .45f, .09f, RGB(240, 245, 254), FLAT);
	for (int i = 0; i < 10; i++)
		ellipse(c, pick(r, 2 * i + 1, 0, 1), pick(r, 2 * i + 2, h, 1), .016f, .016f,
			RGB(252, 253, 255), FLAT);
}

static inline void place_grass(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(88, 164, 236), RGB(196, 228, 250));
	cloud(c, pick(r, 0, .1f, .9f), pick(r, 1, .8f, .92f), pick(r, 2, .9f, 1.4f));
	band(c, h, 0, RGB(140, 198, 84), RGB(74, 148, 52));
	for (int i = 0; i < 6; i++) {
		float x = pick(r, 2 * i + 3, 0, 1), y = pick(r, 2 * i + 4, .02f, h - .08f);
		PATH(c, RGB(62, 128, 46), .018f, x - .025f, y + .045f, x, y, x + .025f, y + .05f);
	}
}

static inline void place_sea(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(126, 190, 240), RGB(216, 234, 248));
	band(c, h, 0, RGB(44, 116, 190), RGB(16, 62, 132));
	for (int i = 0; i < 8; i++) {
		float x = pick(r, i, 0, 1), y = (h - .05f) * ((float)i + .3f) / 8;
		float w = .04f + .05f * (1 - y / h);

		PATH(c, RGB(128, 186, 230), .018f, x - w, y, x - w / 2, y + w * .3f, x, y,
		     x + w / 2, y + w * .3f, x + w, y);
	}
}

static inline void place_desert(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(250, 178, 92), RGB(255, 226, 160));
	ellipse(c, pick(r, 0, .15f, .85f), .84f, .08f, .08f, RGB(255, 244, 200), FLAT);
	ellipse(c, pick(r, 1, 0, 1), h, .42f, .1f, RGB(206, 146, 84), SOFT);
	band(c, h, 0, RGB(226, 166, 98), RGB(190, 126, 66));
	for (int i = 0; i < 3; i++) {
		float x = pick(r, 2 + i, 0, .8f), y = h * (.2f + .25f * (float)i);
		PATH(c, RGB(176, 114, 60), .014f, x, y, x + .12f, y + .02f, x + .26f, y);
	}
}

static inline void mountain(struct canvas *c, float x, float h, float w, float top)
{
	float dx = w * .3f, dy = (top - h) * .3f;

	POLYGON(c, RGB(126, 128, 144), FLAT, x - w, h, x, top, x + w, h);
	POLYGON(c, RGB(100, 102, 120), FLAT, x + w * .15f, h, x, top, x + w, h);
	POLYGON(c, RGB(248, 250, 255), FLAT, x - dx, top - dy, x, top, x + dx, top - dy,
		x + dx * .35f, top - dy * .72f,
		x, top - dy * 1.15f, x - dx * .4f, top - dy * .75f);
}

static inline void place_mountains(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(112, 176, 236), RGB(208, 230, 248));
	mountain(c, pick(r, 0, .05f, .25f), h, .34f, pick(r, 1, .8f, .9f));
	mountain(c, pick(r, 2, .72f, .95f), h, .36f, pick(r, 3, .8f, .93f));
	mountain(c, pick(r, 4, .4f, .6f), h, .3f, pick(r, 5, .7f, .8f));
	band(c, h, 0, RGB(92, 150, 84), RGB(52, 106, 50));
}

static inline void place_night(struct canvas *c, float h, const struct rng *r)
{
	float x = pick(r, 0, .15f, .85f);

	band(c, 1, h, RGB(12, 14, 50), RGB(58, 48, 112));
	for (int i = 0; i < 14; i++)
		ellipse(c, pick(r, 2 * i + 2, 0, 1), pick(r, 2 * i + 3, h, 1), .013f, .013f,
			RGB(236, 236, 220), FLAT);
	ellipse(c, x, .85f, .075f, .075f, RGB(252, 244, 206), FLAT);
	ellipse(c, x + .03f, .87f, .06f, .06f, RGB(24, 24, 66), FLAT);
	band(c, h, 0, RGB(42, 62, 70), RGB(20, 32, 42));
}

static inline void place_room(struct canvas *c, float h, const struct rng *r)
{
	float x = pick(r, 0, .08f, .62f), y = .66f;

	band(c, 1, h, RGB(232, 214, 186), RGB(216, 192, 160));
	box(c, x, y, x + .3f, y + .26f, RGB(120, 84, 52), FLAT);
	box(c, x + .025f, y + .025f, x + .14f, y + .235f, pane, SOFT);
	box(c, x + .16f, y + .025f, x + .275f, y + .235f, pane, SOFT);
	band(c, h, 0, RGB(168, 116, 74), RGB(122, 78, 46));
	for (int i = 0; i < 7; i++)
		stroke(c, .5f + ((float)i - 3) * .2f, h, .5f + ((float)i - 3) * .42f, 0, .012f,
		       RGB(104, 66, 38));
	box(c, 0, h - .01f, 1, h + .02f, RGB(246, 238, 222), FLAT);
}

static inline void place_city(struct canvas *c, float h, const struct rng *r)
{
	band(c, 1, h, RGB(168, 176, 200), RGB(232, 214, 206));
	for (int i = 0; i < 4; i++) {
		float x = (float)i * .25f, top = pick(r, i, .74f, .97f), g = pick(r, 5 + i, 0, 40);

		box(c, x, h, x + .235f, top, RGB(96 + g, 100 + g, 124 + g), FLAT);
		for (int k = 0; (float)k < 2 * floorf((top - h - .03f) / .14f); k++) {
			float left = x + .04f + .09f * (float)(k % 2);
			float low = h + .05f + .14f * (float)(k / 2);

			box(c, left, low, left + .065f, low + .075f, RGB(250, 224, 140), FLAT);
		}
	}
	band(c, h, h - .06f, RGB(190, 188, 186), RGB(172, 170, 168));
	band(c, h - .06f, 0, RGB(92, 94, 100), RGB(66, 68, 74));
	for (int i = 0; i < 4; i++)
		box(c, .02f + .27f * (float)i, h * .3f, .15f + .27f * (float)i, h * .3f + .025f,
		    RGB(236, 232, 214), FLAT);
}

#endif
