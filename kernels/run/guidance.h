/*
 * Classifier-free guidance: two predictions, without and with the text, become one.
 */
#ifndef RUN_GUIDANCE_H
#define RUN_GUIDANCE_H

#include <stdint.h>

/* out = without + scale (with - without). `out` may be either input. */
void guide(const float *without, const float *with, float scale, float *out, int64_t n);

/*
 * Guided predictions are too contrasty where a schedule ends in pure noise. For each of `samples`
 * runs of `each` values: guided *= (1 - amount) + amount * std(with) / std(guided), std with n - 1
 * (Lin et al., "Common diffusion noise schedules and sample steps are flawed", 2023). In place.
 */
void guide_rescale(float *guided, const float *with, float amount, int64_t samples, int64_t each);

#endif
