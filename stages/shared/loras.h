/*
 * The options --lora and --lora-weight, which stand in pairs: the n-th weight belongs to the n-th
 * file, and files without one have the weight 1.
 */
#ifndef STAGES_LORAS_H
#define STAGES_LORAS_H

#include "common/base/err.h"
#include "common/base/opt.h"

/* For a stage's check: no more weights than files, all of them numbers. */
int loras_check(const struct opt_list *lora, const struct opt_list *weight, struct err *e);
/* After the check: the weight of file i. */
float loras_weight(const struct opt_list *weight, int i);

#endif
