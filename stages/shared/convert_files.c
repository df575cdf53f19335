#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/shared/convert.h"

static char *folder_of(const char *path)
{
	size_t n = (size_t)(path_base(path) - path);

	return n ? xstrndup(path, n) : xstrdup(".");
}

/* A killed run leaves gigabytes: the next one that writes into the folder takes them away. */
static void remove_abandoned(const char *folder)
{
	struct names list = { 0 };
	struct err ignored;

	temp_sweep(folder);
	if (folder_list(&list, folder, &ignored) < 0)
		return;
	for (size_t i = 0; i < list.n; i++)
		if (ends_with(list.at[i], "-unchecked.safetensors") &&
		    temp_abandoned(list.at[i], ".booth-")) {
			char *path = path_join(folder, list.at[i]);

			unlink(path);
			free(path);
		}
	names_release(&list);
}

char *beside(const char *path, struct err *e)
{
	char *folder = folder_of(path), *name = NULL;

	if (is_folder(path))
		fail(e, "'%s' is a folder, a file is to be written there", path);
	else if (make_folder(folder, e) == 0) {
		remove_abandoned(folder);
		name = xasprintf("%s/.booth-%ld-unchecked.safetensors", folder, (long)getpid());
	}
	free(folder);
	return name;
}

/*
 * The new name must survive a crash too; file systems that
 * cannot flush a folder say so, and that is all.
 */
static void flush_folder(const char *path)
{
	char *folder = folder_of(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

int put_into_place(const char *made, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0)
		chmod(made, st.st_mode & 07777);
	if (rename(made, path) < 0)
		return fail_errno(e, "cannot write '%s'", path);
	flush_folder(path);
	return 0;
}
