/*
 * The things and creatures of the example scenes, each drawn in its own coordinates (canvas.h),
 * creatures looking to the left. Parts are large: at 64 pixels a small thing is 20 pixels high.
 */
#ifndef EXAMPLES_THINGS_H
#define EXAMPLES_THINGS_H

#include "examples/canvas.h"

#define COUNT(a) ((int)(sizeof (a) / sizeof *(a)))
#define POINTS(...) (const float[]){ __VA_ARGS__ }, (int)(sizeof (float[]){ __VA_ARGS__ } / 8)
#define POLYGON(c, colour, shade, ...) polygon(c, POINTS(__VA_ARGS__), colour, shade)
#define PATH(c, colour, width, ...) path(c, POINTS(__VA_ARGS__), width, colour)

static const struct rgb ink = { 24, 22, 26 }, paper = { 250, 250, 246 }, wood = { 112, 72, 42 },
	pane = { 176, 218, 240 }, leaf = { 58, 140, 58 }, gold = { 246, 196, 46 };

/* A part that has to stand out from the rest: darker, or lighter if the thing is black. */
static inline struct rgb second(struct rgb c)
{
	return c.r + c.g + c.b < 150 ? lit(c, 1.28f) : lit(c, .66f);
}

static inline void eye(struct canvas *c, float x, float y, float r)
{
	ellipse(c, x, y, r, r, paper, FLAT);
	ellipse(c, x - r * .2f, y, r * .62f, r * .62f, ink, FLAT);
}

static inline void draw_ball(struct canvas *c, struct rgb k)
{
	ellipse(c, 0, .46f, .46f, .46f, k, ROUND);
	ellipse(c, -.17f * c->dir, .66f, .1f, .07f, lit(k, 1.65f), FLAT);
}

static inline void draw_cube(struct canvas *c, struct rgb k)
{
	POLYGON(c, second(k), SOFT, .24f, 0, .46f, .22f, .46f, .92f, .24f, .7f);
	POLYGON(c, lit(k, 1.4f), FLAT, -.46f, .7f, .24f, .7f, .46f, .92f, -.24f, .92f);
	POLYGON(c, k, SOFT, -.46f, 0, .24f, 0, .24f, .7f, -.46f, .7f);
}

static inline void draw_cup(struct canvas *c, struct rgb k)
{
	PATH(c, lit(k, .85f), .1f, .24f, .7f, .42f, .68f, .5f, .54f, .48f, .36f, .36f, .24f, .2f,
	     .2f);
	POLYGON(c, k, SOFT, -.4f, .84f, -.28f, .05f, .2f, .05f, .32f, .84f);
	ellipse(c, -.04f, .06f, .24f, .06f, lit(k, .84f), FLAT);
	POLYGON(c, lit(k, 1.35f), FLAT, -.31f, .72f, -.22f, .14f, -.14f, .14f, -.21f, .72f);
	ellipse(c, -.04f, .84f, .36f, .12f, lit(k, 1.25f), FLAT);
	ellipse(c, -.04f, .83f, .29f, .085f, second(lit(k, .7f)), FLAT);
}

static inline void draw_house(struct canvas *c, struct rgb k)
{
	box(c, .2f, .6f, .32f, .96f, second(k), FLAT);
	box(c, -.4f, 0, .4f, .58f, k, SOFT);
	POLYGON(c, second(k), SOFT, -.52f, .54f, .52f, .54f, 0, 1);
	box(c, -.09f, 0, .11f, .34f, wood, FLAT);
	box(c, -.31f, .2f, -.16f, .38f, pane, FLAT);
	box(c, .18f, .2f, .33f, .38f, pane, FLAT);
}

static inline void draw_tree(struct canvas *c, struct rgb k)
{
	POLYGON(c, wood, FLAT, -.09f, 0, .09f, 0, .06f, .5f, -.06f, .5f);
	ellipse(c, .2f, .52f, .24f, .2f, lit(k, .78f), ROUND);
	ellipse(c, -.2f, .54f, .25f, .22f, k, ROUND);
	ellipse(c, 0, .72f, .3f, .28f, k, ROUND);
}

static inline void draw_flower(struct canvas *c, struct rgb k)
{
	/* Six petals around the middle: cos and sin of multiples of 60 degrees. */
	static const float at[6][2] = { { 1, 0 }, { .5f, .866f }, { -.5f, .866f }, { -1, 0 },
		{ -.5f, -.866f }, { .5f, -.866f } };
	struct rgb middle = k.r > 200 && k.g > 170 && k.b < 120 ? wood : gold;

	stroke(c, 0, .03f, 0, .5f, .07f, leaf);
	ellipse(c, .15f, .2f, .15f, .07f, leaf, SOFT);
	ellipse(c, -.14f, .12f, .14f, .06f, leaf, SOFT);
	for (int i = 0; i < 6; i++)
		ellipse(c, at[i][0] * .21f, .68f + at[i][1] * .21f, .135f, .135f,
			lit(k, i % 2 ? .88f : 1.04f), FLAT);
	ellipse(c, 0, .68f, .13f, .13f, middle, ROUND);
}

