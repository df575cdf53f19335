#include "kernels/cuda/blas.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/library.h"

#define FUNCTIONS(X) X(Create) X(Destroy) X(Matmul) X(MatmulAlgoGetHeuristic) X(MatmulDescCreate) \
	X(MatmulDescDestroy) X(MatmulDescSetAttribute) X(MatrixLayoutCreate) X(MatrixLayoutDestroy) \
	X(MatrixLayoutSetAttribute) X(MatmulPreferenceCreate) X(MatmulPreferenceDestroy) \
	X(MatmulPreferenceSetAttribute) X(MatmulAlgoConfigGetAttribute) X(GetStatusString)

struct library {
#define FIELD(f) __typeof__(&cublasLt##f) f;
	FUNCTIONS(FIELD)
};

/* cuBLASLt's matrices go by columns, so its A is our w, its B our x, and rows and columns change names. */
struct plan {
	struct product key;     /* without addresses */
	int tf32;
	int align;              /* bytes that all addresses are multiples of, 16 at most */
	cublasLtMatmulDesc_t what;
	cublasLtMatrixLayout_t a, b, d;
	cublasLtMatmulAlgo_t algo;
	int chosen, told;
};

struct blas {
	struct library lib;
	cublasLtHandle_t handle;
	void *workspace;
	struct plan *plan;
	size_t n, cap;
};

