/*
 * Samplers by name, and the options of a scheduler_config.json.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include "kernels/run/sampler_parts.h"

/* What a name says beyond the kind; -1: the file, or the class's default. */
struct named_sampler {
	const char *name;
	enum sampler_kind kind;
	int karras, sde, order;
};

static const struct named_sampler names[] = {
	{ "ddpm", SAMPLER_DDPM, -1, -1, -1 },
	{ "ddim", SAMPLER_DDIM, -1, -1, -1 },
	{ "pndm", SAMPLER_PNDM, -1, -1, -1 },
	{ "plms", SAMPLER_PNDM, -1, -1, -1 },
	{ "lms", SAMPLER_LMS, -1, -1, -1 },
	{ "lms karras", SAMPLER_LMS, 1, -1, -1 },
	{ "k_lms", SAMPLER_LMS, -1, -1, -1 },
	{ "euler", SAMPLER_EULER, -1, -1, -1 },
	{ "euler karras", SAMPLER_EULER, 1, -1, -1 },
	{ "k_euler", SAMPLER_EULER, -1, -1, -1 },
	{ "euler a", SAMPLER_EULER_A, -1, -1, -1 },
	{ "k_euler_a", SAMPLER_EULER_A, -1, -1, -1 },
	{ "heun", SAMPLER_HEUN, -1, -1, -1 },
	{ "heun karras", SAMPLER_HEUN, 1, -1, -1 },
	{ "dpm2", SAMPLER_DPM2, -1, -1, -1 },
	{ "dpm2 karras", SAMPLER_DPM2, 1, -1, -1 },
	{ "dpm_2", SAMPLER_DPM2, -1, -1, -1 },
	{ "k_dpm_2", SAMPLER_DPM2, -1, -1, -1 },
	{ "dpm2 a", SAMPLER_DPM2_A, -1, -1, -1 },
	{ "dpm2 a karras", SAMPLER_DPM2_A, 1, -1, -1 },
	{ "dpm_2_a", SAMPLER_DPM2_A, -1, -1, -1 },
	{ "k_dpm_2_a", SAMPLER_DPM2_A, -1, -1, -1 },
	{ "dpm++ 2m", SAMPLER_DPM_MULTI, -1, 0, 2 },
	{ "dpm++ 2m karras", SAMPLER_DPM_MULTI, 1, 0, 2 },
	{ "dpm++ 2m sde", SAMPLER_DPM_MULTI, -1, 1, 2 },
	{ "dpm++ 2m sde karras", SAMPLER_DPM_MULTI, 1, 1, 2 },
	{ "dpm++ 3m", SAMPLER_DPM_MULTI, -1, 0, 3 },
	{ "dpm++ 3m sde", SAMPLER_DPM_MULTI, -1, 1, 3 },
	{ "dpm++ 3m sde karras", SAMPLER_DPM_MULTI, 1, 1, 3 },
	{ "dpm++ 2s", SAMPLER_DPM_SINGLE, -1, 0, 2 },
	{ "dpmsolver++", SAMPLER_DPM_MULTI, -1, 0, 2 },
	{ "dpmsingle", SAMPLER_DPM_SINGLE, -1, 0, 2 },
	{ "unipc", SAMPLER_UNIPC, -1, -1, -1 },
	{ "unipc karras", SAMPLER_UNIPC, 1, -1, -1 },
	{ "DDPMScheduler", SAMPLER_DDPM, -1, -1, -1 },
	{ "DDIMScheduler", SAMPLER_DDIM, -1, -1, -1 },
	{ "PNDMScheduler", SAMPLER_PNDM, -1, -1, -1 },
	{ "LMSDiscreteScheduler", SAMPLER_LMS, -1, -1, -1 },
	{ "EulerDiscreteScheduler", SAMPLER_EULER, -1, -1, -1 },
	{ "EulerAncestralDiscreteScheduler", SAMPLER_EULER_A, -1, -1, -1 },
	{ "HeunDiscreteScheduler", SAMPLER_HEUN, -1, -1, -1 },
	{ "KDPM2DiscreteScheduler", SAMPLER_DPM2, -1, -1, -1 },
	{ "KDPM2AncestralDiscreteScheduler", SAMPLER_DPM2_A, -1, -1, -1 },
	{ "DPMSolverMultistepScheduler", SAMPLER_DPM_MULTI, -1, -1, -1 },
	{ "DPMSolverSinglestepScheduler", SAMPLER_DPM_SINGLE, -1, -1, -1 },
	{ "UniPCMultistepScheduler", SAMPLER_UNIPC, -1, -1, -1 },
	{ NULL, SAMPLER_DDPM, -1, -1, -1 },
};