static inline void draw_fish(struct canvas *c, struct rgb k)
{
	POLYGON(c, second(k), FLAT, .2f, .45f, .52f, .72f, .45f, .45f, .52f, .18f);
	POLYGON(c, second(k), FLAT, -.12f, .66f, .16f, .62f, .14f, .88f);
	ellipse(c, -.12f, .45f, .4f, .26f, k, ROUND);
	POLYGON(c, second(k), FLAT, -.04f, .42f, .14f, .5f, .14f, .3f);
	PATH(c, second(k), .035f, -.24f, .62f, -.19f, .52f, -.19f, .4f, -.24f, .28f);
	eye(c, -.36f, .52f, .07f);
}

static inline void draw_bird(struct canvas *c, struct rgb k)
{
	static const struct rgb beak = { 244, 150, 30 };

	stroke(c, -.04f, .03f, -.04f, .3f, .05f, beak);
	stroke(c, .1f, .03f, .1f, .3f, .05f, beak);
	stroke(c, -.13f, .03f, -.02f, .03f, .045f, beak);
	stroke(c, .01f, .03f, .12f, .03f, .045f, beak);
	POLYGON(c, second(k), FLAT, .2f, .5f, .54f, .62f, .5f, .4f, .2f, .36f);
	ellipse(c, .04f, .46f, .31f, .24f, k, ROUND);
	ellipse(c, -.22f, .76f, .19f, .18f, k, ROUND);
	POLYGON(c, beak, FLAT, -.37f, .83f, -.37f, .68f, -.55f, .73f);
	POLYGON(c, second(k), SOFT, -.1f, .54f, .3f, .56f, .36f, .4f, .14f, .3f);
	eye(c, -.27f, .81f, .055f);
}

static inline void draw_car(struct canvas *c, struct rgb k)
{
	static const struct rgb hub = { 190, 192, 198 };

	POLYGON(c, lit(k, .9f), SOFT, -.3f, .44f, -.2f, .72f, .18f, .72f, .34f, .44f);
	POLYGON(c, pane, FLAT, -.23f, .46f, -.16f, .66f, -.03f, .66f, -.03f, .46f);
	POLYGON(c, pane, FLAT, .03f, .46f, .03f, .66f, .15f, .66f, .25f, .46f);
	POLYGON(c, k, SOFT, -.53f, .14f, -.55f, .34f, -.46f, .45f, .48f, .47f, .54f, .38f, .54f,
		.14f);
	box(c, -.54f, .28f, -.46f, .38f, gold, FLAT);
	for (float x = -.3f; x < .4f; x += .6f) {
		ellipse(c, x, .14f, .14f, .14f, ink, FLAT);
		ellipse(c, x, .14f, .065f, .065f, hub, FLAT);
	}
}

static inline void draw_boat(struct canvas *c, struct rgb k)
{
	stroke(c, 0, .2f, 0, .98f, .045f, wood);
	POLYGON(c, lit(k, 1.55f), SOFT, .05f, .3f, .05f, .93f, .42f, .3f);
	POLYGON(c, lit(k, 1.72f), SOFT, -.05f, .3f, -.05f, .86f, -.36f, .3f);
	POLYGON(c, k, SOFT, -.52f, .25f, -.36f, 0, .34f, 0, .52f, .25f);
	POLYGON(c, second(k), FLAT, -.52f, .25f, -.49f, .2f, .485f, .2f, .52f, .25f);
}

static inline void draw_star(struct canvas *c, struct rgb k)
{
	/* Ten corners of radius .52 and .24 about (0, .5), the first straight up. */
	static const float p[20] = {
		0, 1.02f, .141f, .694f, .495f, .661f, .228f, .426f, .306f, .079f,
		0, .26f, -.306f, .079f, -.228f, .426f, -.495f, .661f, -.141f, .694f,
	};

	polygon(c, p, 10, k, SOFT);
	POLYGON(c, lit(k, 1.3f), FLAT, 0, 1, -.141f, .694f, 0, .5f);
	POLYGON(c, lit(k, 1.3f), FLAT, -.47f, .655f, -.228f, .426f, 0, .5f);
	POLYGON(c, lit(k, .8f), FLAT, .3f, .09f, 0, .26f, 0, .5f);
	POLYGON(c, lit(k, .8f), FLAT, .48f, .655f, .228f, .426f, 0, .5f);
}

