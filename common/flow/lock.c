#include "common/flow/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/file.h"

int lock_take(const char *root, int alone, struct err *e)
{
	char *path = path_join(root, "lock");
	int fd = make_folder(root, e) < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666),
	    n = 0, busy;

	if (fd < 0) {
		if (is_folder(root))
			fail_errno(e, "cannot open '%s'", path);
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
