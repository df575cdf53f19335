/*
 * A golden model's networks on the CPU backend: config and weights straight from its folder, so
 * that these cases test the builders, gradients and kernels and nothing else.
 */
#ifndef GOLDEN_NETWORK_H
#define GOLDEN_NETWORK_H

#include "kernels/model/model.h"
#include "kernels/run/session.h"
#include "tests/golden/golden.h"

/* Is the case's model one of the families that are built? */
int network_is_ours(const struct gcase *c);

/* The config file of a part ("unet") of the case's model. json_free it. */
int network_config(struct gcase *c, const char *part, struct json **out, struct err *e);

/* Put all weights of a part into the pool, under "unet.", "vae." or "text_encoder." + text_model level. */
int network_weights(struct gcase *c, const char *part, struct pool *p, struct err *e);

/*
 * Compare values in the files' layout with "KIND.NAME", or
 * with its sample and norm where those were recorded.
 */
int network_compare(struct gcase *c, const char *kind, const char *name, const float *v, int64_t n,
		    double rtol, double floor, struct err *e);

/* The largest absolute value among the recorded "KIND.*" and "KIND_sample.*" tensors. */
double network_largest(struct gcase *c, const char *kind);

#endif
