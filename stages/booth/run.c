/* booth run: the scheduler. */
#include "stages/booth/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "kernels/run/device.h"
#include "stages/booth/screen.h"

/* ---- ctrl-C: handed on once; the second time kills ---- */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals += sig != SIGCHLD;
}

/* They are let in only while ppoll waits, so that none is missed between a look and the wait. */
static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal };

	sigemptyset(&a.sa_mask);
	sigaddset(&a.sa_mask, SIGINT);
	sigaddset(&a.sa_mask, SIGTERM);
	sigaddset(&a.sa_mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &a.sa_mask, NULL);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGCHLD, &a, NULL);
}

static void hand_on(struct runner *r, int *told)
{
	int now = signals;

	if (now == *told)
		return;
	screen_clear(r);
	if (*told == 0)
		talk("stopping: stages finish what they are at; once more kills them");
	for (size_t i = 0; i < r->tasks; i++)
		if (r->task[i].state == TASK_RUNNING)
			kill(-r->task[i].child.pid, *told == 0 && now == 1 ? SIGINT : SIGKILL);
	*told = now;
}

/* ---- one task ---- */


/* Stages that keep a device busy run one at a time on it. */
static int uses_device(const char *stage)
{
	static const char *const busy[] = { "train", "sample", "gen-class", NULL };

	for (int i = 0; busy[i]; i++)
		if (!strcmp(stage, busy[i]))
			return 1;
	return starts_with(stage, "encode-");
}

static const char *device_of(const struct step *s)
{
	for (size_t i = 1; i < s->words.n; i++) {
		if (starts_with(s->words.at[i].text, "--device="))
			return s->words.at[i].text + 9;
		if (!strcmp(s->words.at[i].text, "--device") && i + 1 < s->words.n)
			return s->words.at[i + 1].text;
	}
	return NULL;
}

static int has_place(const struct runner *r, const struct task *t)
{
	const struct step *s = task_step(t), *other;
	int running = 0;

	for (size_t i = 0; i < r->tasks; i++) {
		if (r->task[i].state != TASK_RUNNING)
			continue;
		running++;
		other = task_step(&r->task[i]);
		if (uses_device(s->words.at[0].text) && uses_device(other->words.at[0].text) &&
		    device_same(device_of(s), device_of(other)))
			return 0;
	}
	return running < r->jobs;
}

/* The folder that a file target goes into. */
static int make_parent(const char *path, struct err *e)
{
	const char *base = path_base(path);
	char *folder = xstrndup(path, (size_t)(base - path));
	int ret = *folder ? make_folder(folder, e) : 0;

	free(folder);
	return ret;
}

static int start_step(struct runner *r, struct task *t, struct err *e)
{
	struct names args = { 0 };
	const struct tool *tool;
	int ret = -1;

	if (step_tool(r, task_step(t), &tool, e) < 0 || step_args(r, t, r->always, &args, e) < 0)
		goto out;
	if (t->rule->kind == RULE_FILE && make_parent(t->rule->target, e) < 0)
		goto out;
	screen_clear(r);
	if (r->explain)
		step_explain(t, &args);
	else
		talk("%s: %s runs: %s", t->rule->target, tool->name, buf_str(&t->why));
	if (child_start(&t->child, tool->path, args.at, r->jobs > 1 || r->draws, r->draws, e) < 0)
		goto out;
	t->state = TASK_RUNNING;
	ret = 0;
out:
	names_release(&args);
	return ret;
}

/*
 * Go on with a task that waits: over steps that are known,
 * up to one that has to run and has a place.
 */
static int task_advance(struct runner *r, struct task *t, struct err *e)
{
	struct result known = { 0 };
	int found, ret = -1;

	for (;;) {
		found = t->checked ? 0 : step_known(r, t, &known, e);
		if (found < 0)
			goto out;
		if (found == 0)
			break;
		now_step(t, &known, "");
		if (!step_take(t, &known.out)) {
			ret = task_end(r, t, task_ran(t), e);
			goto out;
		}
		result_release(&known);
	}
	t->checked = 1;
	ret = has_place(r, t) ? start_step(r, t, e) : 0;
out:
	result_release(&known);
	return ret;
}

/* ---- the end of a stage ---- */

/* Of a line of a stage's talk, where several run. */
static const char *prefix_of(const struct runner *r, const struct task *t)
{
	return r->jobs > 1 ? t->rule->target : NULL;
}

static void child_ended(struct runner *r, struct task *t, int status)
{
	const struct word *w = &task_step(t)->words.at[0];
	struct err e;

	screen_clear(r);
	while (t->child.out >= 0)
		child_read(&t->child, CHILD_OUT, NULL);
	while (t->child.err >= 0)
		child_read(&t->child, CHILD_ERR, prefix_of(r, t));
	while (t->child.report >= 0)
		child_read(&t->child, CHILD_REPORT, NULL);
	if (WIFSIGNALED(status)) {
		fail(&e, "'%s' was ended by signal %d (%s)", w->text, WTERMSIG(status),
		     strsignal(WTERMSIG(status)));
		task_failed(r, t, &e);
	} else if (WEXITSTATUS(status) == 2) {
		place_fail(&e, w->at, "'%s' was called wrongly", w->text);
		task_failed(r, t, &e);
	} else if (WEXITSTATUS(status)) {
		fail(&e, "'%s' failed (exit %d)", w->text, WEXITSTATUS(status));
		task_failed(r, t, &e);
	} else if (step_done(r, t, &e) < 0) {
		task_failed(r, t, &e);
	}
	child_release(&t->child);
}

