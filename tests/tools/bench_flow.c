/*
 * What tests/bench/dataflow needs besides a shell.
 *
 *	bench_flow pictures COUNT FOLDER        small JPEG pictures, no two alike
 *	bench_flow picture NUMBER FILE          one of them
 *	bench_flow store FOLDER STAGE GB        a store of that size, nearly all of it holes; prints
 *	                                        the reference of an object in it
 *	bench_flow open ROUNDS FOLDER REF       open, read one object, close: the median of seconds
 *	bench_flow time ROUNDS COMMAND...       the median of seconds it takes
 *	bench_flow cpu ROUNDS COMMAND...        the least time on processors, children included
 *	bench_flow memory ROUNDS COMMAND...     the most MB of the process itself, without children
 *
 * A command that fails ends the tool with its exit code. Its standard output and talk go to
 * /dev/null.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/data/store.h"
#include "common/data/store_pack.h"
#include "tests/tools/peak.h"

#define SIDE 64         /* prep takes no smaller ones */
#define ROUNDS 1000     /* at most */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- pictures ---- */

static void encode(struct buf *out)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr error;
	unsigned char row[SIDE * 3], *rows[1] = { row }, *at = NULL;
	unsigned long len = 0;

	c.err = jpeg_std_error(&error);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &at, &len);
	c.image_width = c.image_height = SIDE;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_start_compress(&c, TRUE);
	for (int y = 0; y < SIDE; y++) {
		for (int i = 0; i < SIDE * 3; i++)
			row[i] = (unsigned char)(i + 3 * y);
		jpeg_write_scanlines(&c, rows, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	buf_add(out, at, len);
	free(at);
}

/*
 * A comment segment behind the first marker (FF FE, length, text) makes each file another one. Not
 * flushed to disk, which would take longer than all that is measured.
 */
static void write_picture(const struct buf *jpeg, unsigned number, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(jpeg->at, 1, 2, f) != 2 || fwrite("\xff\xfe\0\12", 1, 4, f) != 4 ||
	    fprintf(f, "%08u", number % 100000000) != 8 ||
	    fwrite(jpeg->at + 2, 1, jpeg->len - 2, f) != jpeg->len - 2 || fclose(f))
		die(1, "cannot write '%s': %s", path, strerror(errno));
}

static void write_pictures(int count, const char *folder)
{
	struct buf jpeg = { 0 };
	struct err e;

	encode(&jpeg);
	if (make_folder(folder, &e) < 0)
		die(1, "%s", e.text);
	for (int i = 0; i < count; i++) {
		char *path = xasprintf("%s/%07d.jpg", folder, i);

		write_picture(&jpeg, (unsigned)i, path);
		free(path);
	}
	buf_release(&jpeg);
}

/* ---- a large store ---- */

static void check(int rc)
{
	if (rc)
		die(1, "cannot fill the store: %s", mdb_strerror(rc));
}

/*
 * Values whose pages are never touched are holes in the file: with a map that is written to, room
 * is reserved and nothing but each value's first page is there.
 */
static void fill(const char *folder, int count, size_t size)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi objects;

	check(mdb_env_create(&env));
	check(mdb_env_set_maxdbs(env, 3));
	check(mdb_env_set_mapsize(env, (size_t)count * size + ((size_t)64 << 20)));
	check(mdb_env_open(env, folder, MDB_WRITEMAP | MDB_NOSYNC, 0666));
	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(mdb_dbi_open(txn, "objects", 0, &objects));
	for (int i = 0; i < count; i++) {
		struct oid id;
		MDB_val key = { sizeof id.at, id.at }, v = { size, NULL };

		oid_of(&id, KIND_TEXT, &i, sizeof i);
		check(mdb_put(txn, objects, &key, &v, MDB_RESERVE));
		memset(v.mv_data, 0, VALUE_HEAD);
		memcpy(v.mv_data, "ri", 2);
	}
	check(mdb_txn_commit(txn));
	mdb_env_close(env);
}

