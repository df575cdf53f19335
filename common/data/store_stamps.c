/* The stat cache; see store_impl.h. A cache that cannot be read or written is no cache. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/data/store_impl.h"

/* seconds: within them a file may change again under the same stamp */
#define TRUSTED_AGE 2
#define SLOW (16 << 20)         /* bytes; hashing more takes longer than a flush to disk */
#define MANY 4096               /* stamps; so many may wait at least */
#define MUCH ((int64_t)1 << 30) /* bytes; reading them again is worth a flush */

#define PARTS 64
#define KEY (sizeof(struct oid) + 1)

static unsigned part_of(const struct stamp *t)
{
	return t->name.at[0] / (256 / PARTS);
}

static void make_key(unsigned char key[KEY], const struct oid *folder, unsigned part)
{
	memcpy(key, folder->at, sizeof folder->at);
	key[sizeof folder->at] = (unsigned char)part;
}

static void check_of(struct oid *out, const void *key, const void *at, size_t len)
{
	struct oid_state *hash = oid_start(KIND_BYTES);

	oid_add(hash, key, KEY);
	oid_add(hash, at, len);
	oid_end(hash, out);
}

static void put_stamp(unsigned char out[48], const struct stat *st)
{
	int64_t v[6] = {
		(int64_t)st->st_size, (int64_t)st->st_ino,
		st->st_mtim.tv_sec, st->st_ctim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_nsec,
	};

	memcpy(out, v, sizeof v);
}

int same_stamp(const struct stat *a, const struct stat *b)
{
	unsigned char x[48], y[48];

	put_stamp(x, a);
	put_stamp(y, b);
	return !memcmp(x, y, sizeof x);
}

static int compare_name(const void *a, const void *b)
{
	return oid_compare(&((const struct stamp *)a)->name, &((const struct stamp *)b)->name);
}

/* ---- loading ---- */

/* One part; a damaged one is left out. Parts come in the order of their stamps. */
static int load_part(void *data, const void *key, size_t key_len, const void *at, size_t len,
		     struct err *e)
{
	struct stamps *f = data;
	size_t n = len / sizeof *f->at;
	struct oid check;

	(void)e;
	if (key_len != KEY || memcmp(key, f->folder.at, sizeof f->folder.at))
		return 1;
	if (len != sizeof check + n * sizeof *f->at)
		return 0;
	check_of(&check, key, (const char *)at + sizeof check, len - sizeof check);
	if (memcmp(at, check.at, sizeof check.at))
		return 0;
	f->at = xrealloc(f->at, (f->n + n) * sizeof *f->at);
	memcpy(f->at + f->n, (const char *)at + sizeof check, n * sizeof *f->at);
	f->n += n;
	return 0;
}

static struct stamps *load(struct stores *s, const char *folder)
{
	char *real = realpath(folder, NULL);
	struct stamps *f;
	struct shelf *shelf;
	struct err ignored;

	if (!real)
		return NULL;
	f = xcalloc(1, sizeof *f);
	f->path = xstrdup(folder);
	oid_of(&f->folder, KIND_BYTES, real, strlen(real));
	free(real);
	if (shelf_find(s, STAT_STAGE, 0, &shelf, &ignored) == 1)
		(void)env_visit(shelf->env, ENV_OBJECTS, f->folder.at, sizeof f->folder.at,
				load_part, f, &ignored);
	return f;
}

/* Most callers ask for the folder of the last file again. */
static struct stamps *loaded(struct stores *s, const char *folder)
{
	struct stamps *found = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = s->folders; i-- > 0 && !found; )
		if (!strcmp(s->stamps[i]->path, folder))
			found = s->stamps[i];
	pthread_mutex_unlock(&s->lock);
	return found;
}

struct stamps *stamps_of(struct stores *s, const char *folder)
{
	struct stamps *f = loaded(s, folder);

	if (f || !(f = load(s, folder)))
		return f;
	pthread_mutex_lock(&s->lock);
	s->stamps = grow(s->stamps, s->folders, &s->cap_folders, sizeof *s->stamps);
	s->stamps[s->folders++] = f;
	pthread_mutex_unlock(&s->lock);
	return f;
}

