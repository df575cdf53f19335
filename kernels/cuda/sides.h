/*
 * Shapes as kernels want them: sides of a tensor next to each other that are both repeated in a
 * smaller one, or both not, are one side. Innermost first; step is how far the smaller tensor moves
 * along a side, 0 where it is repeated.
 */
#ifndef CUDA_SIDES_H
#define CUDA_SIDES_H

#include "kernels/cuda/device.h"
#include "kernels/cuda/own.h"

struct sides {
	int n;
	int64_t size[MAX_DIM], step[MAX_DIM];
};

static inline struct span span_of(const struct view *v)
{
	struct span s = { v->at, (int)v->type };

	return s;
}

static inline struct sides sides_of(const int64_t big[MAX_DIM], const int64_t small[MAX_DIM])
{
	struct sides s = { 0, { 1, 1, 1, 1 }, { 1, 0, 0, 0 } };
	int64_t step = 1;

	for (int i = MAX_DIM - 1; i >= 0; i--) {
		int again = small[i] != big[i];

		if (big[i] == 1)
			continue;
		if (s.n && again == !s.step[s.n - 1]) {
			s.size[s.n - 1] *= big[i];
		} else {
			s.size[s.n] = big[i];
			s.step[s.n++] = again ? 0 : step;
		}
		step *= small[i];
	}
	if (!s.n)
		s.n = 1;
	return s;
}

/* Where number i of the sides from `side` on lies in the smaller tensor. */
DEV int64_t side_at(const struct sides *s, int side, int64_t i)
{
	int64_t at = 0;

	for (; side < s->n; side++) {
		int64_t next = quotient(i, s->size[side]);

		at += (i - next * s->size[side]) * s->step[side];
		i = next;
	}
	return at;
}

#endif
