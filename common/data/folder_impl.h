/* Between folder.c and folder_concepts.c. */
#ifndef DATA_FOLDER_IMPL_H
#define DATA_FOLDER_IMPL_H

#include "common/data/folder.h"

struct names;

struct place {                  /* what pictures inherit from the folder they are in */
	const char *folder;     /* path */
	const struct names *list;       /* what is in it, sorted; NULL: not looked at */
	int masks, captions;    /* does the list hold names of such files at all? */
	const char *prefix;     /* of their items, with its slash, or "" */
	const char *below;      /* as prefix, below the folder given: for --masks */
	const char *concept, *caption;
	enum caption_source source;
	int64_t repeats;
	int class;
	int settled;            /* in a folder whose name or concept counts for all below it */
	int depth;
};

/* Add the pictures in at->folder and below. */
int scan_folder(struct photos *out, const struct place *at, const struct scan_rules *r,
		struct err *e);

/* Add the pictures of a concepts_list.json. */
int scan_concepts(struct photos *out, const char *path, const struct scan_rules *r, struct err *e);

/* Last part of a path, whatever number of slashes it ends in; the caller's to free. */
char *last_part(const char *path);

/* "rex/" of the path "x/rex", or "rex.2/" if there are such items; the caller's to free. */
char *new_prefix(const struct photos *list, const char *path);

#endif