static void read_ready(struct runner *r, struct task *t, const struct pollfd *fd)
{
	struct child *c = &t->child;
	int pipe = fd->fd == c->out ? CHILD_OUT : fd->fd == c->err ? CHILD_ERR : CHILD_REPORT;

	if (pipe == CHILD_ERR)
		screen_clear(r);
	child_read(c, pipe, prefix_of(r, t));
}

/* Wait for output or an end of one of the stages. */
static void wait_some(struct runner *r)
{
	struct pollfd *fd = xcalloc(3 * r->tasks + 1, sizeof *fd);
	struct task **of = xcalloc(3 * r->tasks + 1, sizeof *of);
	const struct timespec second = { .tv_sec = 1 };
	sigset_t none;
	nfds_t n = 0;
	int status;

	for (size_t i = 0; i < r->tasks; i++) {
		struct task *t = &r->task[i];
		int all[3] = { t->child.out, t->child.err, t->child.report };

		for (int k = 0; k < 3 && t->state == TASK_RUNNING; k++)
			if (all[k] >= 0) {
				of[n] = t;
				fd[n++] = (struct pollfd){ .fd = all[k], .events = POLLIN };
			}
	}
	screen_draw(r, 0);
	sigemptyset(&none);
	if (ppoll(fd, n, &second, &none) > 0)
		for (nfds_t i = 0; i < n; i++)
			if (fd[i].revents)
				read_ready(r, of[i], &fd[i]);
	for (size_t i = 0; i < r->tasks; i++) {
		struct task *t = &r->task[i];

		if (t->state == TASK_RUNNING &&
		    waitpid(t->child.pid, &status, WNOHANG) == t->child.pid)
			child_ended(r, t, status);
	}
	free(of);
	free(fd);
}

/* ---- all of them ---- */

/* 1 what it needs is there, 0 not yet, -1 it failed. */
static int needs_are_there(const struct task *t)
{
	int ready = 1;

	for (size_t i = 0; i < t->needs; i++) {
		enum task_state s = t->need[i]->state;

		if (s == TASK_FAILED || s == TASK_SKIPPED)
			return -1;
		if (s != TASK_FRESH && s != TASK_DONE)
			ready = 0;
	}
	return ready;
}

static void begin_task(struct runner *r, struct task *t)
{
	struct err e;

	if (t->rule->kind == RULE_GROUP) {
		t->state = TASK_FRESH;
		for (size_t i = 0; i < t->needs; i++)
			if (t->need[i]->state == TASK_DONE)
				t->state = TASK_DONE;
		return;
	}
	if (!t->now.t.rows)
		task_first_step(t);
	if (task_advance(r, t, &e) < 0)
		task_failed(r, t, &e);
}

/* Start what can be started; the number of running stages. */
static int start_all(struct runner *r, int stop)
{
	int running = 0;

	for (size_t i = 0; i < r->tasks; i++) {
		struct task *t = &r->task[i];
		int ready = t->state == TASK_WAITING ? needs_are_there(t) : 0;

		if (ready < 0) {
			t->state = TASK_SKIPPED;
			screen_clear(r);
			warn("%s: left out, because something it needs failed", t->rule->target);
		} else if (ready > 0 && !stop) {
			begin_task(r, t);
		}
		stop |= t->state == TASK_FAILED && !r->keep_going;
		running += t->state == TASK_RUNNING;
	}
	return running;
}

static size_t count_state(const struct runner *r, enum task_state s)
{
	size_t n = 0;

	for (size_t i = 0; i < r->tasks; i++)
		n += r->task[i].state == s;
	return n;
}

static void print_task(const struct task *t)
{
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	if (t->state != TASK_FRESH && t->state != TASK_DONE)
		return;
	if (t->rule->kind == RULE_GROUP)
		for (size_t i = 0; i < t->needs; i++)
			print_task(t->need[i]);
	else
		puts(t->rule->kind == RULE_FILE ? t->rule->target : ref_text(&t->result, text));
}

static int summary(const struct runner *r, int interrupted)
{
	size_t failed = count_state(r, TASK_FAILED),
	       left = count_state(r, TASK_SKIPPED) + count_state(r, TASK_WAITING);

	for (size_t i = 0; i < r->tasks; i++)
		if (r->task[i].wanted)
			print_task(&r->task[i]);
	if (interrupted)
		talk("interrupted; the same command goes on from here");
	else if (failed)
		warn("%zu of %zu targets failed, %zu were left out", failed, r->tasks, left);
	else if (!count_state(r, TASK_DONE))
		talk("nothing to do: %zu target%s up to date", r->tasks,
		     r->tasks == 1 ? " is" : "s are");
	return interrupted ? 130 : failed || left ? 1 : 0;
}

int runner_run(struct runner *r)
{
	int told = 0;

	catch_signals();
	r->draws = screen_wanted();
	for (;;) {
		size_t waiting = count_state(r, TASK_WAITING);
		int stop = signals || (!r->keep_going && count_state(r, TASK_FAILED)),
		    running = start_all(r, stop);

		hand_on(r, &told);
		if (running)
			wait_some(r);
		else if (stop || count_state(r, TASK_WAITING) == waiting)
			break;
	}
	screen_clear(r);
	return summary(r, signals > 0);
}