void stamps_release(struct stores *s)
{
	for (size_t i = 0; i < s->folders; i++) {
		free(s->stamps[i]->path);
		free(s->stamps[i]->at);
		free(s->stamps[i]->new);
		free(s->stamps[i]);
	}
	free(s->stamps);
}

/* ---- finding and adding ---- */

int stamps_find(struct stores *s, const struct stamps *f, const char *name, const struct stat *st,
		struct oid *out)
{
	const struct stamp *found;
	struct stamp want;

	oid_of(&want.name, KIND_BYTES, name, strlen(name));
	put_stamp(want.of_file, st);
	pthread_mutex_lock(&s->lock);
	found = f->n ? bsearch(&want, f->at, f->n, sizeof want, compare_name) : NULL;
	if (found && memcmp(found->of_file, want.of_file, sizeof want.of_file))
		found = NULL;
	if (found)
		*out = found->hash;
	pthread_mutex_unlock(&s->lock);
	return found != NULL;
}

void stamps_add(struct stores *s, struct stamps *f, const char *name, const struct stat *st,
		const struct oid *hash)
{
	time_t now = time(NULL);
	struct stamp *new;

	if (now - st->st_mtim.tv_sec < TRUSTED_AGE || now - st->st_ctim.tv_sec < TRUSTED_AGE)
		return;
	pthread_mutex_lock(&s->lock);
	f->new = grow(f->new, f->news, &f->cap_news, sizeof *f->new);
	new = &f->new[f->news++];
	oid_of(&new->name, KIND_BYTES, name, strlen(name));
	put_stamp(new->of_file, st);
	new->hash = *hash;
	f->new_bytes += st->st_size;
	/* a folder's stamps are all written again, so not until there are half as many new ones */
	if (st->st_size > SLOW || f->new_bytes > MUCH || (f->news >= MANY && f->news >= f->n / 2))
		stamps_flush_locked(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- writing ---- */

/* Put the new stamps among the others, in place of older ones of the same names. */
static void merge(struct stamps *f)
{
	struct stamp *all = xcalloc(f->n + f->news, sizeof *all);
	size_t i = 0, n = 0;

	qsort(f->new, f->news, sizeof *f->new, compare_name);
	for (size_t k = 0; k < f->news; k++) {
		int c = -1;

		if (k + 1 < f->news && !compare_name(&f->new[k], &f->new[k + 1]))
			continue;       /* the same file twice */
		while (i < f->n && (c = compare_name(&f->at[i], &f->new[k])) < 0)
			all[n++] = f->at[i++];
		i += i < f->n && c == 0;
		all[n++] = f->new[k];
	}
	while (i < f->n)
		all[n++] = f->at[i++];
	free(f->at);
	f->at = all;
	f->n = n;
}

/* One transaction for a folder: the parts that have new stamps. */
static void write_folder(struct env *env, struct stamps *f)
{
	struct change c[PARTS];
	unsigned char key[PARTS][KEY], touched[PARTS] = { 0 };
	struct oid check[PARTS];
	struct err ignored;
	size_t n = 0;

	for (size_t k = 0; k < f->news; k++)
		touched[part_of(&f->new[k])] = 1;
	merge(f);
	for (size_t from = 0, to; from < f->n; from = to) {
		unsigned part = part_of(&f->at[from]);

		for (to = from; to < f->n && part_of(&f->at[to]) == part; )
			to++;
		if (!touched[part])
			continue;
		make_key(key[n], &f->folder, part);
		check_of(&check[n], key[n], f->at + from, (to - from) * sizeof *f->at);
		c[n] = (struct change){ ENV_PUT, ENV_OBJECTS, key[n], KEY,
			{ { check[n].at, sizeof check[n].at },
			  { f->at + from, (to - from) * sizeof *f->at } } };
		n++;
	}
	(void)env_write(env, c, n, &ignored);
	f->news = 0;
	f->new_bytes = 0;
}

void stamps_flush_locked(struct stores *s)
{
	struct shelf *shelf;
	struct err ignored;

	for (size_t i = 0; i < s->folders; i++)
		if (s->stamps[i]->news) {
			if (shelf_find_locked(s, STAT_STAGE, 1, &shelf, &ignored) != 1)
				return;
			write_folder(shelf->env, s->stamps[i]);
		}
}
