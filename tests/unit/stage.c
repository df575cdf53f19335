#include "tests/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/flow/stage.h"

/* ---- a small stage: writes each item's caption in capitals ---- */

struct shout {
	int64_t times;
	const char *fail, *model, *class, *out;
	int stop;
};

static int one_item(struct job *j, const char *item, const char *caption, char *loud, struct err *e)
{
	struct shout *p = j->params;
	struct action a;
	struct result r = { 0 };
	int found;

	if (p->fail && !strcmp(p->fail, item))
		return fail(e, "it is broken");
	job_item_action(j, &a, (const char *const[]){ "times", "model", NULL }, e);
	action_param(&a, "caption", caption);
	found = store_find(j->stores, &a, &r, e);
	for (size_t i = 0; i <= strlen(caption); i++)
		loud[i] = caption[i] >= 'a' && caption[i] <= 'z' ?
			(char)(caption[i] - 32) : caption[i];
	if (found == 0) {
		talk("works on %s", item);
		if (store_put(j->stores, "shout", KIND_TEXT, loud, strlen(loud), &r.out, e) < 0 ||
		    store_record(j->stores, &a, &r, e) < 0)
			found = -1;
	}
	result_release(&r);
	action_release(&a);
	return found;
}

static int shout_run(struct job *j, struct table *out, struct err *e)
{
	struct shout *p = j->params;
	int item = table_need(&j->in, "item", "shout", e), caption = table_need(&j->in, "caption", "shout", e);
	char loud[100];

	if (item < 0 || caption < 0)
		return -1;
	for (int i = 0; i < j->in.columns; i++)
		table_add_column(out, j->in.name[i]);
	for (size_t i = 0; i < j->in.rows; i++) {
		const char *name = table_get(&j->in, i, item);
		struct err why;
		size_t row;

		if (p->stop && i == 1)
			raise(SIGINT);
		if (stop_wanted())
			return fail(e, "interrupted after %zu", i);
		if (one_item(j, name, table_get(&j->in, i, caption), loud, &why) < 0) {
			job_item_failed(j, name, &why);
			continue;
		}
		row = table_append(out, &j->in, i);
		table_set(out, row, caption, loud);
	}
	return 0;
}

static int shout_check(struct job *j, struct err *e)
{
	struct shout *p = j->params;

	return p->times == 13 ? fail(e, "13 times is bad luck") : 0;
}

static int shout_still(struct job *j, const struct ref *result, struct err *e)
{
	struct shout *p = j->params;

	(void)result, (void)e;
	return !p->out || is_file(p->out);
}

static int shout_main(int argc, char **argv)
{
	struct shout p = { .times = 1 };
	const struct opt opts[] = {
		{ "times", OPT_INT, &p.times, "", "how often", .min = 1, .max = 100 },
		{ "model", OPT_PATH, &p.model, "", .help = "a file" },
		{ "class", OPT_REF, &p.class, "", .help = "another table" },
		{ "fail", OPT_TEXT, &p.fail, "", "an item that fails", .quiet = 1 },
		{ "out", OPT_PATH, &p.out, "", "a file to write", .quiet = 1 },
		{ "stop", OPT_FLAG, &p.stop, "", "interrupt itself", .quiet = 1 },
		{ 0 }
	};
	const struct stage stage = {
		.name = "shout", .version = 3, .input = INPUT_TABLE, .about = "capital letters",
		.run = shout_run, .check = shout_check, .still = shout_still,
	};

	return stage_main(argc, argv, &stage, opts, &p);
}

/* ---- running it ---- */

static const char *root;
static struct buf out, talk_text;

static void slurp(struct buf *b, const char *name)
{
	char *path = path_join(root, name);
	struct err e;

	buf_clear(b);
	CHECK_OK(file_read(b, path, 1 << 20, &e), e);
	free(path);
}

static void redirect(int fd, const char *name, int flags)
{
	char *path = path_join(root, name);
	int from = open(path, flags, 0666);

	if (from < 0 || dup2(from, fd) < 0)
		_exit(99);
	if (from != fd)
		close(from);
	free(path);
}

/*
 * Run `line` with that standard input (NULL: closed); its
 * exit code. A '!' before it closes standard output.
 */
