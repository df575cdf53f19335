/*
 * The way back from noise to a picture: which timesteps to ask the network about, and what to do
 * with its answers. The caller runs the network.
 *
 *	struct sampler_config c;
 *	struct sampler s = { 0 };
 *	sampler_configure(&c, scheduler_config, "dpm++ 2m karras", e);
 *	sampler_init(&s, &c, 30, samples, each, e);
 *	x = noise * s.init_sigma;               (or sampler_noise for a picture to start from)
 *	for (i = s.first; i < s.count; i++) {
 *		sampler_scale_input(&s, i, x, in);
 *		... out = network(in, sampler_timestep(&s, i))
 *		sampler_step(&s, i, out, NULL, x, &noise);
 *	}
 *	sampler_release(&s);
 *
 * x is `samples` runs of `each` f32 values in any layout. Coefficients are computed in f64 from the
 * f32 tables, as are the sums; what is kept between steps is f32. Nothing is allocated after
 * sampler_init.
 *
 * Steps asked for and calls made differ: Heun, DPM2 and DPM2 a call the network 2 n - 1 times, PNDM
 * n + 1 times (it makes its first step twice). s.count counts calls.
 *
 * Timesteps and results are those of diffusers' schedulers of the same options, with these
 * exceptions:
 *  - a rescaled schedule (zero terminal SNR) is used by every sampler, not only by those whose
 *    class knows the option;
 *    where sigma would be infinite, a = 2^-24 (sigma 4096) takes the place of 0;
 *  - DDIM's factor sqrt(1 - a - std^2) is 0 where rounding makes it a root of less than 0, not NaN;
 *  - trailing timesteps are always n (numpy's arange can give one more), and all timesteps are
 *    within the schedule;
 *  - the stochastic third order of DPM++ is k-diffusion's, whose last term vanishes with the step;
 *  - LMS started in the middle (img2img) uses the order for which it has derivatives.
 */
#ifndef RUN_SAMPLER_H
#define RUN_SAMPLER_H

#include "kernels/run/noise.h"

enum sampler_kind {
	SAMPLER_DDPM, SAMPLER_DDIM, SAMPLER_PNDM, SAMPLER_LMS, SAMPLER_EULER, SAMPLER_EULER_A,
	SAMPLER_HEUN, SAMPLER_DPM2, SAMPLER_DPM2_A, SAMPLER_DPM_MULTI, SAMPLER_DPM_SINGLE,
	SAMPLER_UNIPC
};

/*
 * Where the timesteps are: over the whole range with both ends; multiples of T / n; counted down
 * from T.
 */
enum spacing { SPACING_LINSPACE, SPACING_LEADING, SPACING_TRAILING };
enum sigma_spread { SIGMAS_OF_TIMESTEPS, SIGMAS_KARRAS, SIGMAS_EXPONENTIAL };

/*
 * DDPM's variance. LEARNED_RANGE: between the small and the large one, by the network's second
 * half.
 */
enum step_variance { VARIANCE_SMALL, VARIANCE_SMALL_LOG, VARIANCE_LARGE, VARIANCE_LEARNED_RANGE };

struct sampler_config {
	enum sampler_kind kind;
	struct noise_config noise;
	enum spacing spacing;
	enum sigma_spread spread;
	int steps_offset;               /* added to leading timesteps */
	int alpha_to_one;               /* before the start a = 1, else a[0] (DDIM, PNDM) */
	int clip;                       /* x0 to +- clip_range (DDPM, DDIM, Heun) */
	double clip_range;
	int threshold;                  /* x0 by quantile, instead of clip
					 * (DDPM, DDIM, DPM++, UniPC) */
	double threshold_ratio, threshold_max;
	enum step_variance variance;
	int order;                      /* DPM++, UniPC: 1..3 */
	int sde;                        /* DPM++: the stochastic form */
	int heun_rule;                  /* DPM++: solver type heun instead of midpoint */
	int bh1;                        /* UniPC: B(h) = h */
	int lower_order_final, euler_at_final;
	int final_sigma_min;            /* end at sigma[0] instead of 0 */
	double lambda_min;              /* DPM++: no log-SNR below this; -INFINITY */
	/* Not in files; 0 unless the user asks. */
	double eta;                     /* DDIM */
	double churn, churn_min, churn_max, churn_noise;        /* Euler; churn_max 0: no limit */
};

