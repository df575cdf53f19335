#include "stages/shared/loras.h"

#include "common/base/text.h"

int loras_check(const struct opt_list *lora, const struct opt_list *weight, struct err *e)
{
	double value;

	if (weight->n > lora->n)
		return fail(e, "--lora-weight is given %d times and --lora %d times; each weight belongs to the --lora at its place",
			    weight->n, lora->n);
	for (int i = 0; i < weight->n; i++)
		if (text_float(weight->at[i], &value) < 0)
			return fail(e, "--lora-weight is '%s', a number is wanted", weight->at[i]);
	return 0;
}

float loras_weight(const struct opt_list *weight, int i)
{
	double value = 1;

	if (i < weight->n)
		text_float(weight->at[i], &value);
	return (float)value;
}
