#include <string.h>

#include "common/data/pickle_vm.h"

struct known {
	const char *module, *name;
	enum pickle_builder builder;
	enum dtype type;
};

/* Globals that make something. */
static const struct known builders[] = {
	{ "collections", "OrderedDict", PB_DICT, DT_NONE },
	{ "torch._utils", "_rebuild_tensor_v2", PB_TENSOR, DT_NONE },
	{ "torch._utils", "_rebuild_tensor", PB_TENSOR_OLD, DT_NONE },
	{ "torch._utils", "_rebuild_parameter", PB_PARAMETER, DT_NONE },
	{ "torch._tensor", "_rebuild_from_type_v2", PB_FROM_TYPE, DT_NONE },
	{ "torch", "Size", PB_TUPLE, DT_NONE },
	{ "__builtin__", "set", PB_SET, DT_NONE },
	{ "builtins", "set", PB_SET, DT_NONE },
	{ "__builtin__", "frozenset", PB_SET, DT_NONE },
	{ "builtins", "frozenset", PB_SET, DT_NONE },
	{ "torch", "FloatStorage", PB_STORAGE_TYPE, DT_F32 },
	{ "torch", "HalfStorage", PB_STORAGE_TYPE, DT_F16 },
	{ "torch", "BFloat16Storage", PB_STORAGE_TYPE, DT_BF16 },
	{ "torch", "DoubleStorage", PB_STORAGE_TYPE, DT_F64 },
	{ "torch", "LongStorage", PB_STORAGE_TYPE, DT_I64 },
	{ "torch", "IntStorage", PB_STORAGE_TYPE, DT_I32 },
	{ "torch", "ShortStorage", PB_STORAGE_TYPE, DT_I16 },
	{ "torch", "CharStorage", PB_STORAGE_TYPE, DT_I8 },
	{ "torch", "ByteStorage", PB_STORAGE_TYPE, DT_U8 },
	{ "torch", "BoolStorage", PB_STORAGE_TYPE, DT_BOOL },
};

/*
 * Names that training leaves in checkpoints beside the weights. They become opaque values. A name
 * "*" stands for the whole module; one that ends with '.' also for the modules below it.
 */
static const struct { const char *module, *name; } harmless[] = {
	{ "pytorch_lightning.callbacks.", "*" },
	{ "lightning.pytorch.callbacks.", "*" },
	{ "lightning_fabric.utilities.data", "AttributeDict" },
	{ "lightning.fabric.utilities.data", "AttributeDict" },
	{ "pytorch_lightning.utilities.parsing", "AttributeDict" },
	{ "omegaconf.", "*" },
	{ "argparse", "Namespace" },
	{ "typing", "Any" },
	{ "typing", "Union" },
	{ "typing", "Optional" },
	{ "collections", "defaultdict" },
	{ "collections", "Counter" },
	{ "collections", "deque" },
	{ "datetime", "*" },
	{ "pathlib", "Path" },
	{ "pathlib", "PosixPath" },
	{ "pathlib", "WindowsPath" },
	{ "pathlib", "PurePosixPath" },
	{ "_codecs", "encode" },
	{ "copy_reg", "_reconstructor" },
	{ "copyreg", "_reconstructor" },
	{ "numpy", "dtype" },
	{ "numpy", "ndarray" },
	{ "numpy.core.multiarray", "scalar" },
	{ "numpy.core.multiarray", "_reconstruct" },
	{ "numpy._core.multiarray", "scalar" },
	{ "numpy._core.multiarray", "_reconstruct" },
	{ "torch", "device" },
	{ "torch", "float32" }, { "torch", "float64" }, { "torch", "float16" }, { "torch", "bfloat16" },
	{ "torch", "int64" }, { "torch", "int32" }, { "torch", "int16" }, { "torch", "int8" },
	{ "torch", "uint8" }, { "torch", "bool" },
	{ "torch", "Tensor" },
	{ "torch.nn.parameter", "Parameter" },
	{ "torch.nn.parameter", "Buffer" },
	{ "torch.serialization", "_get_layout" },
	{ "__builtin__", "object" }, { "__builtin__", "dict" }, { "__builtin__", "list" },
	{ "__builtin__", "tuple" }, { "__builtin__", "int" }, { "__builtin__", "long" },
	{ "__builtin__", "float" }, { "__builtin__", "bool" }, { "__builtin__", "str" },
	{ "__builtin__", "unicode" }, { "__builtin__", "bytes" }, { "__builtin__", "bytearray" },
	{ "__builtin__", "complex" }, { "__builtin__", "slice" },
	{ "builtins", "object" }, { "builtins", "dict" }, { "builtins", "list" },
	{ "builtins", "tuple" }, { "builtins", "int" }, { "builtins", "float" },
	{ "builtins", "bool" }, { "builtins", "str" }, { "builtins", "bytes" },
	{ "builtins", "bytearray" }, { "builtins", "complex" }, { "builtins", "slice" },
};

static int is(struct pickle_text t, const char *s)
{
	return t.len == strlen(s) && !memcmp(t.at, s, t.len);
}

static int module_is(struct pickle_text t, const char *pattern)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] != '.')
		return is(t, pattern);
	return (t.len >= n && !memcmp(t.at, pattern, n)) ||
	       (t.len == n - 1 && !memcmp(t.at, pattern, n - 1));
}

int pickle_global(struct pickle_value *v, const char *path, struct pickle_text module,
		  struct pickle_text name, struct err *e)
{
	v->kind = PV_GLOBAL;
	for (size_t i = 0; i < sizeof builders / sizeof *builders; i++)
		if (is(module, builders[i].module) && is(name, builders[i].name)) {
			v->global.builder = builders[i].builder;
			v->global.type = builders[i].type;
			return 0;
		}
	v->global.builder = PB_OPAQUE;
	v->global.type = DT_NONE;
	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
		if (module_is(module, harmless[i].module) &&
		    (!strcmp(harmless[i].name, "*") || is(name, harmless[i].name)))
			return 0;
	return fail(e,
		"'%s': refuses to load '%.*s.%.*s': weights need no such name, and other programs might run it",
		path, (int)(module.len < 200 ? module.len : 200), module.at,
		(int)(name.len < 200 ? name.len : 200), name.at);
}
