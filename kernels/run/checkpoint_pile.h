/*
 * The tensors of one file that is about to be written: names and whatever was converted are owned,
 * everything else is borrowed from what is written.
 */
#ifndef RUN_CHECKPOINT_PILE_H
#define RUN_CHECKPOINT_PILE_H

#include "kernels/run/checkpoint.h"

struct pile {
	struct named *at;
	size_t n, cap;
};

void pile_release(struct pile *p);
/* an empty tensor; good until the next call */
struct tensor *pile_add(struct pile *p, const char *name);
/* A view of t, converted if it is of another float type. */
int pile_copy(struct pile *p, const char *name, const struct tensor *t, enum dtype type,
	      struct err *e);

/*
 * Write the file. transformers loads none whose metadata lacks "format", so that comes first; one
 * more pair may follow it before those of o.
 */
int pile_write(const char *path, const struct pile *p, const struct checkpoint_out *o, char *key,
	       char *value, struct err *e);

#endif
