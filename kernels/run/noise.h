/*
 * The forward process: how much of a picture is left at timestep t, 0 <= t < n.
 *
 *	x_t = sqrt(a[t]) x + sqrt(1 - a[t]) noise            a = product of (1 - beta)
 *	velocity = sqrt(a[t]) noise - sqrt(1 - a[t]) x
 *	snr[t] = a[t] / (1 - a[t])      sigma[t] = sqrt(1 / snr[t])
 *
 * The tables are those of PyTorch to the last bit: betas in f32 by its linspace, 1 - beta in f32,
 * the running product in f64 with each entry rounded to f32. It matters: at t = 0 one unit in the
 * last place of a is 7e-5 of the SNR.
 *
 * snr and sigma are computed in f32 as there: (sqrt(a) / sqrt(1 - a))^2 and sqrt((1 - a) / a).
 *
 * Zero terminal SNR moves sqrt(a) so that the last one is 0 and the first one stays; betas are
 * rebuilt from that and the product taken anew, in f32.
 */
#ifndef RUN_NOISE_H
#define RUN_NOISE_H

#include <stdint.h>
#include "common/base/dtype.h"
#include "common/base/err.h"
#include "common/data/json.h"

enum beta_schedule { BETA_LINEAR, BETA_SCALED_LINEAR, BETA_COSINE };

/* What the network's output stands for. */
enum prediction { PREDICT_EPSILON, PREDICT_V, PREDICT_SAMPLE };

struct noise_config {
	int n;                          /* timesteps, 1000 */
	enum beta_schedule schedule;
	double beta_start, beta_end;    /* not used by the cosine schedule */
	int zero_snr;                   /* rescale to zero terminal SNR */
	enum prediction predict;
};

/* Stable Diffusion 1: 1000 steps, scaled linear from 0.00085 to 0.012, epsilon. */
extern const struct noise_config noise_sd1;

/*
 * The entries of a scheduler_config.json. What the file lacks is what diffusers assumes then
 * (linear, 0.0001 to 0.02, 1000 steps, epsilon). -1: an unknown word, trained betas, a number out
 * of range.
 */
int noise_config_read(struct noise_config *c, const struct json *file, struct err *e);

/* "epsilon" | "v_prediction" | "sample"; -1 for another word. */
int prediction_of_name(const char *name, enum prediction *out, struct err *e);
const char *prediction_name(enum prediction p);

struct noise_table {                    /* {0} is none */
	int n;
	float *beta;
	float *a;                       /* alphas_cumprod */
};

int noise_init(struct noise_table *s, const struct noise_config *c, struct err *e);
void noise_release(struct noise_table *s);

double noise_snr(const struct noise_table *s, int t);           /* infinite where a = 1 */
double noise_sigma(const struct noise_table *s, int t);         /* infinite where a = 0 */

/*
 * out[n] = x_t, or the velocity, of one sample. f32 coefficients and sums. `out` may be x or noise.
 */
void noise_add(const struct noise_table *s, int t, const float *x, const float *noise, float *out,
	       int64_t n);
void noise_velocity(const struct noise_table *s, int t, const float *x, const float *noise,
		    float *out, int64_t n);

/*
 * The same as a trainer does it that keeps all of this in bf16 or f16: the table, 1 - a, both
 * roots, both products and the sum are each rounded to `type`. In bf16 a[0] and a[1] become 1: no
 * noise at all there.
 */
void noise_add_as(const struct noise_table *s, enum dtype type, int t, const float *x,
		  const float *noise, float *out, int64_t n);
void noise_velocity_as(const struct noise_table *s, enum dtype type, int t, const float *x,
		       const float *noise, float *out, int64_t n);

/* What the network should have said: noise, velocity or x itself. */
void noise_target(const struct noise_table *s, enum prediction p, int t, const float *x,
		  const float *noise, float *out, int64_t n);

#endif