const char *sampler_name(int i)
{
	return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i].name : NULL;
}

static int plain(char c)
{
	return c == '_' || c == '-' ? ' ' : tolower((unsigned char)c);
}

int sampler_same_name(const char *a, const char *b)
{
	while (*a && plain(*a) == plain(*b)) {
		a++;
		b++;
	}
	return !*a && !*b;
}

static const struct named_sampler *find_name(const char *name)
{
	for (const struct named_sampler *n = names; n->name; n++)
		if (sampler_same_name(n->name, name))
			return n;
	return NULL;
}

static int is_true(const struct json *file, const char *key, int otherwise)
{
	return json_bool(json_get(file, key), otherwise);
}

/* Options that would change the pictures and are not built. */
static int check_file(const struct json *file, enum sampler_kind kind, struct err *e)
{
	static const char *const flags[] = { "use_beta_sigmas", "use_flow_sigmas", "use_lu_lambdas" };
	const char *type = json_text(json_get(file, "timestep_type"), "discrete");
	const char *between = json_text(json_get(file, "interpolation_type"), "linear");

	for (int i = 0; i < 3; i++)
		if (is_true(file, flags[i], 0))
			return fail(e, "the scheduler option '%s' is not supported", flags[i]);
	if (strcmp(type, "discrete"))
		return fail(e, "the scheduler's timestep_type is '%s', not 'discrete'", type);
	if (strcmp(between, "linear"))
		return fail(e, "the scheduler's interpolation_type is '%s', not 'linear'", between);
	if (kind == SAMPLER_UNIPC &&
	    (!is_true(file, "predict_x0", 1) || json_count(json_get(file, "disable_corrector"))))
		return fail(e, "UniPC is supported with predict_x0 and its corrector at every step");
	if (kind == SAMPLER_PNDM && !is_true(file, "skip_prk_steps", 1))
		return fail(e, "PNDM is supported with skip_prk_steps only");
	return 0;
}

static int ends_at_min(const struct json *file)
{
	return !strcmp(json_text(json_get(file, "final_sigmas_type"), "zero"), "sigma_min");
}

static int read_spacing(struct sampler_config *c, const struct json *file, struct err *e)
{
	const char *otherwise = sampler_by_time(c->kind) ? "leading" : "linspace";
	const char *word = json_text(json_get(file, "timestep_spacing"), otherwise);

	/* The single-step solver does not know the option. */
	if (!strcmp(word, "linspace") || c->kind == SAMPLER_DPM_SINGLE)
		c->spacing = SPACING_LINSPACE;
	else if (!strcmp(word, "leading"))
		c->spacing = SPACING_LEADING;
	else if (!strcmp(word, "trailing"))
		c->spacing = SPACING_TRAILING;
	else
		return fail(e, "timestep spacing '%s' is unknown (linspace, leading, trailing)", word);
	c->steps_offset = (int)json_int(json_get(file, "steps_offset"), 0);
	if (c->steps_offset < 0 || c->steps_offset >= c->noise.n)
		return fail(e, "steps_offset is %d, of %d timesteps", c->steps_offset, c->noise.n);
	return 0;
}

/* What is done to x0, by the classes that know the options. */
static int read_limits(struct sampler_config *c, const struct json *file, struct err *e)
{
	enum sampler_kind k = c->kind;
	int clips = k == SAMPLER_DDPM || k == SAMPLER_DDIM || k == SAMPLER_HEUN;
	int cuts = k == SAMPLER_DDPM || k == SAMPLER_DDIM || sampler_by_lambda(k);

	c->clip = clips && is_true(file, "clip_sample", k != SAMPLER_HEUN);
	c->clip_range = json_float(json_get(file, "clip_sample_range"), 1);
	c->threshold = cuts && is_true(file, "thresholding", 0);
	c->threshold_ratio = json_float(json_get(file, "dynamic_thresholding_ratio"), 0.995);
	c->threshold_max = json_float(json_get(file, "sample_max_value"), 1);
	if (!(c->threshold_ratio >= 0 && c->threshold_ratio <= 1))
		return fail(e, "dynamic_thresholding_ratio is %g, not between 0 and 1",
			    c->threshold_ratio);
	return 0;
}

