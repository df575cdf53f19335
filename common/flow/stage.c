#include "common/flow/stage.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/flow/lock.h"
#include "common/flow/stage_impl.h"
#include "common/flow/why.h"

enum { DONE, FAILED, USAGE };           /* exit codes */

struct common {                         /* the options of every stage */
	const char *store;
	int quiet, force, keep_going, dry_run, help, version, list;
	int64_t threads;
};

#define COMMON_ROWS(c) { \
	{ "store", OPT_PATH, &(c)->store, "folder[:folder]", "where results are kept (and looked for); else $BOOTH_STORE or .booth", .quiet = 1 }, \
	{ "quiet", OPT_FLAG, &(c)->quiet, "", "say nothing but errors", .quiet = 1 }, \
	{ "force", OPT_FLAG, &(c)->force, "", "run even if the result is known", .quiet = 1 }, \
	{ "keep-going", OPT_FLAG, &(c)->keep_going, "", "succeed without the items that failed", .quiet = 1 }, \
	{ "threads", OPT_INT, &(c)->threads, "", "workers; 0 = one for each processor", .max = 1024, .quiet = 1 }, \
	{ "dry-run", OPT_FLAG, &(c)->dry_run, "", "only say whether it would run, and why", .quiet = 1 }, \
	{ "help", OPT_FLAG, &(c)->help, "", "this text", .quiet = 1 }, \
	{ "version", OPT_FLAG, &(c)->version, "", "print the stage's version", .quiet = 1 }, \
	{ "list-options", OPT_FLAG, &(c)->list, "", "print the options for programs, a line each", .quiet = 1 }, \
	{ 0 } }

static size_t count_rows(const struct opt *rows)
{
	size_t n = 0;

	while (rows[n].name)
		n++;
	return n;
}

/* The stage's rows, then those of every stage. */
static struct opt *join_rows(const struct stage *stage, const struct opt *own,
			     const struct opt *common)
{
	size_t n = count_rows(own), m = count_rows(common);
	struct opt *all = xcalloc(n + m + 1, sizeof *all);

	memcpy(all, own, n * sizeof *all);
	memcpy(all + n, common, m * sizeof *all);
	for (size_t i = 0; i < n + m; i++)
		if (opt_find(all, all[i].name) != &all[i])
			BUG("stage '%s' has two options '%s'", stage->name, all[i].name);
	return all;
}

/* ---- talk ---- */

static int flush_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return DONE;
	warn("cannot write to standard output: %s", strerror(errno));
	return FAILED;
}

static const char *input_words(enum stage_input kind)
{
	return kind == INPUT_TABLE ? "[REF|FILE]" : kind == INPUT_TABLE_OPTIONAL ? "[REF|FILE]" : "";
}

static int print_help(const struct stage *stage, const struct opt *own, const struct opt *common)
{
	printf("usage: booth %s [options] %s\n\n%s\n", stage->name,
	       stage->usage ? stage->usage : input_words(stage->input), stage->about);
	if (stage->input == INPUT_TABLE || stage->input == INPUT_TABLE_OPTIONAL)
		printf("\nThe table that it works on%s is named by a reference, or comes on standard input: a\n"
		       "reference, or the table itself.\n",
		       stage->input == INPUT_TABLE ? "" : " (none is needed)");
	printf("\nOptions:\n");
	opt_help(own, stdout);
	printf("\nOptions of every stage:\n");
	opt_help(common, stdout);
	return flush_stdout();
}

static int print_options(const struct opt *all)
{
	opt_list_rows(all, stdout);
	return flush_stdout();
}

static int print_ref(const char *before, const struct ref *r)
{
	char text[STAGE_NAME + 1 + OID_HEX];

	printf("%s%s\n", before, ref_text(r, text));
	return flush_stdout();
}

/* ---- why it would run ---- */

struct nearest {
	const char *text;       /* of the action at hand */
	struct buf why;
	int least;              /* -1: none seen */
};

static const char *second_line(const char *text)
{
	const char *end = strchr(text, '\n');

	return end ? end + 1 : "";
}

/* Oldest first, so that of two that differ as much the later one is kept. */
static int compare_action(void *data, const struct oid *key, const char *text,
			  const struct result *r)
{
	struct nearest *n = data;
	int d;

	(void)key, (void)r;
	if (!starts_with(second_line(text), "stage\n"))
		return 0;
	d = action_diff(text, n->text, NULL);
	if (n->least < 0 || d <= n->least) {
		n->least = d;
		buf_clear(&n->why);
		action_diff(text, n->text, &n->why);
	}
	return 0;
}

