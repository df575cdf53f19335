/*
 * In place of NVIDIA's driver where plans are made for a GPU that is not there (tests/unit/dnn.c): there is
 * no device, and every program that is loaded has every kernel. All that is not asked while plans are made
 * fails.
 */
#define NO_DEVICE 100

static int there;

int cuLibraryLoadData(void **library);
int cuLibraryUnload(void);
int cuLibraryGetKernel(void **kernel);
int cuKernelGetAttribute(int *value);
int cuKernelSetAttribute(void);
int cuDeviceGetCount(int *n);
int cuGetErrorString(int code, const char **text);
int cuGetErrorName(int code, const char **text);

int cuLibraryLoadData(void **library)
{
	*library = &there;
	return 0;
}

int cuLibraryUnload(void)
{
	return 0;
}

int cuLibraryGetKernel(void **kernel)
{
	*kernel = &there;
	return 0;
}

int cuKernelGetAttribute(int *value)
{
	*value = 128;
	return 0;
}

int cuKernelSetAttribute(void)
{
	return 0;
}

int cuDeviceGetCount(int *n)
{
	*n = 0;
	return NO_DEVICE;
}

int cuGetErrorString(int code, const char **text)
{
	(void)code;
	*text = "there is no device";
	return 0;
}

int cuGetErrorName(int code, const char **text)
{
	return cuGetErrorString(code, text);
}

#define NONE(f) int f(void); int f(void) { return NO_DEVICE; }
NONE(cuInit) NONE(cuDriverGetVersion) NONE(cuDeviceGet) NONE(cuCtxGetCurrent) NONE(cuCtxGetLimit)
NONE(cuCtxPopCurrent) NONE(cuCtxPushCurrent) NONE(cuStreamGetCtx) NONE(cuLinkCreate) NONE(cuLinkAddData)
NONE(cuKernelGetFunction) NONE(cuLinkComplete) NONE(cuLinkDestroy) NONE(cuLaunchKernel) NONE(cuLaunchKernelEx)
NONE(cuLaunchCooperativeKernel) NONE(cuLibraryLoadFromFile) NONE(cuOccupancyMaxPotentialClusterSize)