static void write_store(const char *root, const char *stage, int gb)
{
	size_t size = (size_t)512 << 20;
	char *folder = path_join(root, stage), text[STAGE_NAME + 1 + OID_HEX];
	struct stores *s;
	struct ref first;
	struct err e;

	if (stores_open(&s, root, &e) < 0)
		die(1, "%s", e.text);
	for (int i = 0; i < 100000; i++) {
		struct ref r;

		if (store_put(s, stage, KIND_BYTES, &i, sizeof i, &r, &e) < 0)
			die(1, "%s", e.text);
		if (i == 0)
			first = r;
	}
	if (stores_flush(s, &e) < 0)
		die(1, "%s", e.text);
	stores_close(s);
	fill(folder, gb * 2, size);
	printf("%s\n", ref_text(&first, text));
	free(folder);
}

static double open_once(const char *root, const char *text)
{
	double start = clock_now();
	struct stores *s;
	struct ref ref;
	struct blob b;
	struct err e;

	if (stores_open(&s, root, &e) < 0 || ref_parse(s, text, &ref, &e) < 0 ||
	    store_get(s, &ref, &b, &e) < 0)
		die(1, "%s", e.text);
	blob_release(&b);
	stores_close(s);
	return clock_now() - start;
}

/* ---- time ---- */

static pid_t start_command(char **command)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		die(1, "cannot start '%s': %s", command[0], strerror(errno));
	if (pid)
		return pid;
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	execvp(command[0], command);
	_exit(127);
}

/*
 * Memory is looked at while it runs, as what wait4 tells counts the children's too. Every 2 ms, so
 * the last look is near the most for anything that takes long enough to need much.
 */
static void run_once(char **command, double *seconds, double *cpu, double *mb)
{
	double start = clock_now();
	pid_t pid = start_command(command);
	struct rusage used;
	int status;

	while (mb && waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0) {
		double now = peak_memory(pid) / (1 << 20);

		if (now == 0)           /* it has ended */
			break;
		*mb = now > *mb ? now : *mb;
		usleep(2000);
	}
	if (wait4(pid, &status, 0, &used) != pid)
		die(1, "cannot wait: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		warn("'%s' failed", command[0]);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	*seconds = clock_now() - start;
	*cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static void measure_command(const char *what, int rounds, char **command)
{
	double seconds[ROUNDS], cpu[ROUNDS], mb = 0;
	int memory = !strcmp(what, "memory");

	for (int i = 0; i < rounds; i++)
		run_once(command, &seconds[i], &cpu[i], memory ? &mb : NULL);
	median(cpu, rounds);            /* sorts */
	printf("%.4f\n", memory ? mb : !strcmp(what, "cpu") ? cpu[0] : median(seconds, rounds));
}

/* ---- main ---- */

static int number(const char *word, int most)
{
	int n = atoi(word);

	if (n < 1 || n > most)
		die(2, "'%s' is not a number from 1 to %d", word, most);
	return n;
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";

	program_name = "bench_flow";
	if (!strcmp(what, "pictures")) {
		write_pictures(number(argv[2], 10000000), argv[3]);
	} else if (!strcmp(what, "picture")) {
		struct buf jpeg = { 0 };

		encode(&jpeg);
		write_picture(&jpeg, (unsigned)number(argv[2], 99999999), argv[3]);
		buf_release(&jpeg);
	} else if (!strcmp(what, "store") && argc == 5) {
		write_store(argv[2], argv[3], number(argv[4], 1000));
	} else if (!strcmp(what, "open") && argc == 5) {
		double seconds[ROUNDS];
		int rounds = number(argv[2], ROUNDS);

		for (int i = 0; i < rounds; i++)
			seconds[i] = open_once(argv[3], argv[4]);
		printf("%.5f\n", median(seconds, rounds));
	} else if (!strcmp(what, "time") || !strcmp(what, "cpu") || !strcmp(what, "memory")) {
		measure_command(what, number(argv[2], ROUNDS), argv + 3);
	} else {
		die(2, "usage: bench_flow pictures COUNT FOLDER | picture NUMBER FILE | store FOLDER STAGE GB |\n"
		       "       open ROUNDS FOLDER REF | time|cpu|memory ROUNDS COMMAND...");
	}
	return 0;
}
