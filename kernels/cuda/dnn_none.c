/* In place of kernels/cuda/dnn, where cuDNN's headers were not found when this was built. */
#include "kernels/cuda/dnn/open.h"

int dnn_open(struct dnn **out, const struct dnn_options *o, struct err *e)
{
	(void)o;
	*out = NULL;
	return fail(e, "this build of booth-cuda.so is without cuDNN: its headers were not found");
}

int dnn_version(char *out, size_t size, struct err *e)
{
	const struct dnn_options o = { 0 };
	struct dnn *none;

	(void)out;
	(void)size;
	return dnn_open(&none, &o, e);
}

void dnn_close(struct dnn *d)
{
	(void)d;
}

void dnn_report(struct dnn *d, struct buf *out)
{
	(void)d;
	(void)out;
}
