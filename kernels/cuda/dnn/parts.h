/* What the files that call cuDNN share: its functions, descriptors as they are made, plans. */
#ifndef CUDA_DNN_PARTS_H
#define CUDA_DNN_PARTS_H
#if __has_include(<cudnn.h>) && __has_include(<cuda_runtime_api.h>)

#include <cudnn.h>
#include "kernels/cuda/dnn/open.h"

#define DNN_FUNCTIONS(X) X(GetVersion) X(GetErrorString) X(GetLastErrorString) X(Create) X(Destroy) \
	X(SetStream) X(BackendCreateDescriptor) X(BackendDestroyDescriptor) X(BackendSetAttribute) \
	X(BackendGetAttribute) X(BackendFinalize) X(BackendExecute)

typedef cudnnBackendDescriptor_t desc;

/* Descriptors that live and die together. The first failure is kept, and all that follows does nothing. */
struct made {
	struct cudnn *c;
	cudnnHandle_t handle;   /* what they are made with; NULL: plans only */
	desc *all;
	size_t n, cap;
	int failed;
	struct err why;
};

struct plan {
	struct filter filter;   /* what it is for, without addresses: one of the two */
	struct heads heads;
	int is_heads, taken, told;
	struct made made;
	desc what;              /* cuDNN's execution plan; taken */
	int64_t bytes;          /* its workspace */
	int64_t engine;
	unsigned notes;         /* bit i: numerical note i */
};

struct cudnn {
	struct dnn dnn;         /* first: its functions get at the rest through it */
#define DNN_FIELD(f) __typeof__(&cudnn##f) f;
	DNN_FUNCTIONS(DNN_FIELD)
	size_t version;         /* 91900 is 9.19.0 */
	cudnnHandle_t handle;   /* what runs; NULL: plans only */
	struct dnn_options with;
	cudnnHandle_t *helper;  /* handles of threads that made plans */
	size_t helpers, helper_cap;
	struct made given;      /* the device that they are for, then */
	desc device;
	struct buf profile;     /* all about the device, as text; empty: plans are not kept */
	struct plan *plan;
	size_t n, cap;
};

/* ---- make.c ---- */
desc made_new(struct made *m, cudnnBackendDescriptorType_t type);
desc made_done(struct made *m, desc d);         /* d, finalized */
void made_release(struct made *m);
void made_move(struct made *to, struct made *from);
void set_many(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
	      int64_t n, const void *values);
void set_desc(struct made *m, desc d, cudnnBackendAttributeName_t name, desc value);
void set_long(struct made *m, desc d, cudnnBackendAttributeName_t name, int64_t value);
void set_float(struct made *m, desc d, cudnnBackendAttributeName_t name, float value);
void set_type(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnDataType_t value);
/* How many elements d's attribute has; at most n are copied. -1 on failure. */
int64_t get_many(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
		 int64_t n, void *values);
int made_check(struct made *m, cudnnStatus_t s, const char *what);

enum place { REAL, VIRTUAL, BY_VALUE }; /* bound when it is run; inside of the graph; a scalar of the host */
struct shape { int64_t dim[4], step[4]; };

desc make_tensor(struct made *m, int64_t uid, struct shape s, cudnnDataType_t type, enum place place);
struct point {                  /* an operation for each number; absent: NULL, axis 0 */
	cudnnPointwiseMode_t mode;
	cudnnDataType_t type;   /* computed in */
	int64_t axis;
	desc x, b, y, t;
};
desc make_point(struct made *m, const struct point *p);
/* y = x MODE b, b NULL where the mode takes one; done in f32, or in what `type` says. */
desc make_pointwise(struct made *m, cudnnPointwiseMode_t mode, cudnnDataType_t type, desc x, desc b, desc y);
cudnnDataType_t data_type(enum dtype t);

/* ---- plan.c ---- */
struct wanted {
	unsigned refused;       /* numerical notes, as bits */
	int compiled;           /* engines that are compiled at run time may do */
	int64_t least, most;    /* bytes of workspace */
};
#define NOTE(name) (1u << CUDNN_NUMERICAL_NOTE_##name)

/* The first engine for these operations that will do: what, bytes, engine and notes of p; -1: none. */
int plan_choose(struct plan *p, const desc *ops, int n, const struct wanted *w);
/* Runs it with a value at each of n unique ids. */
int plan_run(struct cudnn *c, struct plan *p, int n, const int64_t *uid, void *const *at, void *scratch,
	     struct err *e);

/* ---- plans.c ---- */
int64_t plans_filter(struct dnn *d, const struct filter *f);
int64_t plans_heads(struct dnn *d, const struct heads *h);
void plans_prepare(struct dnn *d, const struct heads *h, size_t n);
int plans_run_filter(struct dnn *d, const struct filter *f, void *scratch, struct err *e);
int plans_run_heads(struct dnn *d, const struct heads *h, void *scratch, struct err *e);

static inline struct cudnn *cudnn_of(struct dnn *d)
{
	return (struct cudnn *)(void *)d;
}

/* ---- keep.c ---- */
void keep_open(struct cudnn *c);
int keep_load(struct plan *p);          /* 1: it was kept, and is as if it had been made */
void keep_save(struct plan *p);
void keep_drop(const struct plan *p);

/* ---- open.c ---- */
void plan_describe(struct buf *out, const struct plan *p);

/* ---- filter.c, heads.c ---- */
int filter_plan(struct plan *p);        /* p->filter, p->heads tell what; -1: not taken, p->made says why */
int filter_run(struct cudnn *c, struct plan *p, const struct filter *f, void *scratch, struct err *e);
int heads_plan(struct plan *p);
int heads_run(struct cudnn *c, struct plan *p, const struct heads *h, void *scratch, struct err *e);
int64_t heads_bytes(const struct plan *p);      /* workspace and what is ours */

#endif
#endif
