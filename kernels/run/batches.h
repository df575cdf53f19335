/*
 * Which items a training step sees, as a function of (seed, micro-batch number) alone: nothing that
 * a resume, a save or a thread could change.
 *
 * An epoch shows every subject item `repeats` times. Batches never mix shapes: within each shape
 * the items are shuffled and cut into batches (the last may be short), then all batches of all
 * shapes are shuffled (as kohya's trainers do). Class items, for prior preservation, go through an
 * order of their own and come as many as subject items: of the same shape if there are any, else of
 * the shape that has most.
 */
#ifndef RUN_BATCHES_H
#define RUN_BATCHES_H

#include <stdint.h>

struct batch_item {
	int64_t h, w;           /* latent rows, columns */
	int64_t repeats;        /* at least 1; class items count once */
	int is_class;
};

struct batch_group {            /* items of one shape */
	int64_t h, w;
	int64_t n;
	int64_t *item;          /* indices; owned by struct batches, good until the next call */
};

struct batches;

/* Items are copied. There must be a subject item. */
struct batches *batches_new(const struct batch_item *item, int64_t n, int64_t batch, uint64_t seed);
void batches_free(struct batches *b);

int64_t batches_per_epoch(const struct batches *b);

/*
 * Micro-batch number `at` (from 0): one group, or two where class items have another shape. In a
 * group that holds both, subjects come first.
 * Returns the number of groups.
 */
int batches_at(struct batches *b, int64_t at, struct batch_group group[2]);

/* Has any micro-batch two groups? (Then gradients are summed.) */
int batches_split(const struct batches *b);

#endif
