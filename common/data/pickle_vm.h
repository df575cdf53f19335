/*
 * The unpickler behind pickle.h: it runs pickle's stack machine over the bytes of a file and
 * makes a tree of values. It has no way to call anything: a REDUCE of a builder on the list in
 * pickle_names.c makes a tensor or a container here, one of a harmless name makes an opaque
 * value, and every other name is refused where it is mentioned.
 *
 * Values, their arrays and the storages belong to the unpickler and end with it. Texts point
 * into the file. The tree may share nodes and even hold itself (a hostile file), so whoever
 * walks it bounds depth and number of steps.
 */
#ifndef DATA_PICKLE_VM_H
#define DATA_PICKLE_VM_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/dtype.h"
#include "common/base/err.h"
#include "common/data/tensor.h"

enum pickle_kind {
	PV_NONE, PV_BOOL, PV_INT, PV_FLOAT, PV_TEXT, PV_BYTES, PV_LIST, PV_TUPLE, PV_SET, PV_DICT,
	PV_GLOBAL, PV_STORAGE, PV_TENSOR, PV_OPAQUE
};

enum pickle_builder {           /* what REDUCE of a global makes */
	PB_OPAQUE, PB_DICT, PB_SET, PB_TUPLE, PB_TENSOR, PB_TENSOR_OLD, PB_PARAMETER, PB_FROM_TYPE,
	PB_STORAGE_TYPE
};

struct pickle_text { const char *at; size_t len; };

struct pickle_value {
	enum pickle_kind kind;
	union {
		int64_t i;
		double f;
		struct pickle_text text;        /* PV_TEXT, PV_BYTES, and the module of
						 * PV_GLOBAL's sentence */
		struct {                        /* PV_DICT: key, value, key, value, ... */
			struct pickle_value **item;
			size_t n, cap;
		} many;
		struct { enum pickle_builder builder; enum dtype type; } global;
		size_t storage;                 /* index */
		struct pickle_tensor {
			size_t storage;
			int rank;
			/* elements */
			int64_t offset, side[TENSOR_RANK], stride[TENSOR_RANK];
		} *tensor;
	};
};

struct pickle_storage {
	struct pickle_text key;
	enum dtype type;
	int64_t count;          /* elements that tensors may use */
	int64_t root;           /* elements in the file (more than count for a view) */
	int64_t begin;          /* of a view, in elements */
	const unsigned char *at;        /* set by pickle.c once the values are found */
};

struct unpickler {
	const char *path;               /* for sentences */
	const unsigned char *at;        /* bytes, and where the machine is */
	size_t len, pos;
	struct pickle_value **stack, **memo;
	size_t n_stack, cap_stack, n_memo, cap_memo;
	size_t *mark;
	size_t n_mark, cap_mark;
	void **owned;                   /* everything that was allocated */
	size_t n_owned, cap_owned, bytes;
	struct pickle_storage *storage;
	size_t n_storage, cap_storage;
};

/* Run one pickle from u->pos to its STOP; u->pos is behind it then. */
int unpickle(struct unpickler *u, struct pickle_value **out, struct err *e);
void unpickler_release(struct unpickler *u);

/* The builder of a global; -1: refused, with its name in the sentence. */
int pickle_global(struct pickle_value *v, const char *path, struct pickle_text module,
		  struct pickle_text name, struct err *e);

/* Memory that ends with the unpickler; zeroed. */
void *pickle_alloc(struct unpickler *u, size_t n, size_t size);
int pickle_add(struct unpickler *u, struct pickle_value *to, struct pickle_value *item,
	       struct err *e);

/* A checkpoint of 2,500 weights with optimizer state makes some 200,000 values. */
#ifndef FUZZING
#define PICKLE_LIMIT ((size_t)1 << 22)
#define PICKLE_BYTES ((size_t)1 << 28)  /* of all values; a few bytes can copy a long list */
#else
#define PICKLE_LIMIT ((size_t)1000)
#define PICKLE_BYTES ((size_t)1 << 16)
#endif

/* pickle_stack.c: bytes of the file (-1: it ends there), values on the stack, marks. */
int pickle_take(struct unpickler *u, size_t n, const unsigned char **out, struct err *e);
int pickle_uint(struct unpickler *u, int bytes, uint64_t *out, struct err *e);
/* A length of `bytes` bytes, then the text. */
int pickle_counted(struct unpickler *u, int bytes, struct pickle_text *out, struct err *e);
int pickle_line(struct unpickler *u, struct pickle_text *out, struct err *e);
int pickle_push(struct unpickler *u, struct pickle_value *v, struct err *e);
/* A new value on the stack, or NULL. */
struct pickle_value *pickle_new(struct unpickler *u, enum pickle_kind kind, struct err *e);
/* The value `below` the top, which must lie above the last mark; NULL: there is none. */
struct pickle_value *pickle_top(struct unpickler *u, size_t below, struct err *e);
int pickle_pop(struct unpickler *u, struct pickle_value **out, struct err *e);
/* Where the values since the last mark begin; the mark is taken off. */
int pickle_mark(struct unpickler *u, size_t *from, struct err *e);

/* pickle_build.c: what REDUCE and BINPERSID make. */
int pickle_reduce(struct unpickler *u, const struct pickle_value *f,
		  const struct pickle_value *args, struct pickle_value *out, struct err *e);
int pickle_persistent(struct unpickler *u, const struct pickle_value *id, struct pickle_value *out,
		      struct err *e);
int pickle_damaged(const struct unpickler *u, struct err *e, const char *what);

#endif