/*
 * From a scheduler_config.json and a name. `file` NULL: Stable Diffusion 1's. `name` NULL: the
 * class that the file names. Options that the file lacks are the class's defaults in diffusers (so
 * the spacing of DDPM, DDIM and PNDM is leading, that of the others linspace). PNDM runs its linear
 * multistep part alone. Names, in any case, blank, '-' and '_' alike:
 *	diffusers' class names
 *	kohya's         ddim pndm lms k_lms euler k_euler euler_a k_euler_a heun dpm_2 k_dpm_2
 *	                dpm_2_a k_dpm_2_a dpmsolver++ dpmsingle
 *	web UIs'        DDIM, PLMS, LMS [Karras], Euler [Karras], Euler a, Heun [Karras],
 *	                DPM2 [Karras], DPM2 a [Karras], DPM++ 2M [Karras], DPM++ 2M SDE [Karras],
 *	                DPM++ 2S, DPM++ 3M, DPM++ 3M SDE [Karras], UniPC [Karras], DDPM
 */
int sampler_configure(struct sampler_config *c, const struct json *file, const char *name,
		      struct err *e);

/* The i-th name of the table above for help texts, NULL after the last. */
const char *sampler_name(int i);
/* Are two names the same, in any case, with blank, '-' and '_' alike? */
int sampler_same_name(const char *a, const char *b);

/* Where noise comes from: fill out[samples * each] for call i. */
struct sampler_noise {
	void (*draw)(void *who, int i, float *out, int64_t n);
	void *who;
};

struct sampler {
	struct sampler_config c;
	struct noise_table table;
	int steps, count;       /* asked for; calls of the network */
	int first;              /* where to begin: 0, or later for a picture to start from */
	float *time;            /* [count], as the network gets it */
	float *sigma;           /* [steps + 1], falling; NULL for DDPM, DDIM, PNDM */
	float *middle;          /* [steps]: DPM2's points between; else NULL */
	float init_sigma;       /* what unit noise is multiplied by */
	int64_t samples, each;
	/* What is kept between steps. */
	int calls;              /* made since the beginning */
	int order_before;       /* UniPC */
	float *history[4];      /* newest first */
	float *saved;           /* x before a two-call step */
	float *drawn;           /* noise */
	float *sorted;          /* [each], for quantiles */
};

/*
 * Steps as spaced by the options: 1 <= steps <= timesteps of the noise schedule. -1: out of range,
 * or no memory.
 */
int sampler_init(struct sampler *s, const struct sampler_config *c, int steps, int64_t samples,
		 int64_t each, struct err *e);
/* With timesteps of the caller's own, falling: DDPM only. */
int sampler_init_list(struct sampler *s, const struct sampler_config *c, const int *time, int steps,
		      int64_t samples, int64_t each, struct err *e);
void sampler_release(struct sampler *s);

/* Forget the history: another batch with the same steps. */
void sampler_restart(struct sampler *s);

/*
 * Start from a picture: sets s->first so that about `strength` (0..1) of the steps are made, and
 * returns it. Less than one step leaves none (PNDM: one), and s->first may be s->count.
 */
int sampler_set_strength(struct sampler *s, double strength);
/* The first call whose timestep is below round(T - fraction T): where a refiner takes over. */
int sampler_split(const struct sampler *s, double fraction);
/* out = x with as much noise as call i expects. `out` may be x. n values; i < s->count. */
void sampler_noise(const struct sampler *s, int i, const float *x, const float *noise, float *out,
		   int64_t n);

float sampler_timestep(const struct sampler *s, int i);
/* in = x, divided by sqrt(sigma^2 + 1) for the samplers that work in sigmas. */
void sampler_scale_input(const struct sampler *s, int i, const float *x, float *in);
/* Whether call i draws noise (even where its factor is 0). */
int sampler_draws(const struct sampler *s, int i);

/*
 * x goes from before call i to after it. Calls follow each other without gaps. `variance`: the
 * network's second half (learned range), NULL where there is none. `noise` may be NULL where
 * sampler_draws says 0.
 */
void sampler_step(struct sampler *s, int i, const float *out, const float *variance, float *x,
		  const struct sampler_noise *noise);

#endif
