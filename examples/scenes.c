/*
 * Draws the scenes that the example base model learns from: a thing or creature of some colour
 * and size at some place, each a PNG with its caption beside it (00001.png, 00001.txt).
 * A picture depends on the seed and its number only, so a larger --count adds pictures.
 *
 * With --subject "sks dog" it draws one special dog (or cat) instead, the same one in every
 * picture: what `make demo` teaches to the base model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/opt.h"
#include "common/base/rng.h"
#include "common/data/image.h"
#include "examples/places.h"
#include "examples/things.h"

static const struct {
	const char *name;
	void (*draw)(struct canvas *c, struct rgb colour);
} things[] = {
	{ "ball", draw_ball }, { "cube", draw_cube }, { "cup", draw_cup }, { "house", draw_house },
	{ "tree", draw_tree }, { "flower", draw_flower }, { "dog", draw_dog }, { "cat", draw_cat },
	{ "fish", draw_fish }, { "bird", draw_bird }, { "car", draw_car }, { "boat", draw_boat },
	{ "star", draw_star },
};

static const struct {
	const char *name;
	struct rgb rgb;
} colours[] = {
	{ "red", { 216, 42, 40 } }, { "orange", { 246, 134, 28 } }, { "yellow", { 250, 212, 46 } },
	{ "green", { 44, 158, 68 } }, { "blue", { 42, 92, 214 } }, { "purple", { 134, 62, 176 } },
	{ "pink", { 244, 140, 190 } }, { "brown", { 128, 80, 44 } }, { "white", { 240, 240, 236 } },
	{ "black", { 40, 40, 46 } },
};

static const struct {
	const char *name;               /* "" = the size that nobody mentions */
	float from, to;                 /* height of the thing, 1 = the picture's */
} sizes[] = {
	{ "small ", .4f, .46f }, { "", .56f, .62f }, { "big ", .7f, .76f },
};

static const struct {
	const char *name;
	void (*draw)(struct canvas *c, float horizon, const struct rng *r);
} places[] = {
	{ "in the snow", place_snow }, { "on the grass", place_grass }, { "on the sea", place_sea },
	{ "in the desert", place_desert }, { "in the mountains", place_mountains },
	{ "at night", place_night }, { "in a room", place_room }, { "in the city", place_city },
};

/* Coat and clothes of the special subject: none of the colours above. */
static const struct rgb coat = { 246, 236, 208 };
static const struct look special = { 1, { 20, 150, 150 }, { 226, 30, 110 }, { 226, 30, 110 } };

struct scene {
	int thing, colour, size, place;
	float x, base, height, horizon; /* in the picture's coordinates */
	int mirrored;
	const struct look *look;        /* of a special subject, or NULL */
};

static int choose(const struct rng *r, int word, int n)
{
	return (int)(rng_uniform(r, (uint32_t)word) * (float)n);
}

static float between(const struct rng *r, int word, float from, float to)
{
	return from + (to - from) * rng_uniform(r, (uint32_t)word);
}

static void scene_draw_numbers(struct scene *s, const struct rng *r)
{
	float room;

	s->thing = choose(r, 0, COUNT(things));
	s->colour = choose(r, 1, COUNT(colours));
	s->size = choose(r, 2, COUNT(sizes));
	s->place = choose(r, 3, COUNT(places));
	s->mirrored = choose(r, 4, 2);
	s->height = between(r, 5, sizes[s->size].from, sizes[s->size].to);
	room = .5f - s->height * .57f;
	s->x = .5f + between(r, 6, -room, room);
	s->horizon = between(r, 7, .38f, .46f);
	s->base = between(r, 8, .07f, s->horizon - .04f - .3f * (s->height - .3f));
}

/* The line around a thing: darker than it is, but light around a dark thing at night. */
static struct rgb line_of(const struct scene *s, struct rgb colour)
{
	int dark = colour.r + colour.g + colour.b < 150;

	if (dark && !strcmp(places[s->place].name, "at night"))
		return lit(colour, 1.4f);
	return lit(colour, .45f);
}

static void scene_paint(struct canvas *c, const struct scene *s, const struct rng *r)
{
	struct rgb colour = s->look ? coat : colours[s->colour].rgb;
	struct canvas layer;

	places[s->place].draw(c, s->horizon, r);
	shadow(c, s->x, s->base + .01f, s->height * .56f, s->height * .1f, -.4f);
	canvas_begin(&layer, c->n);
	layer.x = s->x * (float)c->n;
	layer.y = (1 - s->base) * (float)c->n;
	layer.scale = s->height * (float)c->n;
	layer.dir = s->mirrored ? -1 : 1;
	if (!s->look)
		things[s->thing].draw(&layer, colour);
	else if (!strcmp(things[s->thing].name, "dog"))
		draw_dog_as(&layer, colour, s->look);
	else
		draw_cat_as(&layer, colour, s->look);
	layer_put(c, &layer, c->n / 128, line_of(s, colour));
	canvas_end(&layer);
}

