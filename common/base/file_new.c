/* Files written under a temporary name; see file.h. */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/mem.h"

struct file_new {
	FILE *f;
	char *path, *temp, *folder;
	int64_t len;
	int lock;               /* the same open file: the name is ours until it is renamed */
};

static void file_new_free(struct file_new *f)
{
	if (f->lock >= 0)
		close(f->lock);
	free(f->path);
	free(f->temp);
	free(f->folder);
	free(f);
}

#define TEMP_BEGIN ".booth-"
#define TEMP_END ".tmp"

/* A name of its own in the same folder; short, so that a long base name cannot make it too long. */
static char *temp_name(const struct file_new *f, int i)
{
	uint32_t h = 2166136261u;       /* FNV-1a: different files seldom meet, and may */
	char name[64];

	for (const char *p = path_base(f->path); *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	snprintf(name, sizeof name, TEMP_BEGIN "%08x-%d" TEMP_END, (unsigned)h, i);
	return path_join(f->folder, name);
}

/*
 * Open a temporary name and lock it: -1 with EWOULDBLOCK if another process is writing there. One
 * that a killed process left is not locked any more, and ours. Where there are no locks, only a
 * name that is not there is ours.
 */
static int open_locked(const char *temp)
{
	struct stat ours, named;
	int none, fd = open(temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		none = errno != EWOULDBLOCK && fstat(fd, &ours) == 0 && ours.st_size == 0;

		if (none)
			return fd;
		errno = EWOULDBLOCK;
	} else if (fstat(fd, &ours) == 0 && stat(temp, &named) == 0 &&
		   ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
		if (ftruncate(fd, 0) == 0)
			return fd;
		none = errno;
		unlink(temp);
		errno = none;
	} else {
		errno = EWOULDBLOCK;    /* renamed or removed while we opened it */
	}
	none = errno;
	close(fd);
	errno = none;
	return -1;
}

/* What killed processes left under the names that follow. */
static void remove_left(const struct file_new *f, int i)
{
	for (int more = 1; more && i < 1000; i++) {
		char *temp = temp_name(f, i);
		int fd = is_file(temp) ? open_locked(temp) : -1;

		more = fd >= 0;
		if (more) {
			unlink(temp);
			close(fd);
		}
		free(temp);
	}
}

static int is_temp(const char *name)
{
	size_t n = strlen(TEMP_BEGIN);

	return !strncmp(name, TEMP_BEGIN, n) && strspn(name + n, "0123456789abcdef") == 8 &&
		name[n + 8] == '-' && !strcmp(name + n + 9 + strspn(name + n + 9, "0123456789"), TEMP_END);
}

void temp_sweep(const char *folder)
{
	struct names all = { 0 };
	struct stat ours, named;
	struct err ignored;

	if (folder_list(&all, folder, &ignored) < 0)
		return;
	for (size_t i = 0; i < all.n; i++) {
		char *path = path_join(folder, all.at[i]);
		int fd = is_temp(all.at[i]) ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
		    stat(path, &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
			unlink(path);
		if (fd >= 0)
			close(fd);
		free(path);
	}
	names_release(&all);
}

static int open_temp(struct file_new *f)
{
	for (int i = 0; i < 1000; i++) {
		int fd;

		free(f->temp);
		f->temp = temp_name(f, i);
		fd = open_locked(f->temp);
		if (fd >= 0)
			remove_left(f, i + 1);
		if (fd >= 0 || (errno != EWOULDBLOCK && errno != EACCES && errno != ELOOP) ||
		    (errno == EACCES && access(f->temp, F_OK) < 0))
			return fd;
	}
	errno = EEXIST;
	return -1;
}

/* A killed process whose parent has not asked for its end still has its number. */
static int has_ended(pid_t pid)
{
	char path[64], text[512];
	const char *state;
	size_t n;
	FILE *f;

	if (kill(pid, 0) < 0)
		return errno == ESRCH;
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	state = strrchr(text, ')');     /* "12 (name) Z ..." */
	return state && (state[1] == ' ') && (state[2] == 'Z' || state[2] == 'X');
}

int temp_abandoned(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);
	char *end;
	long pid;

	if (strncmp(name, prefix, n) || name[n] < '1' || name[n] > '9')
		return 0;
	pid = strtol(name + n, &end, 10);
	return end > name + n && pid > 0 && pid <= INT_MAX && has_ended((pid_t)pid);
}

int file_begin(struct file_new **out, const char *path, struct err *e)
{
	struct file_new *f = xcalloc(1, sizeof *f);
	size_t folder = (size_t)(path_base(path) - path);
	struct stat st;
	int fd;

	f->lock = -1;
	f->path = xstrdup(path);
	f->folder = folder ? xstrndup(path, folder) : xstrdup(".");
	if (is_folder(path)) {
		fail(e, "'%s' is a folder, a file is to be written there", path);
		goto bad;
	}
	fd = open_temp(f);
	if (fd < 0) {
		fail_errno(e, "cannot write '%s'", path);
		goto bad;
	}
	if (!stat(path, &st))
		fchmod(fd, st.st_mode & 07777);
	f->lock = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	f->f = fdopen(fd, "wb");
	if (!f->f)
		die(1, "out of memory, one open file wanted");
	*out = f;
	return 0;
bad:
	file_new_free(f);
	return -1;
}

int file_write(struct file_new *f, const void *at, size_t len, struct err *e)
{
	if (len && fwrite(at, 1, len, f->f) != len)
		return fail_errno(e, "cannot write '%s'", f->path);
	f->len += (int64_t)len;
	return 0;
}

int64_t file_tell(const struct file_new *f)
{
	return f->len;
}

/* The new name must survive a crash too. File systems that cannot flush a folder say EINVAL. */
static void flush_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

int file_commit(struct file_new *f, struct err *e)
{
	int bad = ferror(f->f) || fflush(f->f) || fsync(fileno(f->f)) < 0;

	if (bad) {
		fail_errno(e, "cannot write '%s'", f->path);
		file_abort(f);
		return -1;
	}
	bad = fclose(f->f);
	f->f = NULL;
	if (bad || rename(f->temp, f->path) < 0) {
		fail_errno(e, "cannot write '%s'", f->path);
		file_abort(f);
		return -1;
	}
	flush_folder(f->folder);
	file_new_free(f);
	return 0;
}

void file_abort(struct file_new *f)
{
	if (!f)
		return;
	if (f->f)
		fclose(f->f);
	unlink(f->temp);
	file_new_free(f);
}

int file_replace(const char *path, const void *at, size_t len, struct err *e)
{
	struct file_new *f;

	if (file_begin(&f, path, e) < 0)
		return -1;
	if (file_write(f, at, len, e) < 0) {
		file_abort(f);
		return -1;
	}
	return file_commit(f, e);
}
