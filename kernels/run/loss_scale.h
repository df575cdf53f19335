/*
 * What the loss is multiplied by in f16, where gradients below 6e-8 would be 0 and those above 65504
 * infinite: as torch.amp.GradScaler does it with its defaults. The scale begins at 2^16; a step whose
 * gradients are not finite changes nothing and halves it, 2000 good steps in a row double it.
 *
 * A skipped step is one of the steps that were asked for, but the schedule, the bias correction and the
 * averages count updates (as accelerate does: its scheduler does not move where the optimizer did not).
 */
#ifndef RUN_LOSS_SCALE_H
#define RUN_LOSS_SCALE_H

#include <stdint.h>

#define LOSS_SCALE_BEGIN 65536.0f
#define LOSS_SCALE_EVERY 2000

struct loss_scale {
	float scale;            /* of the next step */
	int64_t good;           /* steps in a row since it was changed or a step was skipped */
	int64_t skipped;        /* steps in all */
};

void loss_scale_begin(struct loss_scale *s);
/* A step is over: were its gradients finite? */
void loss_scale_next(struct loss_scale *s, int finite);

#endif