static int shout(const char *input, const char *line)
{
	char copy[600], *argv[32] = { "booth-shout" }, *p = copy;
	int argc = 1, status, close_out = *line == '!';
	struct err e;
	char *path = path_join(root, "in");
	pid_t pid;

	CHECK_OK(file_replace(path, input ? input : "", input ? strlen(input) : 0, &e), e);
	free(path);
	snprintf(copy, sizeof copy, "--store %s/store%s%s", root, line[close_out] ? " " : "", line + close_out);
	for (char *w; (w = strsep(&p, " ")); )
		argv[argc++] = w;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (input)
			redirect(0, "in", O_RDONLY);
		else
			close(0);
		redirect(1, "out", O_WRONLY | O_CREAT | O_TRUNC);
		redirect(2, "talk", O_WRONLY | O_CREAT | O_TRUNC);
		if (close_out)
			close(1);
		exit(shout_main(argc, argv));
	}
	waitpid(pid, &status, 0);
	slurp(&out, "out");
	slurp(&talk_text, "talk");
	if (WIFSIGNALED(status))
		printf("# ended by signal %d: %s\n", WTERMSIG(status), buf_str(&talk_text));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int said(const char *text)
{
	if (strstr(buf_str(&talk_text), text))
		return 1;
	printf("# said: %s", buf_str(&talk_text));
	return 0;
}

#define TABLE "item\tcaption\nrex\ta dog\ntom\ta cat\n"

static void work_is_done_once(void)
{
	char first[100], line[200];

	root = test_folder("stage");
	CHECK_INT(shout(TABLE, "--dry-run"), 0);
	CHECK_STR(buf_str(&out), "would run: never run\n");
	CHECK(!is_folder("build/scratch/stage/store/shout"));
	CHECK_INT(shout(TABLE, ""), 0);
	CHECK(said("works on rex") && said("works on tom"));
	CHECK(ref_is(strtok(out.at, "\n")));
	snprintf(first, sizeof first, "%s", buf_str(&out));
	CHECK_INT(shout(TABLE, ""), 0);
	CHECK(!strncmp(buf_str(&out), first, 38) && !strstr(buf_str(&talk_text), "works on"));
	/*
	 * one item changed: one item's work; the table named by a file, by reference, abbreviated
	 */
	CHECK_INT(shout("item\tcaption\nrex\ta dog\ntom\ta tomcat\n", ""), 0);
	CHECK(!strstr(buf_str(&talk_text), "works on rex") && said("works on tom"));
	CHECK_INT(shout(NULL, "build/scratch/stage/in"), 1);
	CHECK(said("build/scratch/stage/in: empty"));
	CHECK_INT(shout(first, ""), 0);
	CHECK(said("works on rex"));
	snprintf(line, sizeof line, "%.20s", first);
	CHECK_INT(shout("", line), 0);
	CHECK(said("known, nothing to do"));
	CHECK_INT(shout(TABLE, "--force --quiet"), 0);
	CHECK_STR(buf_str(&talk_text), "");
}

static void reasons_name_the_nearest_run(void)
{
	root = test_folder("stage-why");
	CHECK_INT(shout(TABLE, "--times 2"), 0);
	CHECK_INT(shout("item\tcaption\nq\tr\n", "--times 5"), 0);
	CHECK_INT(shout(TABLE, "--dry-run --times 3"), 0);
	CHECK_STR(buf_str(&out), "would run: times 2 -> 3\n");
	CHECK_INT(shout(TABLE, "--dry-run --times 2"), 0);
	CHECK(!strncmp(buf_str(&out), "fresh shout/", 12));
	CHECK_INT(shout(buf_str(&out), "--dry-run"), 0);        /* as in a pipe of dry runs */
	CHECK_STR(buf_str(&out), "would run: times 5 -> 1; input table changed\n");
	CHECK_INT(shout("would run: never run\n", "--dry-run"), 0);
	CHECK_STR(buf_str(&out), "would run: the stage before it would run\n");
	CHECK_INT(shout("item\tcaption\nx\ty\n", "--dry-run --times 5"), 0);
	CHECK_STR(buf_str(&out), "would run: input table changed\n");
}

static void contents_enter_the_key(void)
{
	struct err e;

	root = test_folder("stage-key");
	CHECK_OK(file_replace("build/scratch/stage-key/model", "one", 3, &e), e);
	CHECK_INT(shout(TABLE, "--model build/scratch/stage-key/model"), 0);
	CHECK_OK(file_replace("build/scratch/stage-key/model", "two", 3, &e), e);
	CHECK_INT(shout(TABLE, "--model build/scratch/stage-key/model --dry-run"), 0);
	CHECK_STR(buf_str(&out), "would run: input model changed\n");
	CHECK_OK(file_replace("build/scratch/stage-key/other", "one", 3, &e), e);
	CHECK_INT(shout(TABLE, "--model build/scratch/stage-key/other --dry-run"), 0);
	CHECK(!strncmp(buf_str(&out), "fresh ", 6));
	CHECK_INT(shout(TABLE, "--model build/scratch/none"), 1);
	CHECK(said("shout: option '--model': cannot open 'build/scratch/none': No such file"));
	CHECK_INT(shout(TABLE, "--class shout/12345678"), 1);
	CHECK(said("shout: option '--class': there is no object 'shout/12345678'"));
	CHECK_INT(shout(TABLE, "--out build/scratch/stage-key/file --model build/scratch/stage-key/other --dry-run"), 0);
	CHECK(!strncmp(buf_str(&out), "would run: ", 11));     /* known, but its file is not there */
}

