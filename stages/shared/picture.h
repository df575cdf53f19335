/* The picture of a row of bucket's table, as the row says: resized, cut out, mirrored. */
#ifndef SHARED_PICTURE_H
#define SHARED_PICTURE_H

#include "common/data/image.h"
#include "common/data/store.h"

/*
 * im: RGB, of the size that the column bucket names. Reads the columns resized "WxH", crop "X,Y",
 * bucket "WxH" and, where there is one, flip. `image` is the original's bytes. The caller releases
 * im, also after a failure.
 */
int picture_of_row(struct stores *s, const struct table *t, size_t row, const struct ref *image,
		   struct image *im, struct err *e);

#endif
