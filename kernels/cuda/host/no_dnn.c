/* No cuDNN, unless a test asks for the loops in its place (dnn.c). */
#include <stdlib.h>

#include "kernels/cuda/dnn/open.h"

int dnn_open(struct dnn **out, const struct dnn_options *o, struct err *e)
{
	(void)o;
	*out = NULL;
	e->text[0] = 0;         /* nothing to tell */
	return -1;
}

int dnn_version(char *out, size_t size, struct err *e)
{
	(void)out;
	(void)size;
	return fail(e, "there is no cuDNN for the host's threads");
}

void dnn_close(struct dnn *d)
{
	free(d);
}

void dnn_report(struct dnn *d, struct buf *out)
{
	(void)d;
	(void)out;
}
