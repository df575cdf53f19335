/*
 * torch's .ckpt/.pt/.bin files without Python: the zip format (data.pkl + storages) and the
 * older one before it. The unpickler builds tensors and plain containers (dict, OrderedDict,
 * list, tuple, set, text, numbers, None) and nothing else: every other global is refused by
 * name, and nothing of the file is ever called. Globals that real checkpoints carry beside
 * their weights (Lightning's callbacks and the like) become opaque values only where no code
 * runs; a REDUCE on a name that is not on the list of builders below is an error when its
 * global is of a module that can act (os, posix, subprocess, builtins, sys, nt, ...), as every
 * unknown one is unless it is on the list of harmless names in pickle.c.
 *
 * The result is flat: names of nested containers are joined with '.', so
 * {"state_dict": {"a.b": T}} gives "state_dict.a.b".
 */
#ifndef DATA_PICKLE_H
#define DATA_PICKLE_H

#include "common/data/safetensors.h"

struct pickle {
	struct map map;
	struct named *at;       /* in the file's order; contiguous tensors
				 * borrow from the map, others own */
	size_t n;
};

int pickle_open(struct pickle *p, const char *path, struct err *e);
void pickle_close(struct pickle *p);
int pickle_is(const char *path);        /* does the file begin as a zip or a pickle? */

#endif
