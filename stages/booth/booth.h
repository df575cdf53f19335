/*
 * The runner's commands. Each gets its words behind the command's name (argv[0] is the name) and
 * returns the exit code: 0 done, 1 failed, 2 wrong usage.
 */
#ifndef BOOTH_BOOTH_H
#define BOOTH_BOOTH_H

#include "common/base/opt.h"
#include "common/data/store.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv, const struct command *c);
	const char *usage;      /* the words behind the name */
	const char *about;
};

int cmd_run(int argc, char **argv, const struct command *c);
int cmd_status(int argc, char **argv, const struct command *c);
int cmd_why(int argc, char **argv, const struct command *c);
int cmd_explain(int argc, char **argv, const struct command *c);
int cmd_graph(int argc, char **argv, const struct command *c);
int cmd_ls(int argc, char **argv, const struct command *c);
int cmd_cat(int argc, char **argv, const struct command *c);
int cmd_log(int argc, char **argv, const struct command *c);
int cmd_check(int argc, char **argv, const struct command *c);
int cmd_gc(int argc, char **argv, const struct command *c);
int cmd_push(int argc, char **argv, const struct command *c);
int cmd_pull(int argc, char **argv, const struct command *c);
int cmd_export(int argc, char **argv, const struct command *c);
int cmd_import(int argc, char **argv, const struct command *c);
int cmd_doctor(int argc, char **argv, const struct command *c);
int cmd_help(int argc, char **argv, const struct command *c);
int cmd_version(int argc, char **argv, const struct command *c);

/*
 * What they share: options parsed (--store is added to `rows`), --help answered, the stores opened.
 * *words is the number of words, at argv + 1. -1: it ends here with exit code *code.
 */
int command_begin(int argc, char **argv, const struct command *c,
		  const struct opt *rows, int *words, struct stores **stores, int *code);

/* Print the sentence and return 1. */
int command_failed(const struct err *e);
int command_usage(const struct command *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "2026-11-21 02:37", "-" for 0. */
void put_time(struct buf *b, int64_t time);
/* STAGE/8HEX */
const char *ref_short(const struct ref *r, char out[STAGE_NAME + 1 + OID_HEX + 1]);

/* Colour on stdout; "" where it is no terminal, on TERM=dumb and with NO_COLOR. */
enum paint { PAINT_OFF, PAINT_GOOD, PAINT_WAIT, PAINT_BAD };
const char *paint(enum paint what);

/*
 * Aligned columns for people: cells separated by tabs in each line of `text`. Lines are cut to a
 * terminal's width.
 */
void print_columns(const char *text);

#endif
