/*
 * The log: a table of what each step did. It holds nothing that depends on the machine or the
 * clock, so that a run which was killed and went on has the same log. In fp16 a column tells what the
 * loss was multiplied by; a step whose grad_norm is inf or nan was skipped.
 */
#include <math.h>

#include "stages/train/train.h"

#define VALIDATION_TIMES 4

static int column(struct run *r, const char *name)
{
	return table_add_column(&r->log, name);
}

void log_step(struct run *r, int64_t done, float loss, float norm, float lr, float scale)
{
	size_t row;
	int step = column(r, "step"), l = column(r, "loss"), rate = column(r, "lr"), n = column(r, "grad_norm");

	column(r, "val_loss");
	row = table_add_row(&r->log);
	table_setf(&r->log, row, step, "%lld", (long long)done);
	table_setf(&r->log, row, l, "%.9g", (double)loss);
	table_setf(&r->log, row, rate, "%.9g", (double)lr);
	table_setf(&r->log, row, n, "%.9g", isnan(norm) ? (double)NAN : (double)norm);  /* of no sign */
	if (is_scaled(r))
		table_setf(&r->log, row, column(r, "loss_scale"), "%.9g", (double)scale);
}

/* As kohya: the interior points of six equal parts of the schedule. */
static int time_of(const struct run *r, int i)
{
	return r->noise.n * (i + 1) / (VALIDATION_TIMES + 1);
}

static int validation_loss(struct run *r, double *mean, struct err *e)
{
	int times = is_vae(r) ? 1 : VALIDATION_TIMES;
	double sum = 0;

	for (size_t i = 0; i < r->n_held; i++)
		for (int k = 0; k < times; k++) {
			float l;

			if (step_validate(r, &r->held[i], time_of(r, k),
					  (uint32_t)(i * VALIDATION_TIMES + (size_t)k), &l, e) < 0)
				return -1;
			sum += l;
		}
	*mean = sum / (double)(r->n_held * (size_t)times);
	return 0;
}

int log_validate(struct run *r, struct err *e)
{
	double mean;

	if (!r->n_held)
		return 0;
	if (validation_loss(r, &mean, e) < 0)
		return -1;
	if (!r->log.rows) {             /* before the first step */
		log_step(r, r->step, 0, 0, 0, r->scale.scale);
		table_set(&r->log, 0, column(r, "loss"), "");
		table_set(&r->log, 0, column(r, "lr"), "");
		table_set(&r->log, 0, column(r, "grad_norm"), "");
		if (is_scaled(r))
			table_set(&r->log, 0, column(r, "loss_scale"), "");
	}
	table_setf(&r->log, r->log.rows - 1, column(r, "val_loss"), "%.9g", mean);
	talk("step %lld: validation loss %.5f", (long long)r->step, mean);
	return 0;
}

int log_has_validation(const struct run *r)
{
	return r->log.rows && *table_get(&r->log, r->log.rows - 1, table_column(&r->log, "val_loss"));
}
