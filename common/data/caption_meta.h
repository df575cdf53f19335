/*
 * kohya's caption metadata, a JSON object {picture: {"caption": text, "tags": text}}. A picture is named
 * by its path below the folder, by its whole path or, as older tools have it, by either without the
 * suffix.
 */
#ifndef DATA_CAPTION_META_H
#define DATA_CAPTION_META_H

#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct caption_meta;

int caption_meta_open(struct caption_meta **out, const char *path, struct err *e);
void caption_meta_close(struct caption_meta *m);
size_t caption_meta_count(const struct caption_meta *m);        /* of pictures that it names */
/* Append the picture's caption, then a comma and its tags; 0: it has neither. */
int caption_meta_find(const struct caption_meta *m, const char *item, struct buf *out);

#endif
