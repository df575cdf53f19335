/*
 * The machine that cuda_runtime_api.h beside this describes: its devices, their memory, and what is wrong
 * with them. CUDA's runtime is one a process, and so is this.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

#define DEVICES 3
#define PAGE ((size_t)4096)
#define LARGE ((size_t)2 << 20)

struct piece {
	char *at;
	size_t bytes;
	int device, pinned;
};

static struct {
	pthread_mutex_t lock;
	struct piece *piece;
	size_t n, cap, taken[DEVICES];
	int64_t launches, graphs;
	int lost, reach;
	cudaError_t last;
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local int device_now;

void machine_lock(void) { pthread_mutex_lock(&machine.lock); }
void machine_unlock(void) { pthread_mutex_unlock(&machine.lock); }
int machine_device(void) { return device_now; }

/* What follows WORD in BOOTH_HOST_CUDA, or NULL. */
static const char *knob(const char *word)
{
	const char *all = getenv("BOOTH_HOST_CUDA"), *at = all ? strstr(all, word) : NULL;

	return at ? at + strlen(word) : NULL;
}

static size_t knob_bytes(const char *word, size_t otherwise)
{
	const char *value = knob(word);
	char *end;
	size_t n;

	if (!value)
		return otherwise;
	n = strtoull(value, &end, 10);
	return *end == 'G' ? n << 30 : *end == 'M' ? n << 20 : n;
}

cudaError_t machine_state(void)
{
	return machine.lost ? cudaErrorLaunchFailure : cudaSuccess;
}

static int count_launch(const char *word, int64_t *launches)
{
	const char *lost = knob(word);

	++*launches;
	if (lost && *launches >= strtoll(lost, NULL, 10))
		machine.lost = 1;
	return !machine.lost;
}

int machine_launch(void) { return count_launch("lost@", &machine.launches); }
int machine_launch_graph(void) { return count_launch("lost-graph@", &machine.graphs); }

static cudaError_t answer(cudaError_t code)
{
	machine_lock();
	if (code == cudaSuccess)
		code = machine_state();
	if (code != cudaSuccess)
		machine.last = code;
	machine_unlock();
	return code;
}

cudaError_t cudaGetLastError(void)
{
	cudaError_t code;

	machine_lock();
	code = machine.last;
	machine.last = machine_state();
	machine_unlock();
	return code;
}

const char *cudaGetErrorString(cudaError_t code)
{
	switch (code) {
	case cudaErrorMemoryAllocation: return "out of memory";
	case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
	case cudaErrorNoDevice: return "no CUDA-capable device is detected";
	case cudaErrorInvalidDevice: return "invalid device ordinal";
	case cudaErrorLaunchFailure: return "unspecified launch failure";
	case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
	default: return "invalid argument";
	}
}

/* ---- devices ---- */

cudaError_t cudaRuntimeGetVersion(int *out)
{
	*out = 13000;
	return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *out)
{
	*out = knob("no-driver") ? 0 : knob("old-driver") ? 12040 : 13000;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *out)
{
	*out = knob("no-driver") || knob("old-driver") || knob("no-gpu") ? 0 : DEVICES;
	return *out ? cudaSuccess : answer(knob("old-driver") ? cudaErrorInsufficientDriver : cudaErrorNoDevice);
}

static size_t memory_of_device(void)
{
	return knob_bytes("memory=", mem_machine());
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
	static const char *const order[DEVICES] = { "forward", "backward", "mixed" };

	if (device < 0 || device >= DEVICES)
		return answer(cudaErrorInvalidDevice);
	*out = (struct cudaDeviceProp){ .totalGlobalMem = memory_of_device(), .major = knob("sm61") ? 6 : 9,
					.minor = knob("sm61") ? 1 : 0 };
	snprintf(out->name, sizeof out->name, "the host's threads (%s)", order[device]);
	return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int device)
{
	snprintf(out, (size_t)size, "0000:%02x:00.0", device);
	return cudaErrorInvalidDevice;
}

