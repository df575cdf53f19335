#include "common/flow/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/talk.h"

#define PATIENCE 1.0            /* seconds of waiting before it is told */

/* By linux/magic.h and the manual page of statfs. FUSE is left out: most of what it serves is local. */
static const struct { uint32_t magic; const char *name; } network[] = {
	{ 0x6969, "NFS" }, { 0x517b, "SMB" }, { 0xfe534d42, "SMB2" }, { 0xff534d42, "CIFS" },
	{ 0x5346414f, "AFS" }, { 0x6b414653, "AFS" }, { 0x73757245, "Coda" }, { 0xc36400, "Ceph" },
	{ 0x1021997, "9P" }, { 0xbd00bd0, "Lustre" }, { 0x47504653, "GPFS" }, { 0x19830326, "BeeGFS" },
};

static int check_place(const char *root, struct err *e)
{
	struct statfs s;

	if (statfs(root, &s) < 0)
		return fail_errno(e, "cannot look at '%s'", root);
	for (size_t i = 0; i < sizeof network / sizeof *network; i++)
		if ((uint32_t)s.f_type == network[i].magic)
			return fail(e, "the store '%s' is on a network file system (%s), where LMDB cannot be "
				    "shared and would be damaged: set BOOTH_STORE to a folder on a disk of this "
				    "machine", root, network[i].name);
	return 0;
}

int lock_take(const char *root, int alone, struct err *e)
{
	char *path = path_join(root, "lock");
	int fd = make_folder(root, e) < 0 || check_place(root, e) < 0 ? -2 : -1, n = 0, busy;

	if (fd == -1)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		if (fd == -1)
			fail_errno(e, "cannot open '%s'", path);
		fd = -1;
		goto out;
	}
	do {
		n = flock(fd, alone ? LOCK_EX | LOCK_NB : LOCK_SH);
	} while (n < 0 && errno == EINTR && !alone);
	if (n < 0) {
		busy = errno == EWOULDBLOCK;
		fail_errno(e, "cannot lock '%s'", path);
		close(fd);
		fd = busy ? LOCK_BUSY : -1;
	}
out:
	free(path);
	return fd;
}

/* The first 63 bits of the key; the largest offset is left out, as a range must end below it. */
static off_t byte_of(const struct oid *key)
{
	uint64_t v;

	memcpy(&v, key->at, sizeof v);
	return (off_t)(v >> 1 & ~(uint64_t)1);
}

/* 0 held, or CLAIM_NONE, CLAIM_STOPPED. */
static int wait_for(int fd, off_t byte, struct err *e)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	struct timespec pause = { .tv_nsec = 2000000 };
	double start = clock_now();
	int told = 0;

	while (fcntl(fd, F_OFD_SETLK, &range) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return CLAIM_NONE;
		if (stop_wanted()) {
			fail(e, "stopped while another process was computing the same");
			return CLAIM_STOPPED;
		}
		if (!told && clock_now() - start > PATIENCE) {
			talk("another process is computing the same: waiting for its result");
			told = 1;
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
	return 0;
}

int claim_take(const char *root, const struct oid *key, struct err *e)
{
	char *path = path_join(root, "doing");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666), ret = CLAIM_NONE;

	free(path);
	if (fd < 0)
		return CLAIM_NONE;
	ret = wait_for(fd, byte_of(key), e);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

void claim_drop(int claim)
{
	if (claim >= 0)
		close(claim);
}
