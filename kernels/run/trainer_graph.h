/*
 * The graphs of a training step (private to trainer.c and its tests).
 */
#ifndef RUN_TRAINER_GRAPH_H
#define RUN_TRAINER_GRAPH_H

#include "kernels/run/trainer.h"

struct trainer_shape {
	struct trainer_key key;
	struct session session;
	id loss, norm2;         /* norm2 NONE: no update in this graph */
	int32_t *join;          /* rows of the chunks' hidden states that make
				 * one caption's, with chunks > 1; owned */
};

const char *trainer_hyper_name(int part);       /* "hyper_unet", ... */

/* Build, differentiate, fuse and lower the graph of s->key into g; fills s->loss, norm2. */
void trainer_graph(const struct trainer_config *c, struct trainer_shape *s, struct graph *g);

/* The update of all trainable weights of `like` from their gradient sums. */
void trainer_update_graph(const struct trainer_config *c, const struct graph *like,
			  struct graph *g, id *norm2);

#endif
