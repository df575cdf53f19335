#include "stages/booth/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define PREFIX "booth-"
#define ANSWER_LIMIT 65536      /* bytes of what a tool says about itself */

/* The folder that this program lies in. */
static char *own_folder(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	char *slash;

	if (n <= 0)
		return xstrdup(".");
	path[n] = 0;
	slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	return xstrdup(path);
}

char *tool_folder(void)
{
	const char *set = getenv("BOOTH_EXEC_PATH");
	char *own, *installed;

	if (set && *set)
		return xstrdup(set);
	own = own_folder();
	installed = xasprintf("%s/../libexec/booth", own);
	if (access(installed, F_OK) == 0) {
		free(own);
		return installed;
	}
	free(installed);
	return own;
}

char *tool_recipe(const char *word)
{
	char *own, *path;

	if (strchr(word, '/') || access(word, F_OK) == 0)
		return xstrdup(word);
	own = own_folder();
	path = xasprintf("%s/../share/booth/recipes/%s%s", own, word,
			 ends_with(word, ".booth") ? "" : ".booth");
	free(own);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return xstrdup(word);
}

int tools_names(struct names *out, struct err *e)
{
	struct names all = { 0 };
	char *folder = tool_folder();
	int ret = folder_list(&all, folder, e);

	for (size_t i = 0; i < all.n; i++)
		if (starts_with(all.at[i], PREFIX))
			names_add(out, all.at[i] + strlen(PREFIX));
	names_release(&all);
	free(folder);
	return ret;
}

const char *tools_near(const struct names *all, const char *name)
{
	const char *near = NULL;
	int least = 3 + (int)strlen(name) / 4;

	for (size_t i = 0; i < all->n; i++) {
		int d = text_distance(name, all->at[i]);

		if (d < least) {
			least = d;
			near = all->at[i];
		}
	}
	return near;
}

void tools_begin(struct tools *t, struct stores *stores)
{
	*t = (struct tools){ .folder = tool_folder(), .stores = stores };
}

int tool_ask(const char *path, char *const *args, struct buf *out, struct err *e)
{
	int fd[2], status = 0, null;
	pid_t pid;
	ssize_t n = 1;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return fail_errno(e, "cannot make a pipe");
	pid = fork();
	if (pid < 0) {
		close(fd[0]);
		close(fd[1]);
		return fail_errno(e, "cannot start '%s'", path);
	}
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(fd[1], 1);
		dup2(null, 2);
		execv(path, args);
		_exit(127);
	}
	close(fd[1]);
	while (n != 0 && out->len < ANSWER_LIMIT) {
		char *to = buf_extend(out, 4096);

		n = read(fd[0], to, 4096);
		out->len -= 4096 - (n > 0 ? (size_t)n : 0);
		out->at[out->len] = 0;
		if (n < 0 && errno != EINTR)
			break;
	}
	close(fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int ask(const char *path, const char *word, struct buf *out, struct err *e)
{
	char *name = xstrdup(path), *option = xstrdup(word), *args[] = { name, option, NULL };
	int ret = tool_ask(path, args, out, e);

	free(name);
	free(option);
	return ret;
}

/* "VERSION\n", then the rows of --list-options, or "-\n" if it does not know that option. */
static int ask_all(const char *path, struct buf *out, struct err *e)
{
	struct buf b = { 0 };
	int ok = ask(path, "--version", &b, e);

	if (ok >= 0) {
		buf_addf(out, "%.*s\n", ok ? (int)strcspn(buf_str(&b), "\n") : 1,
			 ok ? buf_str(&b) : "0");
		buf_clear(&b);
		ok = ask(path, "--list-options", &b, e);
		buf_adds(out, ok > 0 ? buf_str(&b) : "-\n");
	}
	buf_release(&b);
	return ok < 0 ? -1 : 0;
}

static void tool_read(struct tool *t, char *text)
{
	char *line, *next = text, *type, *quiet;

	for (int i = 0; (line = strsep(&next, "\n")); i++) {
		if (i == 0) {
			t->version = xstrdup(line);
			t->lists = 1;
		} else if (!strcmp(line, "-")) {
			t->lists = 0;
		} else if ((type = strchr(line, '\t')) && (quiet = strchr(type + 1, '\t'))) {
			*type++ = *quiet++ = 0;
			t->opt = grow(t->opt, t->opts, &t->cap, sizeof *t->opt);
			t->opt[t->opts++] =
				(struct tool_opt) { xstrdup(line), xstrdup(type), *quiet == '1' };
		}
	}
}

static int tool_load(struct tools *all, struct tool *t, const struct stat *st, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	struct blob b = { 0 };
	struct buf text = { 0 };
	int found, ret = -1;

	action_begin(&a, "run", 1, "tool");
	action_param(&a, "path", t->path);
	action_paramf(&a, "stamp", "%lld %lld.%09ld %llu", (long long)st->st_size,
		      (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		      (unsigned long long)st->st_ino);
	found = store_find(all->stores, &a, &r, e);
	if (found > 0) {
		if (store_need(all->stores, &r.out, KIND_TEXT, &b, e) < 0)
			goto out;
		buf_add(&text, b.at, b.len);
	} else if (found == 0) {
		if (ask_all(t->path, &text, e) < 0 ||
		    store_put(all->stores, "run", KIND_TEXT, text.at, text.len, &r.out, e) < 0 ||
		    store_record(all->stores, &a, &r, e) < 0)
			goto out;
	} else {
		goto out;
	}
	tool_read(t, text.at);
	ret = 0;
out:
	action_release(&a);
	result_release(&r);
	blob_release(&b);
	buf_release(&text);
	return ret;
}

int tools_find(struct tools *all, const char *name, const struct tool **out, struct err *e)
{
	struct tool *t;
	struct stat st;
	char *path;

	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->tool[i]->name, name)) {
			*out = all->tool[i];
			return 1;
		}
	path = xasprintf("%s/%s%s", all->folder, PREFIX, name);
	if (strchr(name, '/') || stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    access(path, X_OK) < 0) {
		free(path);
		return 0;
	}
	all->tool = grow(all->tool, all->n, &all->cap, sizeof *all->tool);
	*out = t = all->tool[all->n++] = xcalloc(1, sizeof *t);
	t->name = xstrdup(name);
	t->path = path;
	return tool_load(all, t, &st, e) < 0 ? -1 : 1;
}

const struct tool_opt *tool_option(const struct tool *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->opts; i++)
		if (strlen(t->opt[i].name) == len && !memcmp(t->opt[i].name, name, len))
			return &t->opt[i];
	return NULL;
}

const char *tool_near_option(const struct tool *t, const char *name)
{
	const char *near = NULL;
	int least = 3 + (int)strlen(name) / 4;

	for (size_t i = 0; i < t->opts; i++) {
		int d = text_distance(name, t->opt[i].name);

		if (d < least) {
			least = d;
			near = t->opt[i].name;
		}
	}
	return near;
}

static void tool_free(struct tool *t)
{
	for (size_t i = 0; i < t->opts; i++) {
		free(t->opt[i].name);
		free(t->opt[i].type);
	}
	free(t->opt);
	free(t->name);
	free(t->path);
	free(t->version);
	free(t);
}

void tools_release(struct tools *t)
{
	for (size_t i = 0; i < t->n; i++)
		tool_free(t->tool[i]);
	free(t->tool);
	free(t->folder);
	*t = (struct tools){ 0 };
}