static int print_reason(struct job *j, struct err *e)
{
	struct nearest n = { .text = buf_str(&j->action.text), .least = -1 };

	if (!j->force && store_actions(j->stores, j->stage->name, compare_action, &n, e) < 0) {
		warn("%s", e->text);
		return FAILED;
	}
	if (j->force)
		buf_adds(&n.why, "--force was given");
	else if (n.least < 0)
		buf_adds(&n.why, "never run");
	else if (n.least == 0)
		buf_adds(&n.why, "its recorded result is gone");
	printf("would run: %s\n", buf_str(&n.why));
	buf_release(&n.why);
	return flush_stdout();
}

/* ---- the run ---- */

static int build_action(struct job *j, struct err *e)
{
	if (job_inputs_load(j, e) < 0)
		return -1;
	action_begin(&j->action, j->stage->name, j->stage->version, "stage");
	for (const struct opt *row = j->opts; row->name; row++)
		job_add_option(j, &j->action, row);
	if (j->in_ref.stage[0])
		action_input(&j->action, "table", &j->in_ref.id);
	return j->stage->key ? j->stage->key(j, &j->action, e) : 0;
}

static int find_known(struct job *j, struct result *r, struct err *e)
{
	int found = j->force ? 0 : store_find(j->stores, &j->action, r, e);

	if (found == 1 && j->stage->still)
		found = j->stage->still(j, &r->out, e);
	return found;
}

static int run_failed(struct job *j, const struct err *e)
{
	if (*e->text)
		warn("%s", e->text);
	if (stop_wanted())
		warn("stopped; what was finished is kept, run the same command again to go on");
	else if (!*e->text)
		BUG("stage '%s' failed without a sentence", j->stage->name);
	return FAILED;
}

/* Items failed. The stage's action is not recorded, so that the same command tries them again. */
static int some_failed(struct job *j)
{
	if (j->keep_going) {
		talk("%zu failed and are left out", j->failed);
		return 0;
	}
	warn("%zu failed, see above; the others are done and kept (--keep-going goes on without the failed ones)",
	     j->failed);
	return -1;
}

static int run_stage(struct job *j, struct err *e)
{
	struct result r = { 0 };
	struct table out = { 0 };
	double start = clock_now();
	int code = FAILED;

	e->text[0] = 0;
	if (j->stage->run(j, &out, e) < 0) {
		code = run_failed(j, e);
		goto out;
	}
	if (j->only_told) {
		code = flush_stdout();
		goto out;
	}
	if (!out.columns)
		BUG("stage '%s' made a table without columns", j->stage->name);
	if (j->failed && some_failed(j) < 0)
		goto out;
	if (store_put_table(j->stores, j->stage->name, &out, &r.out, e) < 0)
		goto bad;
	r.seconds = clock_now() - start;
	if (j->failed ? stores_flush(j->stores, e) < 0 :
	    store_record(j->stores, &j->action, &r, e) < 0)
		goto bad;
	code = print_ref("", &r.out);
	goto out;
bad:
	warn("%s", e->text);
out:
	result_release(&r);
	table_release(&out);
	return code;
}

/* Not known: wait for whoever computes it already, and look again. */
static int find_claimed(struct job *j, struct result *r, int *claim, struct err *e)
{
	struct oid key;

	action_key(&j->action, &key);
	*claim = claim_take(stores_root(j->stores), &key, e);
	return *claim == CLAIM_STOPPED ? -1 : *claim < 0 ? 0 : find_known(j, r, e);
}

static int find_or_run(struct job *j, int dry_run, struct err *e)
{
	struct result r = { 0 };
	int found = find_known(j, &r, e), claim = CLAIM_NONE, code;

	if (found == 0 && !dry_run) {
		result_release(&r);
		found = find_claimed(j, &r, &claim, e);
	}

	if (found < 0) {
		warn("%s", e->text);
		code = FAILED;
	} else if (found && dry_run) {
		code = print_ref("fresh ", &r.out);
	} else if (found) {
		talk("known, nothing to do");
		code = print_ref("", &r.out);
	} else {
		code = dry_run ? print_reason(j, e) : run_stage(j, e);
	}
	claim_drop(claim);
	result_release(&r);
	return code;
}

static int wrong_usage(const struct stage *stage, const struct err *e)
{
	warn("%s", e->text);
	fprintf(stderr, "booth %s --help lists options and arguments\n", stage->name);
	return USAGE;
}

