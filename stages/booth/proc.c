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
static void run_child(const char *path, char *const *args, int out, int err, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

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

int child_start(struct child *c, const char *path, char *const *args, int take_err, struct err *e)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };
	pid_t parent = getpid();

	child_release(c);
	if (pipe2(out, O_CLOEXEC) < 0 || (take_err && pipe2(err, O_CLOEXEC) < 0)) {
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
		run_child(path, args, out[1], err[1], parent);
	setpgid(c->pid, c->pid);
	close(out[1]);
	c->out = out[0];
	c->err = err[0];
	if (take_err)
		close(err[1]);
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		if (out[i] >= 0)
			close(out[i]);
		if (err[i] >= 0)
			close(err[i]);
	}
	c->out = c->err = -1;
	return -1;
}

static void put_lines(struct child *c, const char *prefix)
{
	char *from = c->line.at, *end;

	while (from && (end = strpbrk(from, "\r\n"))) {
		if (end > from)
			fprintf(stderr, "%s: %.*s\n", prefix, (int)(end - from), from);
		from = end + 1;
	}
	if (from && from > c->line.at) {
		char *rest = xstrdup(from);

		buf_clear(&c->line);
		buf_adds(&c->line, rest);
		free(rest);
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

/* what_is_ready: 1 stdout, 2 stderr. */
void child_read(struct child *c, int what_is_ready, const char *prefix)
{
	if ((what_is_ready & 1) && !read_some(c->out, &c->text)) {
		close(c->out);
		c->out = -1;
	}
	if (what_is_ready & 2) {
		int open = read_some(c->err, &c->line);

		if (!open)
			buf_addc(&c->line, '\n');
		put_lines(c, prefix);
		if (!open) {
			close(c->err);
			c->err = -1;
		}
	}
}

void child_release(struct child *c)
{
	if (c->pid) {
		if (c->out >= 0)
			close(c->out);
		if (c->err >= 0)
			close(c->err);
	}
	buf_release(&c->text);
	buf_release(&c->line);
	*c = (struct child){ .out = -1, .err = -1 };
}
