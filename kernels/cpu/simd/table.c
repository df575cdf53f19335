/*
 * The table of one instruction set.
 */
#include "kernels/cpu/simd/kernels.h"

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define K(op, name) [op] = ISA_NAME(k_##name)
#define S(op, name) [op] = ISA_NAME(s_##name)

const struct cpu_table ISA_NAME(cpu_table) = {
	.isa = TEXT(ISA),
	.peak = ISA_NAME(peak),
	.kernel = {
		K(OP_FILL, fill), K(OP_ADD, add), K(OP_MUL, mul), K(OP_SCALE, scale),
		K(OP_ACT, act), K(OP_ACT_DX, act_dx), K(OP_SUM_TO, sum_to), K(OP_CAST, cast),
		K(OP_LINEAR, linear), K(OP_LINEAR_DX, linear_dx), K(OP_LINEAR_DW, linear_dw),
		K(OP_CONV2D, conv2d), K(OP_CONV2D_DX, conv2d_dx), K(OP_CONV2D_DW, conv2d_dw),
		K(OP_UPSAMPLE, upsample), K(OP_UPSAMPLE_DX, upsample_dx), K(OP_CONCAT, concat),
		K(OP_SLICE, slice), K(OP_PAD_SLICE, pad_slice),
		K(OP_GROUP_NORM, group_norm), K(OP_GROUP_NORM_DX, group_norm_dx),
		K(OP_LAYER_NORM, layer_norm), K(OP_LAYER_NORM_DX, layer_norm_dx),
		K(OP_GEGLU, geglu), K(OP_GEGLU_DX, geglu_dx),
		K(OP_ATTENTION, attention), K(OP_ATTENTION_DX, attention_dx),
		K(OP_EMBED, embed), K(OP_EMBED_DW, embed_dw), K(OP_TIMESTEP, timestep),
		K(OP_DROPOUT, dropout),
		K(OP_MSE, mse), K(OP_MSE_DX, mse_dx), K(OP_SUMSQ, sumsq),
		K(OP_ADAMW, adamw), K(OP_ACCUM, accum), K(OP_EMA, ema),
	},
	.scratch = {
		S(OP_LINEAR, linear), S(OP_LINEAR_DX, linear_dx), S(OP_LINEAR_DW, linear_dw),
		S(OP_CONV2D, conv2d), S(OP_CONV2D_DX, conv2d_dx), S(OP_CONV2D_DW, conv2d_dw),
		S(OP_GROUP_NORM, group_norm), S(OP_GROUP_NORM_DX, group_norm_dx),
		S(OP_LAYER_NORM_DX, layer_norm_dx),
		S(OP_ATTENTION, attention), S(OP_ATTENTION_DX, attention_dx),
		S(OP_SUM_TO, sum_to), S(OP_MSE, mse), S(OP_SUMSQ, sumsq),
	},
};
