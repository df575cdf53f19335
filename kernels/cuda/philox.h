/* Philox4x32-10: rng_block() of common/base/rng.h on the device. */
#ifndef CUDA_PHILOX_H
#define CUDA_PHILOX_H

#include "kernels/cuda/device.h"

struct philox { uint32_t key[2], item, step, purpose; };
struct words { uint32_t w[4]; };

DEV struct words philox(struct philox k, uint32_t at)
{
	uint32_t c0 = at, c1 = k.item, c2 = k.step, c3 = k.purpose;
	struct words out;

	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;

		c0 = (uint32_t)(b >> 32) ^ c1 ^ k.key[0];
		c1 = (uint32_t)b;
		c2 = (uint32_t)(a >> 32) ^ c3 ^ k.key[1];
		c3 = (uint32_t)a;
		k.key[0] += 0x9E3779B9u;
		k.key[1] += 0xBB67AE85u;
	}
	out.w[0] = c0;
	out.w[1] = c1;
	out.w[2] = c2;
	out.w[3] = c3;
	return out;
}

#endif
