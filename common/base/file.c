#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/mem.h"

/* Open for reading; folders are refused here because open() lets them pass. */
static int open_read(const char *path, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno(e, "cannot open '%s'", path);
	if (fstat(fd, st) < 0) {
		fail_errno(e, "cannot read '%s'", path);
		close(fd);
		return -1;
	}
	if (S_ISDIR(st->st_mode)) {
		close(fd);
		return fail(e, "'%s' is a folder, a file is wanted", path);
	}
	return fd;
}

int file_read(struct buf *b, const char *path, size_t limit, struct err *e)
{
	size_t before = b->len, chunk;
	struct stat st;
	int fd = open_read(path, &st, e), ret = -1;

	if (fd < 0)
		return -1;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit) {
		fail(e, "'%s' has %lld bytes, at most %zu are read", path, (long long)st.st_size, limit);
		goto out;
	}
	chunk = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 65536;
	for (;;) {
		char *to = buf_extend(b, chunk);
		ssize_t n = read(fd, to, chunk);

		b->len -= chunk - (n > 0 ? (size_t)n : 0);
		b->at[b->len] = 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail_errno(e, "cannot read '%s'", path);
			goto out;
		}
		if (n == 0)
			break;
		if (b->len - before > limit) {
			fail(e, "'%s' has more than %zu bytes", path, limit);
			goto out;
		}
		chunk = 65536;
	}
	ret = 0;
out:
	close(fd);
	return ret;
}

int map_open(struct map *m, const char *path, struct err *e)
{
	struct stat st;
	int fd = open_read(path, &st, e), ret = -1;
	void *at;

	*m = (struct map){ 0 };
	if (fd < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		fail(e, "'%s' is not a regular file", path);
		goto out;
	}
	if (st.st_size > 0) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED) {
			fail_errno(e, "cannot map '%s'", path);
			goto out;
		}
		m->at = at;
		m->len = (size_t)st.st_size;
	}
	ret = 0;
out:
	close(fd);
	return ret;
}

void map_close(struct map *m)
{
	if (m->at)
		munmap((void *)(uintptr_t)m->at, m->len);
	*m = (struct map){ 0 };
}

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

/* A name of its own in the same folder; short, so that a long base name cannot make it too long. */
static char *temp_name(const struct file_new *f, int i)
{
	uint32_t h = 2166136261u;       /* FNV-1a: different files seldom meet, and may */
	char name[64];

	for (const char *p = path_base(f->path); *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	snprintf(name, sizeof name, ".booth-%08x-%d.tmp", (unsigned)h, i);
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
	int fd = open(temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int none = errno != EWOULDBLOCK && fstat(fd, &ours) == 0 && ours.st_size == 0;

		if (none)
			return fd;
		errno = EWOULDBLOCK;
	} else if (fstat(fd, &ours) == 0 && stat(temp, &named) == 0 &&
		   ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
		if (ftruncate(fd, 0) == 0)
			return fd;
	} else {
		errno = EWOULDBLOCK;    /* renamed or removed while we opened it */
	}
	{
		int why = errno;

		close(fd);
		errno = why;
	}
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

int file_why_short(int fd, uint64_t want)
{
	struct statvfs room;
	struct rlimit limit;
	struct stat st;

	if (fstat(fd, &st) || fstatvfs(fd, &room))
		return EIO;
	if ((uint64_t)room.f_bavail * room.f_frsize < want)
		return ENOSPC;
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < (uint64_t)st.st_size + want)
		return EFBIG;
	return EIO;
}

void files_guard_std(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(1);       /* no way left to say anything */
}

int make_folder(const char *path, struct err *e)
{
	char *copy = xstrdup(path);
	int ret = 0;

	for (char *p = copy + (*copy == '/'); ; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = 0;
		if (*copy && mkdir(copy, 0777) < 0) {
			int why = errno;

			if (!is_folder(copy)) {
				errno = why;
				ret = fail_errno(e, "cannot make folder '%s'", copy);
				break;
			}
		}
		*p = c;
		if (!c)
			break;
	}
	free(copy);
	return ret;
}

int is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int folder_list(struct names *out, const char *path, struct err *e)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	*out = (struct names){ 0 };
	if (!d)
		return fail_errno(e, "cannot open folder '%s'", path);
	for (errno = 0; (entry = readdir(d)); errno = 0)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			names_add(out, entry->d_name);
	if (errno) {
		fail_errno(e, "cannot read folder '%s'", path);
		closedir(d);
		names_release(out);
		return -1;
	}
	closedir(d);
	if (out->n)
		qsort(out->at, out->n, sizeof *out->at, compare_names);
	return 0;
}

void names_add(struct names *list, const char *name)
{
	list->at = grow(list->at, list->n, &list->cap, sizeof *list->at);
	list->at[list->n++] = xstrdup(name);
}

void names_release(struct names *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->at[i]);
	free(list->at);
	*list = (struct names){ 0 };
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_join(const char *folder, const char *name)
{
	size_t n = strlen(folder), m = strlen(name), slash = n && folder[n - 1] != '/';
	char *path = xmalloc(n + slash + m + 1);

	memcpy(path, folder, n);
	if (slash)
		path[n] = '/';
	memcpy(path + n + slash, name, m + 1);
	return path;
}
