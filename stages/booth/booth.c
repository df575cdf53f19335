/*
 * booth WORD: a runner command of the table below, or else
 * the executable booth-WORD, as git does it.
 */
#include "stages/booth/booth.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "stages/booth/tool.h"

#define BOOTH_VERSION "0.1"

static const struct command commands[] = {
	{ "run", cmd_run, "RECIPE [TARGET...] [NAME=VALUE...]",
	  "do what a recipe says, and nothing that was done before" },
	{ "why", cmd_why, "[-n] TARGET [NAME=VALUE...]",
	  "what changed before a target's last run (-n: its next), and what follows from that" },
	{ "status", cmd_status, "RECIPE [TARGET...] [NAME=VALUE...]",
	  "which targets are up to date, with results and times" },
	{ "explain", cmd_explain, "RECIPE|REFERENCE [TARGET...] [NAME=VALUE...]",
	  "the commands of a recipe, or what made a result" },
	{ "graph", cmd_graph, "RECIPE [NAME=VALUE...]",
	  "what needs what, as text or for Graphviz" },
	{ "ls", cmd_ls, "[STAGE]", "what is in the store" },
	{ "cat", cmd_cat, "REFERENCE", "an object, decoded" },
	{ "log", cmd_log, "[TARGET|REFERENCE]", "past runs; the loss of a training, drawn" },
	{ "check", cmd_check, "", "hash every object again" },
	{ "gc", cmd_gc, "", "delete what no recipe's last run needs" },
	{ "push", cmd_push, "FOLDER [REFERENCE|TARGET...]",
	  "give results, and what made them, to the store in a folder" },
	{ "pull", cmd_pull, "FOLDER [REFERENCE|TARGET...]",
	  "take results, and what made them, from the store in a folder" },
	{ "export", cmd_export, "[REFERENCE|TARGET...]",
	  "results, and what made them, as a stream on standard output" },
	{ "import", cmd_import, "", "take what booth export wrote, from standard input" },
	{ "doctor", cmd_doctor, "", "what this machine can compute on, and why not on more" },
	{ "help", cmd_help, "[WORD]", "this list, or the help of a command or stage" },
	{ "version", cmd_version, "", "the version" },
	{ 0 }
};

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/* ---- shared by commands ---- */

int command_failed(const struct err *e)
{
	warn("%s", e->text);
	return 1;
}

int command_usage(const struct command *c, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	fprintf(stderr, "booth %s: %s\nusage: booth %s %s\n", c->name, buf_str(&b), c->name,
		c->usage);
	buf_release(&b);
	return 2;
}

int command_begin(int argc, char **argv, const struct command *c, const struct opt *rows,
		  int *words, struct stores **stores, int *code)
{
	const char *root = NULL;
	struct opt all[16] = { { "store", OPT_TEXT, &root, "", "folder of the store; behind a ':' more to look through",
				 .quiet = 1 } };
	struct err e;

	for (int i = 0; rows[i].name; i++)
		all[i + 1] = rows[i];
	*code = 0;
	if (opt_wants_help(argc, argv)) {
		printf("usage: booth %s %s\n%s\n", c->name, c->usage, c->about);
		opt_help(all, stdout);
		return -1;
	}
	if (argc > 1 && !strcmp(argv[1], "--list-options")) {
		opt_list_rows(all, stdout);
		return -1;
	}
	*code = 2;
	if (opt_parse(all, argc, argv, words, &e) < 0) {
		command_usage(c, "%s", e.text);
		return -1;
	}
	*code = 1;
	if (root)
		setenv("BOOTH_STORE", root, 1); /* stages that are started use the same one */
	if (stores && stores_open(stores, root, &e) < 0) {
		command_failed(&e);
		return -1;
	}
	*code = 0;
	return 0;
}

