/*
 * One network of a model for inference: its weights once on the device, a session for each shape
 * that is asked for, made on demand.
 *
 *	network_begin(&net, backend, DT_BF16, build_unet, &config, source);
 *	s = network_shape(&net, (int64_t[]){ 2, 64, 64, 77 }, e);
 *
 * The first call fetches the weights.
 */
#ifndef RUN_NETWORK_H
#define RUN_NETWORK_H

#include "kernels/model/model.h"
#include "kernels/run/session.h"

#define SHAPE_SIDES 4

/* Emit the graph for a shape and return the node that is its result. */
typedef id network_build(struct model *m, const void *config, const int64_t shape[SHAPE_SIDES]);

/*
 * The values of a weight by its graph name ("unet.conv_in.weight"); out borrows or owns. Called
 * from several threads at once.
 */
struct weight_source {
	int (*get)(void *data, const char *name, struct tensor *out, struct err *e);
	void *data;
	const char *path;       /* for errors: where the values come from; NULL: not said */
	void (*trim)(void *data);       /* let go of the memory that values were read in; NULL: there is none */
};

struct network_shape {
	int64_t side[SHAPE_SIDES];
	struct session session;
	id out;
};

struct network {
	struct backend *b;
	network_build *build;
	const void *config;             /* borrowed */
	struct weight_source source;
	enum dtype type;                /* that is computed in (kernels/ir/lower.h) */
	struct pool pool;
	struct arena arena;
	struct network_shape *shape;
	size_t n, cap;
};

void network_begin(struct network *net, struct backend *b, enum dtype type, network_build *build,
		   const void *config, struct weight_source source);
/* NULL: failed. The pointer is good until the next call. */
struct network_shape *network_shape(struct network *net, const int64_t side[SHAPE_SIDES],
				    struct err *e);
void network_release(struct network *net);
/* What a network begun like `net` would take for one shape, weights included; nothing is placed. */
int network_bytes(const struct network *net, const int64_t side[SHAPE_SIDES], size_t *out, struct err *e);

/*
 * Fetch every weight (not state) of a pool from a source;
 * all must be there, of the right shape and finite.
 */
int pool_fetch(struct pool *p, const struct weight_source *source, struct err *e);

#endif
