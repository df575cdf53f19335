/*
 * Talk for people, on stderr: a progress line with rate and time left on a terminal (redrawn
 * at most 10 times a second), a plain line every 10 s elsewhere. Quiet when told so
 * (BOOTH_QUIET=1 in the environment of a stage, set by --quiet).
 *
 *	struct progress p;
 *	progress_begin(&p, "encode-latents", "pictures", 120);
 *	progress_at(&p, done, "loss 0.123");
 *	progress_end(&p);
 *
 * A stage that `booth run` started also reports to it: lines "bar WHAT UNIT DONE FROM TOTAL NOTE"
 * and "end WHAT UNIT DONE FROM SECONDS", separated by tabs, to the descriptor in BOOTH_REPORT. If
 * the runner draws them itself ("5 drawn"), no progress is shown on stderr.
 */
#ifndef BASE_TALK_H
#define BASE_TALK_H

#include <stdint.h>
#include "common/base/buf.h"

struct progress {
	const char *what, *unit;        /* borrowed */
	int64_t total, from;            /* total 0 = unknown; `from` was done before this run */
	double start, last;             /* seconds, monotonic */
	double reported;
	int64_t done;
	int tty, drawn, quiet;
};

void progress_begin(struct progress *p, const char *what, const char *unit, int64_t total);
void progress_at(struct progress *p, int64_t done, const char *note);   /* note may be NULL */
void progress_end(struct progress *p);

/* One line of talk: "PROGRAM: ...", under the progress line if there is one; nothing when quiet. */
void talk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int talk_is_quiet(void);
/* Can a line on stderr be drawn again? Not elsewhere than on a terminal, nor on TERM=dumb. */
int talk_redraws(void);
/* A line for the runner, if one listens. */
void talk_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "12 of 120 pictures, 3.1/s, 35 s left, loss 0.1", cut to `columns` if that is not 0. */
void progress_text(struct buf *b, const struct progress *p, double now, const char *note);
size_t talk_columns(int fd);    /* of the terminal; 80 if it does not say */
/* Bytes of UTF-8 text that fit into so many columns (each code point counts as one). */
size_t text_fits(const char *text, size_t columns);

double clock_now(void);         /* monotonic seconds */

/*
 * Interruption: after stop_catch(), SIGINT and SIGTERM only set a flag, so that the item or step
 * at hand can be finished and committed. A second SIGINT ends the process at once (exit 130).
 */
void stop_catch(void);
int stop_wanted(void);

#endif
