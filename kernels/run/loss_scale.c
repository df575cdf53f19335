#include "kernels/run/loss_scale.h"

#include <math.h>

void loss_scale_begin(struct loss_scale *s)
{
	*s = (struct loss_scale){ .scale = LOSS_SCALE_BEGIN };
}

void loss_scale_next(struct loss_scale *s, int finite)
{
	if (!finite) {
		s->scale /= 2;
		s->good = 0;
		s->skipped++;
	} else if (++s->good == LOSS_SCALE_EVERY) {
		/* one over it has to be a normal number, too */
		s->scale = fminf(2 * s->scale, 0x1p126f);
		s->good = 0;
	}
}
