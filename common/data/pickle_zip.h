/*
 * The zip files that torch writes: stored entries, zip64 where needed. Every offset is checked
 * against the file; checksums are not (they would cost a pass over gigabytes).
 */
#ifndef DATA_PICKLE_ZIP_H
#define DATA_PICKLE_ZIP_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

struct zip_entry {
	const char *name;       /* below the archive's root folder; not ended by a NUL */
	size_t name_len;
	uint64_t header, size;  /* of the local header; bytes stored */
};

struct pickle_zip {
	const unsigned char *at;
	size_t len;
	const char *path;
	struct zip_entry *entry;        /* by name */
	size_t n;
};

int pickle_zip_open(struct pickle_zip *z, const unsigned char *at, size_t len, const char *path,
		    struct err *e);
void pickle_zip_close(struct pickle_zip *z);
int pickle_zip_find(const struct pickle_zip *z, const char *name, size_t name_len,
		    const unsigned char **at, size_t *len, struct err *e);

#endif
