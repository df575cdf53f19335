#include "kernels/cuda/dnn/parts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

int made_check(struct made *m, cudnnStatus_t s, const char *what)
{
	char more[256] = "";

	if (s == CUDNN_STATUS_SUCCESS)
		return 0;
	if (!m->failed) {
		m->c->GetLastErrorString(more, sizeof more);
		fail(&m->why, "cuDNN: %s: %s%s%s", what, m->c->GetErrorString(s), *more ? ": " : "", more);
	}
	m->failed = 1;
	return -1;
}

desc made_new(struct made *m, cudnnBackendDescriptorType_t type)
{
	desc d = NULL;

	if (m->failed || made_check(m, m->c->BackendCreateDescriptor(type, &d), "a descriptor") < 0)
		return NULL;
	m->all = grow(m->all, m->n, &m->cap, sizeof *m->all);
	m->all[m->n++] = d;
	return d;
}

desc made_done(struct made *m, desc d)
{
	if (!m->failed)
		made_check(m, m->c->BackendFinalize(d), "a description");
	return d;
}

void made_release(struct made *m)
{
	while (m->n)
		m->c->BackendDestroyDescriptor(m->all[--m->n]);
	free(m->all);
	m->all = NULL;
	m->cap = 0;
}

void made_move(struct made *to, struct made *from)
{
	for (size_t i = 0; i < from->n; i++) {
		to->all = grow(to->all, to->n, &to->cap, sizeof *to->all);
		to->all[to->n++] = from->all[i];
	}
	from->n = 0;
}

void set_many(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
	      int64_t n, const void *values)
{
	char what[32];

	if (m->failed)
		return;
	snprintf(what, sizeof what, "attribute %d", (int)name);
	made_check(m, m->c->BackendSetAttribute(d, name, type, n, values), what);
}

void set_desc(struct made *m, desc d, cudnnBackendAttributeName_t name, desc value)
{
	set_many(m, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void set_long(struct made *m, desc d, cudnnBackendAttributeName_t name, int64_t value)
{
	set_many(m, d, name, CUDNN_TYPE_INT64, 1, &value);
}

void set_float(struct made *m, desc d, cudnnBackendAttributeName_t name, float value)
{
	set_many(m, d, name, CUDNN_TYPE_FLOAT, 1, &value);
}

void set_type(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnDataType_t value)
{
	set_many(m, d, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

int64_t get_many(struct made *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
		 int64_t n, void *values)
{
	int64_t count = 0;

	if (m->failed || made_check(m, m->c->BackendGetAttribute(d, name, type, n, &count, values),
				    "an answer") < 0)
		return -1;
	return count;
}

cudnnDataType_t data_type(enum dtype t)
{
	return t == DT_BF16 ? CUDNN_DATA_BFLOAT16 : t == DT_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

desc make_tensor(struct made *m, int64_t uid, struct shape s, cudnnDataType_t type, enum place place)
{
	desc d = made_new(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
	bool yes = true;

	set_type(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
	set_many(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, s.dim);
	set_many(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, s.step);
	set_long(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
	set_long(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
	if (place != REAL)
		set_many(m, d, place == VIRTUAL ? CUDNN_ATTR_TENSOR_IS_VIRTUAL : CUDNN_ATTR_TENSOR_IS_BY_VALUE,
			 CUDNN_TYPE_BOOLEAN, 1, &yes);
	return made_done(m, d);
}

desc make_point(struct made *m, const struct point *p)
{
	desc how = made_new(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;

	set_many(m, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &p->mode);
	set_type(m, how, CUDNN_ATTR_POINTWISE_MATH_PREC, p->type);
	if (p->axis)
		set_long(m, how, CUDNN_ATTR_POINTWISE_AXIS, p->axis);
	made_done(m, how);
	op = made_new(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
	set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, p->x);
	if (p->b)
		set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, p->b);
	set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, p->y);
	if (p->t)
		set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, p->t);
	return made_done(m, op);
}

desc make_pointwise(struct made *m, cudnnPointwiseMode_t mode, cudnnDataType_t type, desc x, desc b, desc y)
{
	struct point p = { .mode = mode, .type = type, .x = x, .b = b, .y = y };

	return make_point(m, &p);
}
