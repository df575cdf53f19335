#include "common/data/store_guard.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/err.h"

/* Signals have no argument to carry them, so these live outside of everything. */
static _Thread_local const char *inside;
static struct sigaction before[65];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const int caught[] = { SIGSEGV, SIGBUS, SIGFPE, SIGABRT };     /* a page size of 0 is divided by */

static void say(const char *text)
{
	if (write(2, text, strlen(text)) < 0)
		return;
}

void guard_failed(const char *folder)
{
	say(program_name ? program_name : "booth");
	say(": store '");
	say(folder);
	say("' is damaged (its pages lead nowhere); move it away, and what it held is made again when it is needed\n");
	_exit(1);
}

/* A map of a file with holes on a full disk. */
static void if_full(const char *folder)
{
	struct statvfs room;

	if (statvfs(folder, &room) < 0 || room.f_bavail)
		return;
	say(program_name ? program_name : "booth");
	say(": cannot write to store '");
	say(folder);
	say("': No space left on device\n");
	_exit(1);
}

static void on_signal(int sig)
{
	if (inside && sig == SIGBUS)
		if_full(inside);
	if (inside)
		guard_failed(inside);
	sigaction(sig, &before[sig], NULL);     /* not ours: it comes again, to whom it belongs */
}

static void install(void)
{
	struct sigaction a = { .sa_handler = on_signal };

	sigemptyset(&a.sa_mask);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaction(caught[i], &a, &before[caught[i]]);
}

void guard_enter(const char *folder)
{
	pthread_once(&once, install);
	inside = folder;
}

void guard_leave(void)
{
	inside = NULL;
}
