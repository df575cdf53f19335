/*
 * Why does something run? Two action texts as sentences: "steps 200 -> 400", "input image changed",
 * "stage bucket: version 2 -> 3", joined with "; ".
 */
#ifndef FLOW_WHY_H
#define FLOW_WHY_H

#include "common/base/buf.h"

/*
 * The number of lines that differ (0: the same text); the
 * sentences are appended to out (may be NULL).
 */
int action_diff(const char *old_text, const char *new_text, struct buf *out);

#endif
