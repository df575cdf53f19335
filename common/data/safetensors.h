/*
 * safetensors: u64 header length, JSON header, data. Read from a mapping, every offset checked:
 * inside the data, no overlap, no hole, length = shape times type, known types, unique names.
 * A header above 100 MB is refused before it is read, as the format's own library does.
 */
#ifndef DATA_SAFETENSORS_H
#define DATA_SAFETENSORS_H

#include "common/base/file.h"
#include "common/data/tensor.h"

struct named {                  /* a tensor with its name in the file */
	char *name;
	struct tensor t;
};

struct safetensors {
	struct map map;
	struct named *at;       /* sorted by name; tensors borrow from the map */
	size_t n;
	char **meta;            /* 2 * n_meta strings: key, value */
	size_t n_meta;
};

int safetensors_open(struct safetensors *s, const char *path, struct err *e);
void safetensors_close(struct safetensors *s);
/* or NULL */
const struct tensor *safetensors_find(const struct safetensors *s, const char *name);
const char *safetensors_meta(const struct safetensors *s, const char *key);

/*
 * Write a file in one step (file_begin .. file_commit). Tensors are laid out as the format's own
 * library does: by type size descending (the enum's order), then by name; header padded with
 * blanks to 8 bytes. meta: 2 * n_meta strings.
 */
int safetensors_write(const char *path, const struct named *at, size_t n,
		      char *const *meta, size_t n_meta, struct err *e);

#endif
