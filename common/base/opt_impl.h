/* What the files of the options share. Inside common/base only. */
#ifndef BASE_OPT_IMPL_H
#define BASE_OPT_IMPL_H

#include "common/base/opt.h"

int opt_is_list(const struct opt *row);         /* the value is a struct opt_list */

/* "1 to 4096", "at least 1", "at most 1"; nothing if not limited. */
void opt_limits(struct buf *b, const struct opt *row);

#endif