static int read_variance(struct sampler_config *c, const struct json *file, struct err *e)
{
	static const char *const words[] = {
		"fixed_small", "fixed_small_log", "fixed_large", "learned_range"
	};
	const char *word = json_text(json_get(file, "variance_type"), "fixed_small");

	if (c->kind != SAMPLER_DDPM)
		return 0;
	for (int i = 0; i < 4; i++) {
		if (!strcmp(word, words[i])) {
			c->variance = (enum step_variance)i;
			return 0;
		}
	}
	return fail(e, "variance type '%s' is not supported (fixed_small, fixed_small_log, fixed_large, "
		    "learned_range)", word);
}

static int read_solver(struct sampler_config *c, const struct json *file,
		       const struct named_sampler *n, struct err *e)
{
	const char *algorithm = json_text(json_get(file, "algorithm_type"), "dpmsolver++");
	const char *type = json_text(json_get(file, "solver_type"), "");
	int most = c->kind == SAMPLER_DPM_SINGLE ? 2 : 3;

	c->sde = c->kind != SAMPLER_UNIPC && !strcmp(algorithm, "sde-dpmsolver++");
	if (n->sde < 0 && c->kind != SAMPLER_UNIPC && !c->sde && strcmp(algorithm, "dpmsolver++"))
		return fail(e, "algorithm type '%s' is not supported (dpmsolver++, sde-dpmsolver++)",
			    algorithm);
	if (n->sde >= 0)
		c->sde = n->sde;
	c->order = n->order > 0 ? n->order : (int)json_int(json_get(file, "solver_order"), 2);
	if (c->order < 1 || c->order > most)
		return fail(e, "solver order %d (1 to %d are supported)", c->order, most);
	c->heun_rule = !strcmp(type, "heun");
	c->bh1 = !strcmp(type, "bh1");
	c->lower_order_final = is_true(file, "lower_order_final", 1);
	c->euler_at_final = is_true(file, "euler_at_final", 0);
	c->final_sigma_min = ends_at_min(file);
	c->lambda_min = json_float(json_get(file, "lambda_min_clipped"), -INFINITY);
	return 0;
}

static const char *const sd1_file =
	"{\"beta_start\":0.00085,\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\","
	"\"steps_offset\":1,\"set_alpha_to_one\":false,\"skip_prk_steps\":true,\"clip_sample\":false}";

static int configure(struct sampler_config *c, const struct json *file,
		     const struct named_sampler *n, struct err *e)
{
	*c = (struct sampler_config){ .kind = n->kind, .churn_noise = 1 };
	if (noise_config_read(&c->noise, file, e) < 0 || check_file(file, c->kind, e) < 0 ||
	    read_spacing(c, file, e) < 0 || read_limits(c, file, e) < 0 ||
	    read_variance(c, file, e) < 0)
		return -1;
	c->alpha_to_one = is_true(file, "set_alpha_to_one", c->kind == SAMPLER_DDIM);
	if (n->karras > 0 || (n->karras < 0 && is_true(file, "use_karras_sigmas", 0)))
		c->spread = SIGMAS_KARRAS;
	else if (is_true(file, "use_exponential_sigmas", 0))
		c->spread = SIGMAS_EXPONENTIAL;
	if (c->kind == SAMPLER_EULER)
		c->final_sigma_min = ends_at_min(file);
	return sampler_by_lambda(c->kind) ? read_solver(c, file, n, e) : 0;
}

int sampler_configure(struct sampler_config *c, const struct json *file, const char *name,
		      struct err *e)
{
	struct json *own = NULL;
	const struct named_sampler *n;
	int ret;

	if (!name)
		name = json_text(json_get(file, "_class_name"), file ? "" : "ddim");
	n = find_name(name);
	if (!n)
		return fail(e, "sampler '%s' is unknown (ddim, pndm, euler_a, dpm++ 2m karras, unipc and others "
			    "are there)", name);
	if (!file && json_parse(&own, sd1_file, strlen(sd1_file), "the built-in options", e) < 0)
		return -1;
	ret = configure(c, file ? file : own, n, e);
	json_free(own);
	return ret;
}