cudaError_t cudaSetDevice(int device)
{
	if (device < 0 || device >= DEVICES)
		return answer(cudaErrorInvalidDevice);
	device_now = device;
	return answer(cudaSuccess);
}

/* ---- memory ---- */

static size_t unused_here(void)
{
	size_t all = memory_of_device(), gone = knob_bytes("others=", 0) + machine.taken[device_now];

	return all > gone ? all - gone : 0;
}

cudaError_t cudaMemGetInfo(size_t *unused, size_t *all)
{
	machine_lock();
	*all = memory_of_device();
	*unused = unused_here();
	machine_unlock();
	return answer(cudaSuccess);
}

/* Device memory is out of the host's reach but while the device works. */
static void protect(const struct piece *p, int may)
{
	if (!p->pinned)
		mprotect(p->at, p->bytes, may ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void machine_reach(int may)
{
	int was = machine.reach;

	machine.reach += may ? 1 : -1;
	for (size_t i = 0; i < machine.n && !was != !machine.reach; i++)
		protect(&machine.piece[i], may);
}

/*
 * What is large lies on large pages: whose reach changes is then a matter of 50 us for 512 MB, which else
 * takes 9 ms each time somebody waits.
 */
static char *map(size_t bytes)
{
	size_t more = bytes < LARGE ? 0 : LARGE, before;
	char *at = mmap(NULL, bytes + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || !more)
		return at == MAP_FAILED ? NULL : at;
	before = LARGE - (uintptr_t)at % LARGE;
	munmap(at, before);
	if (more > before)
		munmap(at + before + bytes, more - before);
	madvise(at + before, bytes, MADV_HUGEPAGE);
	return at + before;
}

static cudaError_t take(void **out, size_t bytes, int pinned)
{
	size_t whole = (bytes + PAGE) / PAGE * PAGE;    /* an empty tensor at the end has an address, too */
	char *at;

	*out = NULL;
	if (stream_is_capturing())
		return cudaErrorStreamCaptureUnsupported;
	if (!pinned && whole > unused_here())
		return cudaErrorMemoryAllocation;
	at = map(whole);
	if (!at)
		return cudaErrorMemoryAllocation;
	machine.piece = grow(machine.piece, machine.n, &machine.cap, sizeof *machine.piece);
	machine.piece[machine.n++] = (struct piece){ at, whole, device_now, pinned };
	if (!pinned) {
		memset(at, 0xff, bytes);
		machine.taken[device_now] += whole;
		protect(&machine.piece[machine.n - 1], machine.reach);
	}
	*out = at;
	return cudaSuccess;
}

static cudaError_t give(void *at)
{
	for (size_t i = 0; i < machine.n; i++)
		if (machine.piece[i].at == at) {
			munmap(at, machine.piece[i].bytes);
			if (!machine.piece[i].pinned)
				machine.taken[machine.piece[i].device] -= machine.piece[i].bytes;
			machine.piece[i] = machine.piece[--machine.n];
			if (!machine.n) {
				free(machine.piece);
				machine.piece = NULL;
				machine.cap = 0;
			}
			return cudaSuccess;
		}
	if (at)
		BUG("%p is given back and was not taken", at);
	return cudaSuccess;
}

int machine_is_pinned(const void *at)
{
	const char *p = at;

	for (size_t i = 0; i < machine.n; i++)
		if (p >= machine.piece[i].at && p < machine.piece[i].at + machine.piece[i].bytes)
			return machine.piece[i].pinned;
	return 0;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
	cudaError_t code;

	machine_lock();
	code = machine.lost ? machine_state() : take(out, bytes, 0);
	machine_unlock();
	return answer(code);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
	cudaError_t code;

	(void)flags;
	machine_lock();
	code = machine.lost ? machine_state() : take(out, bytes, 1);
	machine_unlock();
	return answer(code);
}

cudaError_t cudaFree(void *at)
{
	machine_lock();
	give(at);
	machine_unlock();
	return answer(cudaSuccess);
}

cudaError_t cudaFreeHost(void *at)
{
	return cudaFree(at);
}
