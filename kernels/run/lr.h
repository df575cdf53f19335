/*
 * Learning-rate schedules: a factor for the base rate by update, from update 0. Those of diffusers
 * and of kohya's trainers (who take four of theirs from transformers), with the same names:
 *
 *	constant                1
 *	constant_with_warmup    w, then 1                               w = step / warmup
 *	linear                  w, then down to 0 at `total`
 *	cosine                  w, then half a cosine wave down to 0    (rises again after `total`)
 *	cosine_with_restarts    w, then `cycles` of these; 0 after `total`
 *	polynomial              w, then (1 - p)^power down to 1e-7 / base, where it stays
 *	piecewise_constant      rules "1:10,0.1:20,0.05": 1 before update 10, 0.1 before 20, 0.05 then
 *	inverse_sqrt            w, then sqrt(timescale / (step - warmup + timescale)); without a
 *	                        timescale (0) it is the warm-up, or 10,000
 *	cosine_with_min_lr      w, then cosine with `cycles` half waves down to min_ratio
 *	warmup_stable_decay     min_ratio up to 1, 1, and in the last `decay` of `total` updates
 *	                        cosine down to min_ratio
 *
 * With any warm-up the first update has the rate 0 (that of warmup_stable_decay min_ratio).
 */
#ifndef RUN_LR_H
#define RUN_LR_H

#include <stdint.h>
#include "common/base/err.h"

enum lr_kind {
	LR_CONSTANT, LR_CONSTANT_WITH_WARMUP, LR_LINEAR, LR_COSINE, LR_COSINE_WITH_RESTARTS,
	LR_POLYNOMIAL, LR_PIECEWISE_CONSTANT, LR_INVERSE_SQRT, LR_COSINE_WITH_MIN_LR,
	LR_WARMUP_STABLE_DECAY
};

#define LR_RULES 32

struct lr {                     /* {0} is the constant schedule */
	enum lr_kind kind;
	double base;            /* the rate; only polynomial depends on it */
	int64_t warmup, total;  /* updates; total: warm-up and all */
	double cycles;          /* 1 unless said otherwise */
	double power;           /* 1 */
	int64_t timescale, decay;
	double min_ratio;
	struct {
		int64_t before;
		double factor;
	} rule[LR_RULES];       /* by `before`, rising */
	int rules;
	double after;           /* the factor after all rules */
};

/* "constant", ...; -1: unknown, with the names. */
int lr_kind_of_name(const char *name, enum lr_kind *out, struct err *e);
const char *lr_kind_name(enum lr_kind k);

/* The text of piecewise_constant. */
int lr_rules(struct lr *s, const char *text, struct err *e);

/* A number of updates as users give it: "500", "0.1" or "10%" of total. */
int lr_updates(const char *text, int64_t total, int64_t *out, struct err *e);

/* Do the numbers make a schedule? Before the first lr_factor. */
int lr_check(const struct lr *s, struct err *e);

double lr_factor(const struct lr *s, int64_t step);

#endif