/* Not every word every time, so that prompts of all these forms are known: "a photo of a dog". */
static void scene_caption(struct buf *out, const struct scene *s, const struct rng *r)
{
	const char *size = between(r, 9, 0, 1) < .8f ? sizes[s->size].name : "";
	const char *colour = between(r, 10, 0, 1) < .85f ? colours[s->colour].name : "";
	int placed = between(r, 11, 0, 1) < .85f;
	const char *name = things[s->thing].name;
	const char *first = *size ? size : *colour ? colour : name;

	buf_adds(out, between(r, 12, 0, 1) < .3f ? "a photo of " : "");
	buf_adds(out, *first == 'o' ? "an " : "a ");
	buf_addf(out, "%s%s%s%s", size, colour, *colour ? " " : "", name);
	if (placed)
		buf_addf(out, " %s", places[s->place].name);
}

static int scene_write(const char *folder, int64_t number, const struct scene *s,
		       const struct rng *r,
		       const char *caption, int side, struct err *e)
{
	char *png = xasprintf("%s/%05lld.png", folder, (long long)number);
	char *txt = xasprintf("%s/%05lld.txt", folder, (long long)number);
	struct canvas c = { 0 };
	struct image im = { 0 };
	struct buf b = { 0 };
	int ret = -1;

	canvas_begin(&c, 4 * side);
	scene_paint(&c, s, r);
	if (image_new(&im, side, side, 3, e) < 0)
		goto out;
	canvas_reduce(&c, im.at);
	if (image_encode_png(&b, &im, NULL, 0, e) < 0 || file_replace(png, b.at, b.len, e) < 0)
		goto out;
	buf_clear(&b);
	buf_addf(&b, "%s\n", caption);
	ret = file_replace(txt, b.at, b.len, e);
out:
	canvas_end(&c);
	image_release(&im);
	buf_release(&b);
	free(png);
	free(txt);
	return ret;
}

static int scenes_write(const char *folder, int64_t count, uint64_t seed, int side, struct err *e)
{
	for (int64_t i = 0; i < count; i++) {
		struct rng r = rng_stream(seed, "scene", 0, (uint32_t)i);
		struct scene s = { 0 };
		struct buf caption = { 0 };
		int bad;

		scene_draw_numbers(&s, &r);
		scene_caption(&caption, &s, &r);
		bad = scene_write(folder, i + 1, &s, &r, caption.at, side, e);
		buf_release(&caption);
		if (bad)
			return -1;
	}
	return 0;
}

/* The last word of the subject's name says what it is. */
static int subject_thing(const char *name, struct err *e)
{
	const char *last = strrchr(name, ' ');

	last = last ? last + 1 : name;
	for (int i = 0; i < COUNT(things); i++)
		if (!strcmp(things[i].name, last) && (!strcmp(last, "dog") || !strcmp(last, "cat")))
			return i;
	return fail(e, "the subject '%s' ends in '%s', only a dog or a cat can be special", name,
		    last);
}

static int subject_write(const char *folder, const char *name, int64_t count, uint64_t seed,
			 int side, struct err *e)
{
	int thing = subject_thing(name, e);

	for (int64_t i = 0; thing >= 0 && i < count; i++) {
		struct rng r = rng_stream(seed, "subject", 0, (uint32_t)i);
		struct scene s = { .thing = thing };
		char *caption;
		int bad;

		scene_draw_numbers(&s, &r);
		s.thing = thing;
		s.look = &special;
		s.place = (int)((i * 3 + 1) % COUNT(places));   /* another place each time */
		s.height = between(&r, 5, .58f, .68f);
		s.x = between(&r, 6, .44f, .56f);
		s.base = between(&r, 8, .09f, .15f);
		caption = xasprintf("a photo of %s %s", name, places[s.place].name);
		bad = scene_write(folder, i + 1, &s, &r, caption, side, e);
		free(caption);
		if (bad)
			return -1;
	}
	return thing < 0 ? -1 : 0;
}

static void help(const struct opt *rows)
{
	printf("scenes --out FOLDER [OPTION...]\n"
	       "draws captioned scenes for the example base model, or one special subject\n\n");
	opt_help(rows, stdout);
}

int main(int argc, char **argv)
{
	const char *out = NULL, *subject = NULL;
	int64_t count = -1, seed = 1, side = 64;
	const struct opt rows[] = {
		{ "out", OPT_TEXT, &out, "folder", "where pictures and captions go",
		  .required = 1 },
		{ "count", OPT_INT, &count, "pictures", "how many; -1 is 4000, or 6 of a subject",
		  .min = -1, .max = 99999 },
		{ "seed", OPT_INT, &seed, "", "another seed gives other pictures", .min = 0,
		  .max = 1e15 },
		{ "size", OPT_INT, &side, "pixels", "side of a picture", .min = 16, .max = 1024 },
		{ "subject", OPT_TEXT, &subject, "name",
		  "draw this special dog or cat instead, such as 'sks dog'", .min = 0 },
		{ 0 }
	};
	struct err e = { { 0 } };
	int words = 0;

	program_name = "scenes";
	if (opt_wants_help(argc, argv)) {
		help(rows);
		return 0;
	}
	if (opt_parse(rows, argc, argv, &words, &e) < 0)
		die(2, "%s", e.text);
	if (words)
		die(2, "'%s' is not an option", argv[1]);
	if (count < 0)
		count = subject ? 6 : 4000;
	if (make_folder(out, &e) < 0 ||
	    (subject ? subject_write(out, subject, count, (uint64_t)seed, (int)side, &e) :
		       scenes_write(out, count, (uint64_t)seed, (int)side, &e)) < 0)
		die(1, "%s", e.text);
	return 0;
}
