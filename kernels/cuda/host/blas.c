/* kernels/cuda/blas.h, by loops over products, in the stream's order. */
#include "kernels/cuda/blas.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

struct blas {
	void *workspace;
};

int blas_find(struct err *e)
{
	const char *knobs = getenv("BOOTH_HOST_CUDA");

	return knobs && strstr(knobs, "no-blas") ? fail(e, BLAS_MISSING) : 0;
}

int blas_open(struct blas **out, struct err *e)
{
	*out = xcalloc(1, sizeof **out);
	return cudaMalloc(&(*out)->workspace, BLAS_WORKSPACE) == cudaSuccess ? 0 : fail(e, "no memory for the workspace");
}

static void run(const void *data)
{
	host_product(data);
}

int blas_run(struct blas *b, const struct product *p, int tf32, void *stream, struct err *e)
{
	(void)b;
	(void)tf32;
	(void)e;
	host_enqueue(stream, run, p, sizeof *p);
	return 0;
}

void blas_close(struct blas *b)
{
	if (b)
		cudaFree(b->workspace);
	free(b);
}

int blas_load(struct blas **out, struct err *e)
{
	*out = NULL;
	return fail(e, "this build is without cuBLASLt: its headers were not found");
}

int blas_describe(struct blas *b, const struct product *p, int tf32, struct err *e)
{
	(void)b;
	(void)p;
	(void)tf32;
	return fail(e, "loops want no descriptions");
}

void blas_report(struct blas *b, struct buf *out)
{
	(void)b;
	(void)out;
}
