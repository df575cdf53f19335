/*
 * How failures travel.
 *
 * Three kinds of wrong:
 *   fail()  the world is wrong (a file, a weight, no memory on the device). Any library
 *           function may fail; it returns -1 and leaves one complete sentence in the
 *           caller's struct err: lower case, no full stop, what went wrong first, the
 *           subject in single quotes, the number seen and the number wanted.
 *   die()   the user's call cannot go on. Only main functions, and host memory running out.
 *   BUG()   the program is wrong: prints file, line and values, and aborts, so that a test
 *           can tell it from an error exit.
 *
 * The callee writes the sentence; callers hand it on untouched or put in front what only
 * they know (err_prefix). A function that succeeds leaves the struct err alone. `e` is
 * never NULL.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	char text[1024];        /* one sentence, cut off at a UTF-8 boundary if longer */
};

/* Write the sentence and return -1, so that an error is one line: return fail(e, ...). */
int fail(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As fail(), followed by ": " and the text of errno as it was on entry. */
int fail_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "PREFIX: " in front of the sentence; returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Print "PROGRAM: sentence" on stderr and exit with `code` (1 failed, 2 wrong usage). */
void die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Print "PROGRAM: sentence" on stderr and go on. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Set once at the start of main; what die() and warn() put in front. */
extern const char *program_name;

void bug_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

#endif
