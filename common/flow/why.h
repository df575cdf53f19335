/*
 * Why does something run? Two action texts compared line by line: "steps 200 -> 400", "input image
 * changed", "stage bucket: version 2 -> 3". Lines that are the same are taken out first, wherever
 * they stand; of what is left the first of a name meets the first of that name, so that a
 * repeated option which was added in front of others is one difference.
 */
#ifndef FLOW_WHY_H
#define FLOW_WHY_H

#include "common/base/buf.h"

struct line_change {
	char *what, *name;      /* first words of the line: "param" "steps", "input" "in" */
	char *was, *is;         /* the rest of it; NULL: there is no such line */
};

struct line_changes {
	struct line_change *at;
	size_t n, cap;
};

/* In the order of the new text, then lines that are gone. Lines in another order are one change. */
void changes_find(struct line_changes *out, const char *old_text, const char *new_text);
void changes_release(struct line_changes *c);

/*
 * As a sentence. Long values are shown from a little before the place where they differ.
 * "param executable NAME VERSION", by which the runner knows a stage, is told as its version.
 */
void change_text(struct buf *out, const struct line_change *c);

/* "200 -> 400", long ones cut; NULL is "nothing". */
void change_values(struct buf *out, const char *was, const char *is);

/* As two lines of a diff, "- param steps 200" and "+ param steps 400", each behind `indent`. */
void change_lines(struct buf *out, const struct line_change *c, const char *indent);

/*
 * The number of lines that differ (0: the same text); the sentences are appended to out (may be
 * NULL), joined with "; ".
 */
int action_diff(const char *old_text, const char *new_text, struct buf *out);

#endif
