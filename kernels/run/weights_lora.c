#include "kernels/run/weights.h"

#include <string.h>

/* The file is closed before the weights are used: values are copied. */
static int copy_tensor(struct tensor *to, const struct tensor *from, struct err *e)
{
	void *values;

	if (tensor_new(to, from->type, from->rank, from->side, &values, e) < 0)
		return -1;
	memcpy(values, from->at, (size_t)tensor_bytes(from));
	return 0;
}

static int add_module(struct lora_set *set, const struct lora_module *from, struct err *e)
{
	struct lora_module *to = lora_set_add(set, from->module);

	to->alpha = from->alpha;
	to->rank = from->rank;
	return copy_tensor(&to->a, &from->a, e) < 0 ||
		copy_tensor(&to->b, &from->b, e) < 0 ? -1 : 0;
}

int weights_add_lora_file(struct weights *w, const char *path, float multiplier, struct err *e)
{
	struct lora_set set = { .multiplier = multiplier };
	struct lora_file file = { 0 };
	int ret = -1;

	if (lora_read(&file, path, e) < 0)
		goto out;
	for (size_t i = 0; i < file.n; i++)
		if (add_module(&set, &file.at[i], e) < 0)
			goto out;
	weights_add_lora(w, &set);
	ret = 0;
out:
	lora_set_release(&set);
	lora_close(&file);
	return ret;
}