/* What the special subject has and no other of its kind: stripes, a hat, a scarf. */
struct look {
	int special;
	struct rgb stripe, hat, scarf;
};

/* A pointed hat with a bobble, standing at (x, y). */
static inline void hat(struct canvas *c, float x, float y, float w, const struct look *l)
{
	POLYGON(c, l->hat, FLAT, x - w, y, x + w, y, x, y + w * 2.1f);
	stroke(c, x - w, y, x + w, y, w * .42f, gold);
	ellipse(c, x, y + w * 2.1f, w * .36f, w * .36f, gold, FLAT);
}

/* Upright stripes over an ellipse, cut to it. */
static inline void stripes(struct canvas *c, float x, float y, float rx, float ry,
			   const struct look *l)
{
	for (int i = -1; i <= 1; i++) {
		float at = (float)i * rx * .58f, w = rx * .16f;
		float h = ry * sqrtf(1 - (at / rx) * (at / rx)) * .93f;

		POLYGON(c, l->stripe, FLAT, x + at - w, y - h, x + at + w, y - h, x + at + w, y + h,
			x + at - w, y + h);
	}
}

static inline void draw_dog_as(struct canvas *c, struct rgb k, const struct look *l)
{
	struct rgb dark = l->special ? l->stripe : second(k), far = lit(k, .78f);

	PATH(c, dark, .085f, .34f, .42f, .46f, .52f, .52f, .7f);
	stroke(c, -.1f, .05f, -.1f, .3f, .1f, far);
	stroke(c, .34f, .05f, .3f, .3f, .1f, far);
	ellipse(c, .1f, .4f, .33f, .19f, k, ROUND);
	if (l->special)
		stripes(c, .12f, .4f, .33f, .19f, l);
	stroke(c, -.18f, .05f, -.16f, .34f, .11f, l->special ? dark : k);
	stroke(c, .24f, .05f, .26f, .34f, .11f, l->special ? dark : k);
	stroke(c, -.2f, .5f, -.12f, .4f, .2f, k);
	ellipse(c, -.27f, .68f, .2f, .19f, k, ROUND);
	ellipse(c, -.43f, .61f, .12f, .09f, lit(k, 1.22f), FLAT);
	ellipse(c, -.53f, .64f, .045f, .04f, ink, FLAT);
	ellipse(c, -.16f, .62f, .08f, .18f, dark, FLAT);
	eye(c, -.34f, .74f, .05f);
	if (l->special) {
		stroke(c, -.3f, .47f, -.08f, .47f, .09f, l->scarf);
		hat(c, -.27f, .86f, .13f, l);
	}
}

/* A cat sits and looks at us. */
static inline void draw_cat_as(struct canvas *c, struct rgb k, const struct look *l)
{
	struct rgb dark = l->special ? l->stripe : second(k), rose = { 240, 150, 160 };

	PATH(c, dark, .09f, .14f, .1f, .36f, .1f, .46f, .22f, .44f, .42f, .5f, .54f);
	ellipse(c, 0, .27f, .26f, .28f, k, ROUND);
	if (l->special)
		stripes(c, 0, .28f, .26f, .28f, l);
	ellipse(c, 0, .2f, .11f, .18f, lit(k, 1.3f), FLAT);
	ellipse(c, -.13f, .05f, .1f, .05f, k, FLAT);
	ellipse(c, .13f, .05f, .1f, .05f, k, FLAT);
	POLYGON(c, dark, FLAT, -.26f, .7f, -.25f, 1, -.04f, .84f);
	POLYGON(c, dark, FLAT, .26f, .7f, .25f, 1, .04f, .84f);
	ellipse(c, 0, .68f, .27f, .21f, k, ROUND);
	ellipse(c, -.11f, .71f, .055f, .06f, gold, FLAT);
	ellipse(c, .11f, .71f, .055f, .06f, gold, FLAT);
	ellipse(c, -.11f, .71f, .025f, .055f, ink, FLAT);
	ellipse(c, .11f, .71f, .025f, .055f, ink, FLAT);
	POLYGON(c, rose, FLAT, -.05f, .63f, .05f, .63f, 0, .57f);
	PATH(c, dark, .025f, -.4f, .64f, -.16f, .6f);
	PATH(c, dark, .025f, .4f, .64f, .16f, .6f);
	if (l->special) {
		stroke(c, -.16f, .48f, .16f, .48f, .09f, l->scarf);
		hat(c, 0, .87f, .13f, l);
	}
}

static inline void draw_dog(struct canvas *c, struct rgb k)
{
	draw_dog_as(c, k, &(struct look){ 0 });
}

static inline void draw_cat(struct canvas *c, struct rgb k)
{
	draw_cat_as(c, k, &(struct look){ 0 });
}

#endif
