/* How a picture was made, as web UIs write it into a PNG's text chunk "parameters". */
#ifndef STAGES_PARAMETERS_H
#define STAGES_PARAMETERS_H

#include "common/base/buf.h"
#include "kernels/run/pipeline.h"

/* "DPM++ 2M Karras" */
void sampler_title(char out[64], const struct sampler_config *c);

struct parameters {
	const struct sample_options *o;
	const char *sampler;            /* its title */
	uint64_t seed;                  /* of this picture */
	const struct oid *model;
	const struct oid *weights;      /* the table of trained weights, or NULL */
	int loras;
};

/*
 *	a sks dog
 *	Negative prompt: blurry
 *	Steps: 30, Sampler: Euler a, CFG scale: 7.5, Seed: 42, Size: 512x512, (in one line:)
 *	Model hash: 1f0c9a52b1, Clip skip: 2
 *
 * The hashes are the first ten digits of the store's, not of SHA-256.
 */
void parameters_text(struct buf *out, const struct parameters *p);

#endif