static int library_load(struct library *lib, struct err *e)
{
	void *handle = library_open(BLAS_NAME), *at;

	if (!handle)
		return fail(e, BLAS_MISSING);
#define LOAD(f) \
	if (!(at = dlsym(handle, "cublasLt" #f))) \
		return fail(e, BLAS_NAME " has no 'cublasLt" #f "'"); \
	memcpy(&lib->f, &at, sizeof at);
	FUNCTIONS(LOAD)
	return 0;
}

static int check(struct blas *b, cublasStatus_t s, const char *what, struct err *e)
{
	return s == CUBLAS_STATUS_SUCCESS ? 0 : fail(e, "cuBLASLt: %s: %s", what, b->lib.GetStatusString(s));
}

int blas_find(struct err *e)
{
	return library_exists(BLAS_NAME) ? 0 : fail(e, BLAS_MISSING);
}

int blas_load(struct blas **out, struct err *e)
{
	struct blas *b = xcalloc(1, sizeof *b);
	int ret = library_load(&b->lib, e);

	*out = ret < 0 ? NULL : b;
	if (ret < 0)
		free(b);
	return ret;
}

int blas_open(struct blas **out, struct err *e)
{
	struct blas *b;
	int ret;

	*out = NULL;
	if (blas_load(&b, e) < 0)
		return -1;
	ret = check(b, b->lib.Create(&b->handle), "opening it", e);
	if (ret == 0 && cudaMalloc(&b->workspace, BLAS_WORKSPACE) != cudaSuccess) {
		cudaGetLastError();
		ret = fail(e, "no memory for cuBLASLt's %zu MB", BLAS_WORKSPACE >> 20);
	}
	if (ret < 0)
		blas_close(b);
	else
		*out = b;
	return ret;
}

static void plan_release(struct blas *b, const struct plan *p)
{
	if (p->what)
		b->lib.MatmulDescDestroy(p->what);
	if (p->a)
		b->lib.MatrixLayoutDestroy(p->a);
	if (p->b)
		b->lib.MatrixLayoutDestroy(p->b);
	if (p->d)
		b->lib.MatrixLayoutDestroy(p->d);
}

void blas_close(struct blas *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		plan_release(b, &b->plan[i]);
	free(b->plan);
	if (b->workspace)
		cudaFree(b->workspace);
	if (b->handle)
		b->lib.Destroy(b->handle);
	free(b);
}

/* ---- plans ---- */

static cudaDataType_t type_of(enum dtype t)
{
	return t == DT_BF16 ? CUDA_R_16BF : t == DT_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* The largest power of 2 up to 16 that the number is a multiple of. */
static int aligned_to(uintptr_t number)
{
	for (int by = 16; by > 1; by /= 2)
		if (number % (uintptr_t)by == 0)
			return by;
	return 1;
}

static int align_of(const struct product *p)
{
	const struct operand *const all[] = { &p->x, &p->w, &p->y, &p->add, &p->bias };
	int align = 16;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		uintptr_t step = p->batch > 1 ? (uintptr_t)all[i]->step * dtype_size(all[i]->type) : 0;

		if (all[i]->at && aligned_to((uintptr_t)all[i]->at | step) < align)
			align = aligned_to((uintptr_t)all[i]->at | step);
	}
	return align;
}

/* Addresses become "there" or "not there". */
static struct product key_of(const struct product *p)
{
	static char there;
	struct product k;
	struct operand *const to[] = { &k.x, &k.w, &k.y, &k.add, &k.bias };

	memcpy(&k, p, sizeof k);        /* padding as it is in a product that was set to 0 */
	for (size_t i = 0; i < sizeof to / sizeof *to; i++)
		to[i]->at = to[i]->at ? &there : NULL;
	return k;
}

static int same_operand(const struct operand *a, const struct operand *b)
{
	return a->at == b->at && a->type == b->type && a->turned == b->turned && a->ld == b->ld &&
		a->step == b->step;
}

static int same_key(const struct product *a, const struct product *b)
{
	return a->rows == b->rows && a->cols == b->cols && a->inner == b->inner && a->batch == b->batch &&
		same_operand(&a->x, &b->x) && same_operand(&a->w, &b->w) && same_operand(&a->y, &b->y) &&
		same_operand(&a->add, &b->add) && same_operand(&a->bias, &b->bias);
}

/* Of an operand with `rows` rows and `cols` columns in our sense. */
static int layout(struct blas *b, cublasLtMatrixLayout_t *out, const struct operand *o, int64_t rows,
		  int64_t cols, int64_t batch, struct err *e)
{
	int64_t down = o->turned ? rows : cols, across = o->turned ? cols : rows;
	int32_t count = (int32_t)batch;

	if (check(b, b->lib.MatrixLayoutCreate(out, type_of(o->type), (uint64_t)down, (uint64_t)across,
					       o->ld), "a matrix", e) < 0 ||
	    check(b, b->lib.MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
						     sizeof count), "a batch", e) < 0)
		return -1;
	return check(b, b->lib.MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
							&o->step, sizeof o->step), "a batch", e);
}

#define SET(what, name, value) \
	check(b, b->lib.MatmulDescSetAttribute(what, CUBLASLT_MATMUL_DESC_##name, &(value), sizeof(value)), \
	      "its " #name, e)

static int describe(struct blas *b, struct plan *p, struct err *e)
{
	cublasOperation_t ta = p->key.w.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t tb = p->key.x.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
	cudaDataType_t bias = type_of(p->key.bias.type);
	int rounded = p->tf32 && p->key.x.type == DT_F32;
	cublasComputeType_t compute = rounded ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
	const void *aligned = (const void *)256;

	if (check(b, b->lib.MatmulDescCreate(&p->what, compute, CUDA_R_32F), "a product", e) < 0 ||
	    SET(p->what, TRANSA, ta) < 0 || SET(p->what, TRANSB, tb) < 0)
		return -1;
	/* the address is another one each time; that there is one, algorithms want to see when they are chosen */
	if (p->key.bias.at && (SET(p->what, EPILOGUE, epilogue) < 0 || SET(p->what, BIAS_DATA_TYPE, bias) < 0 ||
			       SET(p->what, BIAS_POINTER, aligned) < 0))
		return -1;
	return layout(b, &p->a, &p->key.w, p->key.inner, p->key.cols, p->key.batch, e) < 0 ||
		layout(b, &p->b, &p->key.x, p->key.rows, p->key.inner, p->key.batch, e) < 0 ||
		layout(b, &p->d, &p->key.y, p->key.rows, p->key.cols, p->key.batch, e) < 0 ? -1 : 0;
}

/*
 * Split sums only by way of f32 in the workspace, added in order: the same bytes every time, and no
 * rounding to 16 bits between.
 */
static int prefer(struct blas *b, cublasLtMatmulPreference_t f, int align, struct err *e)
{
	static const cublasLtMatmulPreferenceAttributes_t sides[] = {
		CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
		CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
	};
	uint32_t by = (uint32_t)align, scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	size_t bytes = BLAS_WORKSPACE;

	for (int i = 0; i < 4; i++)
		if (check(b, b->lib.MatmulPreferenceSetAttribute(f, sides[i], &by, sizeof by),
			  "its alignment", e) < 0)
			return -1;
	if (check(b, b->lib.MatmulPreferenceSetAttribute(f, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
							 &scheme, sizeof scheme), "its sums", e) < 0)
		return -1;
	return check(b, b->lib.MatmulPreferenceSetAttribute(f, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
							    &bytes, sizeof bytes), "its workspace", e);
}

static int preference(struct blas *b, cublasLtMatmulPreference_t *f, int align, struct err *e)
{
	return check(b, b->lib.MatmulPreferenceCreate(f), "a preference", e) < 0 ? -1 : prefer(b, *f, align, e);
}

static int choose(struct blas *b, struct plan *p, struct err *e)
{
	cublasLtMatmulPreference_t f = NULL;
	cublasLtMatmulHeuristicResult_t found;
	int n = 0, ret = preference(b, &f, p->align, e);

	if (ret == 0 && (b->lib.MatmulAlgoGetHeuristic(b->handle, p->what, p->a, p->b, p->d, p->d, f, 1,
						       &found, &n) != CUBLAS_STATUS_SUCCESS || !n))
		ret = fail(e, "cuBLASLt has no way to multiply %lld x %lld by %lld x %lld in %s",
			   (long long)p->key.rows, (long long)p->key.inner, (long long)p->key.inner,
			   (long long)p->key.cols, dtype_name(p->key.x.type));
	if (ret == 0) {
		p->algo = found.algo;
		p->chosen = 1;
	}
	if (f)
		b->lib.MatmulPreferenceDestroy(f);
	return ret;
}

/* Described, but perhaps nothing is chosen yet. */
static struct plan *plan_described(struct blas *b, const struct product *p, int tf32, struct err *e)
{
	struct product key = key_of(p);
	int align = align_of(p);
	struct plan *plan;

	for (size_t i = 0; i < b->n; i++)
		if (b->plan[i].align == align && b->plan[i].tf32 == tf32 && same_key(&b->plan[i].key, &key))
			return &b->plan[i];
	b->plan = grow(b->plan, b->n, &b->cap, sizeof *b->plan);
	plan = &b->plan[b->n];
	*plan = (struct plan){ .key = key, .tf32 = tf32, .align = align };
	if (describe(b, plan, e) < 0) {
		plan_release(b, plan);
		return NULL;
	}
	b->n++;
	return plan;
}

static struct plan *plan_find(struct blas *b, const struct product *p, int tf32, struct err *e)
{
	struct plan *plan = plan_described(b, p, tf32, e);

	return plan && (plan->chosen || choose(b, plan, e) == 0) ? plan : NULL;
}

int blas_describe(struct blas *b, const struct product *p, int tf32, struct err *e)
{
	size_t known = b->n;
	cublasLtMatmulPreference_t f = NULL;
	const struct plan *plan = plan_described(b, p, tf32, e);
	int ret = !plan ? -1 : b->n == known ? 0 : preference(b, &f, plan->align, e);

	if (f)
		b->lib.MatmulPreferenceDestroy(f);
	return ret < 0 ? -1 : b->n > known;
}

int blas_run(struct blas *b, const struct product *p, int tf32, void *stream, struct err *e)
{
	struct plan *plan = plan_find(b, p, tf32, e);
	float one = p->add.at ? 1 : 0;

	if (!plan || (p->bias.at && SET(plan->what, BIAS_POINTER, p->bias.at) < 0))
		return -1;
	return check(b, b->lib.Matmul(b->handle, plan->what, &p->alpha, p->w.at, plan->a, p->x.at, plan->b,
				      &one, p->add.at ? p->add.at : p->y.at, plan->d, p->y.at, plan->d,
				      &plan->algo, b->workspace, BLAS_WORKSPACE, stream), "a product", e);
}

/* ---- what was chosen ---- */

static int config(struct blas *b, const struct plan *p, cublasLtMatmulAlgoConfigAttributes_t name)
{
	int value = -1;
	size_t written = 0;

	if (b->lib.MatmulAlgoConfigGetAttribute(&p->algo, name, &value, sizeof value, &written))
		return -1;
	return value;
}

void blas_report(struct blas *b, struct buf *out)
{
	for (size_t i = 0; b && i < b->n; i++) {
		struct plan *p = &b->plan[i];

		if (p->told || !p->chosen)
			continue;
		p->told = 1;
		buf_addf(out, "product %lldx %lld x %lld by %lld x %lld%s, %s%s: cuBLASLt's algorithm %d, tile %d, "
			 "stages %d, sums in %d parts\n", (long long)p->key.batch, (long long)p->key.rows, (long long)p->key.inner,
			 (long long)p->key.inner, (long long)p->key.cols, p->key.bias.at ? " with bias" : "",
			 dtype_name(p->key.x.type), p->tf32 && p->key.x.type == DT_F32 ? " as tf32" : "",
			 config(b, p, CUBLASLT_ALGO_CONFIG_ID), config(b, p, CUBLASLT_ALGO_CONFIG_TILE_ID),
			 config(b, p, CUBLASLT_ALGO_CONFIG_STAGES_ID), config(b, p, CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
	}
}
