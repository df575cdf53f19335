/*
 * What to draw: prompts from the command line or a file, with kohya's suffixes:
 *
 *	a sks dog in a bucket --n blurry --w 512 --h 768 --d 7 --l 7.5 --s 30 --ss euler_a
 *
 * n negative prompt, w width, h height, d seed, l guidance scale, s steps, ss sampler. A file has
 * one prompt a line; empty lines and those that begin with '#' are passed over.
 */
#ifndef STAGES_PROMPTS_H
#define STAGES_PROMPTS_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

struct prompt {
	char *text, *negative;          /* owned; negative "" if there is none */
	const char *sampler;            /* of sampler_name's table; NULL: the model's scheduler */
	int64_t width, height;          /* 0: the model's own size */
	int64_t steps;
	double scale;
	uint64_t seed;                  /* of picture 0; number i has seed + i */
};

struct prompts {
	struct prompt *at;
	size_t n, cap;
};

/* `otherwise` is what holds without suffixes (its text is not looked at). */
int prompts_add(struct prompts *p, const char *line, const struct prompt *otherwise, struct err *e);
/* A file without any prompt is a failure. Errors carry file and line. */
int prompts_add_file(struct prompts *p, const char *path, const struct prompt *otherwise,
		     struct err *e);
void prompts_release(struct prompts *p);

/* The name as sampler_name() has it, so that "Euler a" and "euler_a" are the same action. */
int prompt_sampler(const char *name, const char **out, struct err *e);

#endif
