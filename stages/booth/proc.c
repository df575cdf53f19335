/* Processes of stages. */
#include "stages/booth/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"

#define OUT_LIMIT 65536         /* a stage prints one reference; more is thrown away */

/*
 * A group of its own: ctrl-C on a terminal reaches the runner alone, which hands it on once. If the
 * runner is killed, its stages are asked to stop (they commit what they have).
 */
static void run_child(const char *path, char *const *args, const int fd[3], int drawn, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY), out = fd[0], err = fd[1];
	char report[32];
	sigset_t none;

	snprintf(report, sizeof report, "%d%s", fd[2], drawn ? " drawn" : "");
	setenv("BOOTH_REPORT", report, 1);
	fcntl(fd[2], F_SETFD, 0);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	dup2(null, 0);
	dup2(out, 1);
	if (err >= 0)
		dup2(err, 2);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, args);
	_exit(127);
}

static void close_pair(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

int child_start(struct child *c, const char *path, char *const *args, int take_err, int drawn,
		struct err *e)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, report[2] = { -1, -1 };
	pid_t parent = getpid();

	child_release(c);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0 ||
	    (take_err && pipe2(err, O_CLOEXEC) < 0)) {
		fail_errno(e, "cannot make a pipe");
		goto fail;
	}
	c->start = clock_now();
	c->pid = fork();
	if (c->pid < 0) {
		fail_errno(e, "cannot start '%s'", path);
		c->pid = 0;
		goto fail;
	}
	if (c->pid == 0)
		run_child(path, args, (const int[3]){ out[1], err[1], report[1] }, drawn, parent);
	setpgid(c->pid, c->pid);
	close(out[1]);
	close(report[1]);
	c->out = out[0];
	c->err = err[0];
	c->report = report[0];
	if (take_err)
		close(err[1]);
	return 0;
fail:
	close_pair(out);
	close_pair(err);
	close_pair(report);
	c->out = c->err = c->report = -1;
	return -1;
}

static void put_talk(struct child *c, char *line, const char *prefix)
{
	(void)c;
	if (*line)
		fprintf(stderr, "%s%s%s\n", prefix ? prefix : "", prefix ? ": " : "", line);
}

static void put_report(struct child *c, char *line, const char *prefix)
{
	(void)prefix;
	meter_line(&c->meter, line);
}

/* Whole lines go to `put`, the rest stays. */
static void take_lines(struct child *c, struct buf *b, const char *prefix,
		       void (*put)(struct child *c, char *line, const char *prefix))
{
	char *from = b->at, *end;

	while (from && (end = strpbrk(from, "\r\n"))) {
		*end = 0;
		put(c, from, prefix);
		from = end + 1;
	}
	if (from && from > b->at) {
		b->len -= (size_t)(from - b->at);
		memmove(b->at, from, b->len + 1);
	}
}

/* 1 go on, 0 the other side closed it. */
static int read_some(int fd, struct buf *to)
{
	char some[4096];
	ssize_t n = read(fd, some, sizeof some);

	if (n > 0 && to->len < OUT_LIMIT)
		buf_add(to, some, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

void child_read(struct child *c, int ready, const char *prefix)
{
	int *fd = ready == CHILD_OUT ? &c->out : ready == CHILD_ERR ? &c->err : &c->report;
	struct buf *to = ready == CHILD_OUT ? &c->text : ready == CHILD_ERR ? &c->line : &c->reported;
	int more = read_some(*fd, to);

	if (!more && ready != CHILD_OUT)
		buf_addc(to, '\n');
	if (ready == CHILD_ERR)
		take_lines(c, to, prefix, put_talk);
	else if (ready == CHILD_REPORT)
		take_lines(c, to, prefix, put_report);
	if (!more) {
		close(*fd);
		*fd = -1;
	}
}

void child_release(struct child *c)
{
	if (c->pid) {
		int fd[3] = { c->out, c->err, c->report };

		for (int i = 0; i < 3; i++)
			if (fd[i] >= 0)
				close(fd[i]);
	}
	buf_release(&c->text);
	buf_release(&c->line);
	buf_release(&c->reported);
	*c = (struct child){ .out = -1, .err = -1, .report = -1 };
}
