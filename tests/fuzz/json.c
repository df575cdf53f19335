/*
 * JSON as users have it: any document, and the configurations of models and schedulers. The first
 * byte says who reads it.
 */
#include <math.h>
#include <string.h>

#include "common/data/json.h"
#include "kernels/run/config.h"
#include "kernels/run/sampler.h"
#include "tests/fuzz/shared/fuzz.h"

static void walk(const struct json *v)
{
	const char *name = NULL;
	struct buf b = { 0 };

	json_int(v, 0);
	json_float(v, 0);
	json_bool(v, 0);
	HOLDS(isfinite(json_float(v, 0)));
	json_put_text(&b, json_text(v, ""));
	buf_release(&b);
	for (size_t i = 0; i < json_count(v); i++) {
		const struct json *item = json_member(v, i, &name);

		HOLDS(!item || json_get(v, name) == item);
		walk(item ? item : json_at(v, i));
	}
}

static void schedule(const struct json *doc)
{
	struct sampler_config c = { 0 };
	struct sampler s = { 0 };
	struct err e;

	if (sampler_configure(&c, doc, NULL, &e) < 0 && sampler_configure(&c, doc, "ddim", &e) < 0)
		return;
	/* a schedule of a million steps is long, but a user's business */
	if (c.noise.n <= 1000 && sampler_init(&s, &c, 5, 1, 4, &e) == 0)
		sampler_release(&s);
}

FUZZ(json)
{
	struct unet_config unet;
	struct vae_config vae;
	struct text_config text;
	struct json *doc = NULL;
	struct err e;

	if (!len || json_parse(&doc, (const char *)at + 1, len - 1, "in", &e) < 0)
		return 0;
	switch (*at & 7) {
	case 1: config_unet(&unet, doc, &e); break;
	case 2: config_vae(&vae, doc, &e); break;
	case 3: config_text(&text, doc, &e); break;
	case 4: schedule(doc); break;
	default: walk(doc);
	}
	json_free(doc);
	return 0;
}
