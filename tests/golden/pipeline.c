/*
 * cases/pipeline: from a prompt and a starting latent to a picture; the latents after every step,
 * and the picture at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/pipeline.h"
#include "tests/golden/network.h"

struct watch {                  /* keeps the latents of every step */
	const float *latent;
	float *all;
	int64_t each, room;
};

static int keep(void *who, int done, int total)
{
	struct watch *w = who;

	(void)total;
	if (done <= w->room)
		memcpy(w->all + (done - 1) * w->each, w->latent, (size_t)w->each * sizeof *w->all);
	return 0;
}

/* The scheduler's class, and what its arguments make of it. */
static const char *sampler_of(struct gcase *c)
{
	const char *name = golden_word(c, "scheduler", "");
	const struct json *args = json_get(json_get(c->doc, "args"), "scheduler_args");

	if (!strcmp(name, "DPMSolverMultistepScheduler") && json_bool(json_get(args, "use_karras_sigmas"), 0))
		return "DPM++ 2M Karras";
	return name;
}

static int compare_picture(struct pipeline *p, struct gcase *c, const float *latent, int64_t h,
			   int64_t w, struct err *e)
{
	int64_t f = vae_factor(&p->vae), n = h * f * w * f * 3;
	float *out = xmalloc((size_t)n * sizeof *out),
		*turned = xmalloc((size_t)n * sizeof *turned);
	int ret = pipeline_decode_values(p, latent, h, w, out, e);

	if (ret == 0) {
		to_nchw(turned, out, 1, 3, h * f, w * f);
		for (int64_t i = 0; i < n; i++) {
			turned[i] = turned[i] / 2 + .5f;
			turned[i] = turned[i] < 0 ? 0 : turned[i] > 1 ? 1 : turned[i];
		}
		ret = golden_compare(c, "out.image", turned, n, -1, 0, e);
	}
	free(out);
	free(turned);
	return ret;
}

static int draw(struct pipeline *p, struct gcase *c, struct tensor *noise,
		const struct tensor *steps, struct err *e)
{
	struct sample_options o = {
		.prompt = golden_word(c, "prompt", ""), .negative = golden_word(c, "negative", ""),
		.width = (int64_t)golden_number(c, "width", 0),
		.height = (int64_t)golden_number(c, "height", 0),
		.steps = (int64_t)golden_number(c, "steps", 0), .scale = golden_number(c, "guidance_scale", 1),
		.sampler = sampler_of(c), .clip_skip = 1, .max_tokens = 75,
	};
	int64_t n = tensor_count(noise), calls = steps->side[0];
	float *latent = xmalloc((size_t)n * sizeof *latent);
	float *all = xcalloc((size_t)(calls * n), sizeof *all);
	struct watch w = { latent, all, n, calls };
	int ret = -1;

	memcpy(latent, noise->at, (size_t)n * sizeof *latent);
	if (pipeline_sample_from(p, &o, 1, latent, NULL, keep, &w, e) < 0 ||
	    golden_compare(c, "out.latents", all, calls * n, -1, 0, e) < 0)
		goto out;
	ret = compare_picture(p, c, latent, noise->side[2], noise->side[3], e);
out:
	free(latent);
	free(all);
	return ret;
}

/*
 * Steps of this case enlarge what is off forty times as much as the others' do: even in f32 diffusers meets
 * its own record within 2e-4 only, and is .96 from it in bf16 and .28 in fp16, which is another picture.
 */
static int is_chaotic(const struct gcase *c)
{
	return !strcmp(c->name, "sd1-ddim-tall") && strcmp(golden_precision(), "f32") != 0;
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	char *path = xasprintf("%s/models/%s", c->root, golden_word(c, "model", ""));
	struct pipeline p = { 0 };
	struct tensor noise = { 0 }, steps = { 0 };
	int ret = -1;

	if (!network_is_ours(c) || is_chaotic(c)) {
		*v = GOLDEN_NOT_YET;
		ret = 0;
		goto out;
	}
	if (golden_tensor(c, "in.noise", &noise, e) < 0 || golden_tensor(c, "out.latents", &steps, e) < 0 ||
	    pipeline_open(&p, &(struct pipeline_options){ .model = path, .threads = 2,
							  .device = golden_device_name(),
							  .precision = golden_precision() }, e) < 0)
		goto out;
	ret = draw(&p, c, &noise, &steps, e);
out:
	pipeline_close(&p);
	tensor_release(&noise);
	tensor_release(&steps);
	free(path);
	return ret;
}

const struct golden_group golden_pipeline = { .name = "pipeline", .check = check };