void put_time(struct buf *b, int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[32];

	if (!at || !localtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
		snprintf(text, sizeof text, "-");
	buf_adds(b, text);
}

const char *ref_short(const struct ref *r, char out[STAGE_NAME + 1 + OID_HEX + 1])
{
	ref_text(r, out);
	strchr(out, '/')[9] = 0;
	return out;
}

const char *paint(enum paint what)
{
	static const char *const code[] = { "\033[0m", "\033[32m", "\033[33m", "\033[31m" };
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(1) && !(no && *no) && term && *term && strcmp(term, "dumb") ? code[what] : "";
}

/* Bytes of an escape sequence at s, 0 if there is none. */
static size_t escape_at(const char *s)
{
	return s[0] == '\033' && s[1] == '[' ? strcspn(s, "m\n\t") + 1 : 0;
}

/* Width on a terminal: code points are counted, which is right for all but wide scripts. */
static size_t shown_width(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (escape_at(s + i))
			i += escape_at(s + i) - 1;
		else
			n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

#define COLUMNS 16

static void measure(const char *text, size_t width[COLUMNS])
{
	for (const char *p = text; *p; ) {
		size_t column = 0;

		for (; *p && *p != '\n'; column++) {
			size_t n = strcspn(p, "\t\n"), w = shown_width(p, n);

			if (column < COLUMNS && p[n] == '\t' && w > width[column])
				width[column] = w;
			p += n + (p[n] == '\t');
		}
		p += *p == '\n';
	}
}

/* Cut a line to a terminal's width, so that columns stay columns; elsewhere all of it is shown. */
static void print_line(const char *line, size_t most)
{
	size_t n = 0, at = 0, width = shown_width(line, strlen(line));

	while (line[at] && (width <= most || n + 3 < most)) {
		size_t escape = escape_at(line + at);

		n += !escape;
		at += escape ? escape : 1;
		while (((unsigned char)line[at] & 0xc0) == 0x80)
			at++;
	}
	printf("%.*s%s%s\n", (int)at, line, line[at] ? "..." : "",
	       line[at] && strchr(line, '\033') ? paint(PAINT_OFF) : "");
}

void print_columns(const char *text)
{
	size_t width[COLUMNS] = { 0 }, most = isatty(1) ? talk_columns(1) - 1 : SIZE_MAX;
	struct buf line = { 0 };

	measure(text, width);
	for (const char *p = text; *p; ) {
		size_t column = 0;

		buf_clear(&line);
		for (; *p && *p != '\n'; column++) {
			size_t n = strcspn(p, "\t\n"), w = shown_width(p, n);

			buf_add(&line, p, n);
			if (p[n] == '\t')
				buf_addf(&line, "%*s",
					 (int)((column < COLUMNS ? width[column] : w) - w + 2), "");
			p += n + (p[n] == '\t');
		}
		print_line(buf_str(&line), most);
		p += *p == '\n';
	}
	buf_release(&line);
}

/* ---- help, version, dispatch ---- */

static void print_commands(FILE *to)
{
	struct names stages = { 0 };
	struct err e;

	fprintf(to,
		"usage: booth COMMAND ...   (booth COMMAND --help tells more)\n\nrunner commands\n");
	for (const struct command *c = commands; c->name; c++)
		fprintf(to, "  %-10s %s\n", c->name, c->about);
	if (tools_names(&stages, &e) == 0 && stages.n) {
		fprintf(to, "\nstages\n ");
		for (size_t i = 0; i < stages.n; i++)
			fprintf(to, " %s", stages.at[i]);
		fputc('\n', to);
	}
	names_release(&stages);
}

/* For programs, a line each: name, "command" or "stage", the words behind it, what it does. */
static void list_commands(void)
{
	struct names stages = { 0 };
	struct err ignored;

	for (const struct command *c = commands; c->name; c++)
		printf("%s\tcommand\t%s\t%s\n", c->name, c->usage, c->about);
	if (tools_names(&stages, &ignored) == 0)
		for (size_t i = 0; i < stages.n; i++)
			printf("%s\tstage\t\t\n", stages.at[i]);
	names_release(&stages);
}

/* Run booth-WORD in this process; comes back only if there is none. */
static int exec_stage(const char *word, char **argv)
{
	char *folder = tool_folder(), *path = xasprintf("%s/booth-%s", folder, word);
	int there = !strchr(word, '/') && access(path, F_OK) == 0;

	if (there) {
		argv[0] = path;
		fflush(stdout);
		execv(path, argv);
		warn("cannot start '%s': %s", path, strerror(errno));
	}
	free(folder);
	free(path);
	return there;
}

static int unknown_word(const char *word)
{
	struct names all = { 0 };
	const char *near;
	struct err e;

	if (tools_names(&all, &e) < 0)
		warn("%s", e.text);
	for (const struct command *c = commands; c->name; c++)
		names_add(&all, c->name);
	near = tools_near(&all, word);
	if (near)
		warn("there is no command or stage '%s', did you mean '%s'", word, near);
	else
		warn("there is no command or stage '%s'; booth help lists those that there are",
		     word);
	names_release(&all);
	return 2;
}

int cmd_help(int argc, char **argv, const struct command *c)
{
	const struct command *about;
	char help[] = "--help", *words[] = { NULL, help, NULL };

	(void)c;
	if (argc < 2 || starts_with(argv[1], "-")) {
		print_commands(stdout);
		return 0;
	}
	words[0] = argv[1];
	about = find_command(argv[1]);
	if (about && about->run != cmd_help)
		return about->run(2, words, about);
	if (exec_stage(argv[1], words))
		return 1;
	return unknown_word(argv[1]);
}

int cmd_version(int argc, char **argv, const struct command *c)
{
	(void)argc, (void)argv, (void)c;
	printf("booth %s, store format %d\n", BOOTH_VERSION, STORE_FORMAT);
	return 0;
}

/* A full disk behind stdout must not look like success. */
static int flushed(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	warn("cannot write to standard output: %s", strerror(errno));
	return code ? code : 1;
}

int main(int argc, char **argv)
{
	const struct command *c;
	const char *word = argc > 1 ? argv[1] : NULL;

	program_name = "booth";
	files_guard_std();
	signal(SIGXFSZ, SIG_IGN);       /* a file that may not grow is an error with a sentence */
	if (!word) {
		print_commands(stderr);
		return 2;
	}
	if (!strcmp(word, "--list-commands")) {
		list_commands();
		return flushed(0);
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		word = "help";
	if (!strcmp(word, "--version"))
		word = "version";
	c = find_command(word);
	if (c)
		return flushed(c->run(argc - 1, argv + 1, c));
	if (exec_stage(word, argv + 1))
		return 1;
	return unknown_word(word);
}