static void say_taken(struct stores *s)
{
	struct taken t = stores_taken(s);
	struct buf b = { 0 };

	text_bytes(&b, t.bytes);
	if (t.objects)
		talk("%zu objects (%s) were known elsewhere and are copied", t.objects, buf_str(&b));
	buf_release(&b);
}

/* Everything between parsing and the end. */
static int run_job(struct job *j, char **word, int words, int dry_run, struct err *e)
{
	enum input_found found = job_read_input(j, word, words, dry_run, e);

	if (found == INPUT_USAGE)
		return wrong_usage(j->stage, e);
	if (found == INPUT_NOT_YET) {
		printf("would run: the stage before it would run\n");
		return flush_stdout();
	}
	if (found == INPUT_FAILED) {
		warn("%s", e->text);
		return FAILED;
	}
	stop_catch();
	if (j->stage->check && j->stage->check(j, e) < 0)
		return wrong_usage(j->stage, e);
	if (build_action(j, e) < 0)
		return run_failed(j, e);
	return find_or_run(j, dry_run, e);
}

static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/*
 * With the store's lock held, so that nothing is deleted meanwhile; a look alone does not need it.
 */
static int lock_and_run(struct job *j, char **word, int words, int dry_run, struct err *e)
{
	int lock = dry_run ? -1 : lock_take(stores_root(j->stores), 0, e), code;
	int64_t made, known;

	if (!dry_run && lock < 0) {
		warn("%s", e->text);
		stores_close(j->stores);
		return FAILED;
	}
	if (dry_run)
		stores_only_look(j->stores);
	code = run_job(j, word, words, dry_run, e);
	say_taken(j->stores);
	stores_items(j->stores, &made, &known);
	talk_report("items\t%lld\t%lld", (long long)made, (long long)known);
	action_release(&j->action);
	job_inputs_release(j);
	table_release(&j->in);
	stores_close(j->stores);
	if (lock >= 0)
		close(lock);
	return code;
}

static int parse_and_run(int argc, char **argv, struct job *j, const struct opt *rows,
			 struct common *c)
{
	struct err e = { "" };
	int words;

	if (opt_parse(rows, argc, argv, &words, &e) < 0)
		return wrong_usage(j->stage, &e);
	if (c->quiet)
		setenv("BOOTH_QUIET", "1", 1);
	j->keep_going = c->keep_going;
	j->force = c->force;
	j->threads = c->threads ? (int)c->threads : processors();
	if (stores_open(&j->stores, c->store, &e) < 0) {
		warn("%s", e.text);
		return FAILED;
	}
	return lock_and_run(j, argv + 1, words, c->dry_run, &e);
}

/* Looked at before parsing, so that required options need not be given. */
static int is_asked(int argc, char **argv, const char *option)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], option))
			return 1;
	return 0;
}

/*
 * Where something else runs on the machine, a team of threads that spins at barriers makes a step
 * ten times slower (measured: 20 small steps in 54 s spinning, in 2.7 s with this), and a short
 * spin is as fast as a long one where nothing does. libgomp reads its settings before main, so the
 * program has to be started again (1 ms), unless the user, or the runner, has said something
 * already.
 */
extern int omp_get_max_threads(void) __attribute__((weak));     /* NULL: not linked with it */

static void wait_briefly(char **argv)
{
	setenv("KMP_BLOCKTIME", "0", 0);        /* clang's reads it later */
	if (!omp_get_max_threads || getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
		return;
	setenv("GOMP_SPINCOUNT", "2000", 1);
	execv("/proc/self/exe", argv);          /* failed: slower, but nothing is wrong */
}

int stage_main(int argc, char **argv, const struct stage *stage, const struct opt *opts,
	       void *params)
{
	struct common c = { 0 };
	const struct opt common[] = COMMON_ROWS(&c);
	struct opt *rows = join_rows(stage, opts, common);
	struct job j = { .stage = stage, .opts = opts, .params = params };
	int code;

	wait_briefly(argv);
	files_guard_std();
	program_name = stage->name;
	/*
	 * A reader that went away and a file that may not
	 * grow are errors with a sentence, not deaths.
	 */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (opt_wants_help(argc, argv)) {
		code = print_help(stage, opts, common);
	} else if (is_asked(argc, argv, "--version")) {
		printf("%d\n", stage->version);
		code = flush_stdout();
	} else if (is_asked(argc, argv, "--list-options")) {
		code = print_options(rows);
	} else {
		code = parse_and_run(argc, argv, &j, rows, &c);
	}
	free(rows);
	return code;
}
