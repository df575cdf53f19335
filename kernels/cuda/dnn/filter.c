/* Convolutions as cuDNN's operations. Its tensors have their sides in the order n, c, h, w, however they lie. */
#include "kernels/cuda/dnn/parts.h"

enum { X = 1, FILTER, Y, BIAS, ADD, SUM, BOTH };

#define MOST ((int64_t)512 << 20)

/* [a][h][w][c] of ours */
static struct shape nhwc(int64_t a, int64_t h, int64_t w, int64_t c)
{
	return (struct shape){ { a, c, h, w }, { h * w * c, 1, w * c, c } };
}

static desc make_conv(struct made *m, const struct filter *f)
{
	desc d = made_new(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
	int64_t one[2] = { 1, 1 }, stride[2] = { f->stride, f->stride };
	int64_t before[2] = { f->top, f->left }, after[2] = { f->bottom, f->right };

	set_type(m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
	set_many(m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	set_long(m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
	set_many(m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, one);
	set_many(m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
	set_many(m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
	set_many(m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
	return made_done(m, d);
}

/* The names of one way's attributes. */
struct names {
	cudnnBackendDescriptorType_t op;
	cudnnBackendAttributeName_t conv, x, filter, y, alpha, beta;
};

static const struct names names[] = {
	[FILTER_FORWARD] = {
		CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
	},
	[FILTER_DX] = {
		CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
	},
	[FILTER_DW] = {
		CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
	},
};

/* The convolution itself; y is what it makes, or reads. */
static desc make_op(struct made *m, const struct filter *f, desc y)
{
	const struct names *is = &names[f->way];
	desc x = make_tensor(m, X, nhwc(f->n, f->h, f->w, f->c), data_type(f->x.type), REAL);
	desc w = make_tensor(m, FILTER, nhwc(f->k, f->r, f->s, f->c), data_type(f->filter.type), REAL);
	desc conv = make_conv(m, f), op = made_new(m, is->op);

	set_desc(m, op, is->conv, conv);
	set_desc(m, op, is->x, x);
	set_desc(m, op, is->filter, w);
	set_desc(m, op, is->y, y);
	set_float(m, op, is->alpha, 1);
	set_float(m, op, is->beta, f->onto ? 1 : 0);
	return made_done(m, op);
}

/*
 * The order that its engines for convolutions with a bias know: first what is added, then the bias, in f32
 * between. Another order, or bf16 between, is a graph that has to be compiled.
 */
static int make_fused(struct made *m, const struct filter *f, desc ops[3])
{
	struct shape s = nhwc(f->n, f->i, f->j, f->k);
	desc sum = make_tensor(m, SUM, s, CUDNN_DATA_FLOAT, VIRTUAL);
	desc y = make_tensor(m, Y, s, data_type(f->y.type), REAL), b;
	int n = 0;

	ops[n++] = make_op(m, f, sum);
	if (f->add.at) {
		desc both = f->bias.at ? make_tensor(m, BOTH, s, CUDNN_DATA_FLOAT, VIRTUAL) : y;

		b = make_tensor(m, ADD, s, data_type(f->add.type), REAL);
		ops[n++] = make_pointwise(m, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, sum, b, both);
		sum = both;
	}
	if (f->bias.at) {
		b = make_tensor(m, BIAS, nhwc(1, 1, 1, f->k), data_type(f->bias.type), REAL);
		ops[n++] = make_pointwise(m, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, sum, b, y);
	}
	return n;
}

/*
 * f32 means f32 unless tf32 is asked for. Transforms (Winograd's, Fourier's) lose digits: 16-bit numbers
 * have none to spare, and who asks for f32 wants them.
 */
static unsigned refused(const struct filter *f)
{
	unsigned always = NOTE(NONDETERMINISTIC) | NOTE(REDUCED_PRECISION_REDUCTION) | NOTE(FFT) | NOTE(WINOGRAD) |
		NOTE(WINOGRAD_TILE_4x4) | NOTE(WINOGRAD_TILE_6x6) | NOTE(WINOGRAD_TILE_13x13);
	enum dtype t = f->way == FILTER_FORWARD ? f->x.type : f->y.type;

	return t != DT_F32 || f->tf32 ? always : always | NOTE(TENSOR_CORE) | NOTE(DOWN_CONVERT_INPUTS);
}

int filter_plan(struct plan *p)
{
	const struct filter *f = &p->filter;
	struct wanted w = { .refused = refused(f), .most = MOST };
	struct made *m = &p->made;
	desc ops[3];
	int n = 1;

	if (f->fused)
		n = make_fused(m, f, ops);
	else
		ops[0] = make_op(m, f, make_tensor(m, Y, nhwc(f->n, f->i, f->j, f->k), data_type(f->y.type), REAL));
	return plan_choose(p, ops, n, &w);
}

int filter_run(struct cudnn *c, struct plan *p, const struct filter *f, void *scratch, struct err *e)
{
	int64_t uid[5] = { X, FILTER, Y };
	void *at[5] = { f->x.at, f->filter.at, f->y.at };
	int n = 3;

	if (f->bias.at) {
		uid[n] = BIAS;
		at[n++] = f->bias.at;
	}
	if (f->add.at) {
		uid[n] = ADD;
		at[n++] = f->add.at;
	}
	return plan_run(c, p, n, uid, at, scratch, e);
}