static void wrong_usage_is_told(void)
{
	root = test_folder("stage-usage");
	CHECK_INT(shout(TABLE, "--tims 2"), 2);
	CHECK(said("shout: there is no option '--tims', did you mean '--times'"));
	CHECK_INT(shout(TABLE, "--times 0"), 2);
	CHECK_INT(shout(TABLE, "--times 13"), 2);
	CHECK(said("13 times is bad luck"));
	CHECK_INT(shout(TABLE, "one two"), 2);
	CHECK(said("'two' is one argument too many"));
	CHECK_INT(shout(TABLE, "one"), 2);
	CHECK_INT(shout("", ""), 1);
	CHECK(said("standard input is empty, a reference or a table is wanted; in a pipe, the command before 'shout' "
		   "probably failed"));
	CHECK_INT(shout(NULL, ""), 1);
	CHECK(said("standard input is closed"));
	CHECK_INT(shout("hello\n", ""), 1);
	CHECK(said("standard input is neither a reference (STAGE/HEX) nor a table (a header line with tabs): 'hello'"));
	CHECK_INT(shout("item\tcaption\nrex\n", ""), 1);
	CHECK(said("standard input:2: the line has 1 values"));
	CHECK_INT(shout(TABLE, "--help"), 0);
	CHECK(strstr(buf_str(&out), "usage: booth shout [options]") && strstr(buf_str(&out), "--keep-going"));
	CHECK_INT(shout(TABLE, "--version"), 0);
	CHECK_STR(buf_str(&out), "3\n");
	CHECK_INT(shout(TABLE, "--list-options"), 0);
	CHECK(starts_with(buf_str(&out),
			  "times\tint\t0\t\t--times N\thow often (1 to 100; default 1)\n"
			  "model\tpath\t0\t\t--model PATH\ta file (not given by default)\n"));
	CHECK(strstr(buf_str(&out), "\nclass\tref\t0\t") && strstr(buf_str(&out), "\nfail\ttext\t1\t"));
}

static void failed_items_are_told(void)
{
	root = test_folder("stage-fail");
	CHECK_INT(shout(TABLE, "--fail rex"), 1);
	CHECK(said("shout: 'rex': it is broken") && said("works on tom") && said("1 failed"));
	CHECK_STR(buf_str(&out), "");
	CHECK_INT(shout(TABLE, "--fail rex --keep-going"), 0);
	CHECK(ref_is(strtok(out.at, "\n")));
	CHECK(!strstr(buf_str(&talk_text), "works on tom"));
	CHECK_INT(shout(TABLE, ""), 0);         /* what lacks an item was not recorded */
	CHECK(said("works on rex"));
}

static void interrupted_work_is_kept(void)
{
	root = test_folder("stage-stop");
	CHECK_INT(shout(TABLE, "--stop"), 1);
	CHECK(said("works on rex") && said("run the same command again to go on"));
	CHECK_STR(buf_str(&out), "");
	CHECK_INT(shout(TABLE, ""), 0);
	CHECK(!strstr(buf_str(&talk_text), "works on rex") && said("works on tom"));
}

static void lost_output_is_a_failure(void)
{
	root = test_folder("stage-out");
	CHECK_INT(shout(TABLE, "!"), 1);
	CHECK(said("cannot write to standard output: Bad file descriptor"));
	/* the work was kept, and the store was not written over */
	CHECK_INT(shout(TABLE, ""), 0);
	CHECK(said("known, nothing to do"));
}

int main(void)
{
	setenv("GOMP_SPINCOUNT", "2000", 1);  /* or stage_main, called in a child, would start this test again */
	TEST(work_is_done_once);
	TEST(reasons_name_the_nearest_run);
	TEST(contents_enter_the_key);
	TEST(wrong_usage_is_told);
	TEST(failed_items_are_told);
	TEST(interrupted_work_is_kept);
	TEST(lost_output_is_a_failure);
	buf_release(&out);
	buf_release(&talk_text);
	return test_end();
}
