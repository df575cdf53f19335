/* Lanes with cuDNN for GPUs that are not there, and the driver that it needs for attention's plans. */
#ifndef DNN_CARDS_H
#define DNN_CARDS_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "kernels/cuda/dnn/open.h"

/* NVIDIA's libraries keep what they load. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libcudnn\nleak:libcublasLt\nleak:libnvrtc\n";
}

/* A GPU as cuDNN describes one. */
#define CARD(short, capability, name, gb, multiprocessors, shared, threads) { short, capability, \
	"{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536," \
	"\"multiProcessorCount\":" #multiprocessors ",\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152," \
	"\"maxSharedMemoryPerBlockOptin\":" #shared ",\"reservedSharedMemoryPerBlock\":1024," \
	"\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":16,\"maxThreadsPerBlock\":1024," \
	"\"maxThreadsPerSM\":" #threads ",\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1," \
	"\"totalGlobalMem\":" #gb "000000000,\"smClockRateKHz\":1900000,\"memClockRateKHz\":2600000," \
	"\"l2CacheSize\":50000000,\"cudaDeviceId\":0,\"deviceVer\":" #capability "0,\"driverVer\":13000," \
	"\"deviceName\":\"" name "\"}" }

struct card {
	const char *name;
	int capability;
	const char *properties;
};

static const struct card cards[] = {
	CARD("H100", 90, "NVIDIA H100 80GB HBM3", 85, 132, 232448, 2048),
	CARD("A100", 80, "NVIDIA A100-SXM4-80GB", 85, 108, 166912, 2048),
	CARD("3090", 86, "NVIDIA GeForce RTX 3090", 25, 82, 101376, 1536),
	CARD("4090", 89, "NVIDIA GeForce RTX 4090", 25, 128, 101376, 1536),
	CARD("T4", 75, "Tesla T4", 16, 40, 65536, 1024),
};
#define CARDS (sizeof cards / sizeof *cards)
#define H100 (&cards[0])

/* NULL: cuDNN is not here. */
static inline struct lane *lane_open(const struct card *c)
{
	struct dnn_options o = { .device = c->properties, .capability = c->capability };
	struct lane *l = xcalloc(1, sizeof *l);
	struct err e;

	if (dnn_open(&l->dnn, &o, &e) == 0)
		return l;
	printf("# %s\n", e.text);
	free(l);
	return NULL;
}

static inline void lane_close(struct lane *l)
{
	dnn_close(l->dnn);
	free(l);
}

#define OPEN(l, card) struct lane *l = lane_open(card); if (!l) SKIP("cuDNN is not here")

/* A driver of ours (tests/driver), before cuDNN looks for one; plans are kept nowhere. */
static inline void cards_begin(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 20);

	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	path[n < 0 ? 0 : n] = 0;
	if (strrchr(path, '/'))
		strcpy(strrchr(path, '/'), "/libcuda.so.1");
	if (!dlopen(path, RTLD_NOW | RTLD_LOCAL))
		printf("# %s\n", dlerror());
}

#endif
