#include "kernels/cuda/library.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

/* Below a folder of BOOTH_CUDA_PATH. */
static const char *const below[] = { "", "/lib64", "/lib", "/nvidia/*/lib" };

/* "~" and "$" stand for HOME and VIRTUAL_ENV. */
static const char *const usual[] = {
	"/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/opt/cuda/lib64",
	"$/lib/python3*/site-packages/nvidia/*/lib", "~/.local/lib/python3*/site-packages/nvidia/*/lib",
	"/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
};

/* The first file that FOLDER/NAME stands for; the caller's to free, or NULL. */
static char *match(const char *root, const char *folder, const char *name)
{
	char *pattern = xasprintf("%s%s/%s", root, folder, name), *path = NULL;
	glob_t g;

	if (glob(pattern, 0, NULL, &g) == 0) {
		path = xstrdup(g.gl_pathv[0]);
		globfree(&g);
	}
	free(pattern);
	return path;
}

static char *find_named(const char *name)
{
	const char *folders = getenv("BOOTH_CUDA_PATH");
	char *list = xstrdup(folders ? folders : ""), *save = NULL, *path = NULL;

	for (char *f = strtok_r(list, ":", &save); f && !path; f = strtok_r(NULL, ":", &save))
		for (size_t i = 0; i < sizeof below / sizeof *below && !path; i++)
			path = match(f, below[i], name);
	free(list);
	return path;
}

static char *find_usual(const char *name)
{
	char *path = NULL;

	for (size_t i = 0; i < sizeof usual / sizeof *usual && !path; i++) {
		const char *f = usual[i], *root = *f == '~' ? getenv("HOME") : *f == '$' ? getenv("VIRTUAL_ENV") : "";

		if (root)
			path = match(root, f + (*f != '/'), name);
	}
	return path;
}

static void *open_path(char *path)
{
	void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	free(path);
	return handle;
}

void *library_open(const char *name)
{
	void *handle = open_path(find_named(name));

	if (!handle)
		handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	return handle ? handle : open_path(find_usual(name));
}

int library_exists(const char *name)
{
	char *path = find_named(name);
	int found;

	if (!path)
		path = find_usual(name);
	found = path || dlopen(name, RTLD_LAZY | RTLD_LOCAL);
	free(path);
	return found;
}
