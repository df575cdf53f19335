#include "tests/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/talk.h"
#include "common/data/store.h"
#include "common/data/store_impl.h"
#include "common/flow/why.h"

static struct stores *open_at(const char *root)
{
	struct stores *s;
	struct err e;

	if (stores_open(&s, root, &e) < 0)
		die(1, "%s", e.text);
	return s;
}

static struct stores *again(struct stores *s)
{
	char *root = xstrdup(stores_root(s));

	stores_close(s);
	s = open_at(root);
	free(root);
	return s;
}

static struct ref put_text(struct stores *s, const char *stage, const char *text)
{
	struct ref r = { 0 };
	struct err e;

	CHECK_OK(store_put(s, stage, KIND_TEXT, text, strlen(text), &r, &e), e);
	return r;
}

static void fill(struct tensor *t, enum dtype type, int64_t n)
{
	struct rng r = rng_stream(1, "test", 0, 0);
	struct err e;
	void *values;
	float *f = xcalloc((size_t)n, sizeof *f);

	rng_normal(&r, f, n);
	CHECK_OK(tensor_new(t, type, 1, &n, &values, &e), e);
	if (dtype_is_float(type))
		row_from_f32(values, type, f, n);
	else
		memset(values, 3, (size_t)tensor_bytes(t));
	free(f);
}

static void objects_go_around(void)
{
	struct stores *s = open_at(test_folder("store"));
	struct err e = { "" };
	struct ref small = put_text(s, "prep", "hello"), same = put_text(s, "prep", "hello"), none = small;
	struct blob b;

	CHECK(oid_equal(&small.id, &same.id));
	for (int round = 0; round < 2; round++) {       /* waiting, then from disk */
		CHECK_INT(store_get(s, &small, &b, &e), 1);
		CHECK(b.kind == KIND_TEXT && b.len == 5 && !memcmp(b.at, "hello", 5));
		blob_release(&b);
		none.id.at[0] ^= 1;
		CHECK_INT(store_get(s, &none, &b, &e), 0);
		CHECK_INT(store_has(s, &small, &e), 1);
		CHECK_INT(store_has(s, &none, &e), 0);
		none.id.at[0] ^= 1;
		CHECK(store_need(s, &small, KIND_TABLE, &b, &e) < 0 && strstr(e.text, "is a text, a table is wanted"));
		s = again(s);
	}
	memcpy(none.stage, "other", 6);
	CHECK_INT(store_get(s, &none, &b, &e), 0);
	CHECK(store_need(s, &none, KIND_TEXT, &b, &e) < 0);
	CHECK(!is_folder("build/scratch/store/other"));
	stores_close(s);
}

static void tensors_keep_their_values(void)
{
	struct stores *s = open_at(test_folder("store-tensor"));
	static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16, DT_F64, DT_I64, DT_U8 };
	struct err e;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		for (int64_t n = 0; n < 2000000; n = n * 37 + 1) {
			struct tensor t, u;
			struct ref r;
			struct pin p;

			fill(&t, types[i], n);
			CHECK_OK(store_put_tensor(s, "train", &t, &r, &e), e);
			CHECK_OK(store_get_tensor(s, &r, &u, &e), e);
			CHECK(u.type == types[i] && u.side[0] == n &&
			      !memcmp(u.at, t.at, (size_t)tensor_bytes(&t)));
			tensor_release(&u);
			CHECK_OK(stores_flush(s, &e), e);
			CHECK_INT(store_pin(s, &r, &p, &e), 1);
			CHECK((uintptr_t)p.at % 16 == 0);
			CHECK_OK(tensor_unpack(&u, p.at, p.len, &e), e);
			CHECK((uintptr_t)u.at % 16 == 0 &&
			      !memcmp(u.at, t.at, (size_t)tensor_bytes(&t)));
			store_unpin(&p);
			store_unpin(&p);
			tensor_release(&t);
		}
	stores_close(s);
}

static int sum_sizes(void *data, const struct ref *r, enum kind kind, size_t size)
{
	(void)r, (void)kind;
	*(size_t *)data += size;
	return 0;
}

static void half_precision_is_packed(void)
{
	struct stores *s = open_at(test_folder("store-planes"));
	struct tensor t;
	struct err e;
	size_t size = 0;

	fill(&t, DT_BF16, 100000);
	CHECK_OK(store_put_tensor(s, "latents", &t, NULL, &e), e);
	CHECK_OK(store_objects(s, "latents", sum_sizes, &size, &e), e);
	CHECK(size > 100000 && size < 160000);  /* the high bytes take less than half */
	tensor_release(&t);
	stores_close(s);
}

static void the_map_grows(void)
{
	struct stores *s = open_at(test_folder("store-grow"));
	struct stores *other = NULL;
	struct ref r[12];
	struct err e;
	struct blob b;

	s->map = 1 << 20;
	other = open_at(stores_root(s));
	other->map = 1 << 20;
	for (int i = 0; i < 12; i++) {
		struct tensor t;

		fill(&t, DT_F32, 300000 + i);
		CHECK_OK(store_put_tensor(s, "train", &t, &r[i], &e), e);
		tensor_release(&t);
	}
	CHECK(env_map_size(s->shelf[0]->env) > 14 << 20);
	for (int i = 0; i < 12; i++) {
		CHECK_INT(store_get(s, &r[i], &b, &e), 1);
		blob_release(&b);
	}
	stores_close(s);
	stores_close(other);
}

static void *work_on(void *data)
{
	struct stores *s = data;
	struct err e;
	static int next;
	int me = __atomic_add_fetch(&next, 1, __ATOMIC_SEQ_CST);

	for (int i = 0; i < 40; i++) {
		struct tensor t, u;
		struct ref r;
		struct pin p;
		int64_t n = i % 4 ? 100 + i : 40000 + i * 7 + me;

		fill(&t, i % 3 ? DT_F32 : DT_BF16, n);
		if (store_put_tensor(s, "train", &t, &r, &e) < 0 || store_pin(s, &r, &p, &e) != 1)
			return xstrdup(e.text);
		if (tensor_unpack(&u, p.at, p.len, &e) < 0 ||
		    memcmp(u.at, t.at, (size_t)tensor_bytes(&t)))
			return xstrdup("other values");
		store_unpin(&p);
		tensor_release(&t);
	}
	return NULL;
}

/* While the map grows under them. */
static void threads_share_the_stores(void)
{
	struct stores *s = open_at(test_folder("store-threads"));
	pthread_t thread[4];
	void *bad;

	s->map = 1 << 20;
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&thread[i], NULL, work_on, s));
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &bad);
		if (bad)
			printf("# %s\n", (char *)bad);
		CHECK(!bad);
		free(bad);
	}
	stores_close(s);
}

/* Another process makes the file larger than our map. */
static void the_map_follows_another_process(void)
{
	struct stores *s = open_at(test_folder("store-follow"));
	struct err e;
	struct ref r = { .stage = "train" };
	struct tensor t;
	struct blob b;
	int status;
	pid_t pid;
	int go[2];

	fill(&t, DT_F32, 2000000);
	CHECK(pipe(go) == 0);
	pid = fork();
	if (pid == 0) {         /* opens its own environment, once the parent has a small one */
		char c;

		_exit(read(go[0], &c, 1) != 1 || store_put_tensor(s, "train", &t, &r, &e) < 0);
	}
	s->map = 1 << 20;
	put_text(s, "train", "x");
	CHECK_OK(stores_flush(s, &e), e);
	CHECK(write(go[1], "x", 1) == 1);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	{
		struct buf packed = { 0 };

		tensor_pack(&packed, &t);
		oid_of(&r.id, KIND_TENSOR, packed.at, packed.len);
		buf_release(&packed);
	}
	CHECK_INT(store_get(s, &r, &b, &e), 1);
	blob_release(&b);
	put_text(s, "train", "y");
	CHECK_OK(stores_flush(s, &e), e);
	tensor_release(&t);
	close(go[0]);
	close(go[1]);
	stores_close(s);
}

static void references_are_completed(void)
{
	struct stores *s = open_at(test_folder("store-ref"));
	char text[STAGE_NAME + 1 + OID_HEX], digit[64];
	struct ref r = { 0 }, out;
	struct err e = { "" };

	for (int i = 0; i < 3000; i++) {
		snprintf(digit, sizeof digit, "%d", i);
		r = put_text(s, "prep", digit);
		if (i == 1000)
			CHECK_OK(stores_flush(s, &e), e);
	}
	ref_text(&r, text);
	CHECK(ref_is(text) && ref_is("prep/1234") && !ref_is("prep/123") && !ref_is("prep") && !ref_is("/1234"));
	CHECK(!ref_is("Prep/1234") && !ref_is("prep/1234g") && !ref_is("a/b/1234"));
	CHECK_OK(ref_parse(s, text, &out, &e), e);
	CHECK(oid_equal(&out.id, &r.id) && !strcmp(out.stage, "prep"));
	text[5 + 15] = 0;
	CHECK_OK(ref_parse(s, text, &out, &e), e);
	CHECK(oid_equal(&out.id, &r.id));
	text[5 + 4] = 0;
	/* among 3000 there are two with the same four digits */
	for (int i = 0; i < 65536; i++) {
		snprintf(text, sizeof text, "prep/%04x", i);
		if (ref_parse(s, text, &out, &e) < 0 && strstr(e.text, "ambiguous"))
			break;
	}
	CHECK(strstr(e.text, "' is ambiguous: prep/"));
	CHECK(ref_parse(s, "bucket/12345678", &out, &e) < 0);
	CHECK_STR(e.text, "there is no 'bucket/12345678': 'build/scratch/store-ref' has no results of 'bucket', only of prep");
	CHECK(ref_parse(s, "prep/00000000000000000000000000000000", &out, &e) < 0 && strstr(e.text, "there is no object"));
	stores_close(s);
}

static void make_action(struct action *a, const char *steps)
{
	action_begin(a, "train", 2, "stage");
	action_param(a, "steps", steps);
	action_paramf(a, "rate", "%.17g", 1e-4);
}

struct listed {
	int n;
	char first[200];
};

static int list_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct listed *l = data;

	(void)key, (void)r;
	if (!l->n++)
		snprintf(l->first, sizeof l->first, "%s", text);
	return 0;
}

static void actions_are_found_again(void)
{
	struct stores *s = open_at(test_folder("store-action"));
	struct action a, b;
	struct result r = { .seconds = 1.5 }, got;
	struct listed l = { 0 };
	struct err e = { "" };
	struct oid key;

	make_action(&a, "200");
	make_action(&b, "400");
	CHECK_STR(buf_str(&a.text), "stage train 2\nstage\nparam steps 200\nparam rate 0.0001\n");
	CHECK_INT(store_find(s, &a, &got, &e), 0);
	r.out = put_text(s, "train", "result");
	buf_adds(&r.note, "loss=1\n");
	CHECK_OK(store_record(s, &a, &r, &e), e);
	CHECK_OK(store_record_later(s, &b, &r, &e), e);
	for (int round = 0; round < 2; round++) {
		CHECK_INT(store_find(s, &b, &got, &e), 1);
		CHECK(oid_equal(&got.out.id, &r.out.id) && got.seconds == 1.5 &&
		      got.time > 1600000000);
		CHECK_STR(buf_str(&got.note), "loss=1\n");
		CHECK(*got.host);
		result_release(&got);
		s = again(s);
	}
	CHECK_OK(store_actions(s, "train", list_action, &l, &e), e);
	CHECK_INT(l.n, 2);
	CHECK_STR(l.first, buf_str(&a.text));
	action_key(&a, &key);
	CHECK_OK(store_delete_action(s, "train", &key, &e), e);
	CHECK_INT(store_find(s, &a, NULL, &e), 0);
	CHECK_INT(store_find(s, &b, NULL, &e), 1);
	CHECK_OK(store_delete(s, &r.out, &e), e);
	CHECK_INT(store_find(s, &b, NULL, &e), 0);      /* its object is gone */
	action_release(&a);
	action_release(&b);
	result_release(&r);
	stores_close(s);
}

static void reasons_are_told(void)
{
	struct buf b = { 0 };

	CHECK_INT(action_diff("stage train 2\nstage\nparam steps 200\ninput image 00\n",
			      "stage train 2\nstage\nparam steps 400\ninput image 11\n", &b), 2);
	CHECK_STR(buf_str(&b), "steps 200 -> 400; input image changed");
	buf_clear(&b);
	CHECK_INT(action_diff("stage bucket 2\nitem\nparam a x\n", "stage bucket 3\nitem\nparam b \ninput c 0\n", &b), 4);
	CHECK_STR(buf_str(&b), "stage bucket: version 2 -> 3; b nothing -> nothing; input c is new; a x -> nothing");
	CHECK_INT(action_diff("a\n", "a\n", &b), 0);
	buf_release(&b);
}

/* ---- damage ---- */

static void flip(const char *path, const char *what)
{
	struct buf b = { 0 };
	struct err e;
	char *at;

	CHECK_OK(file_read(&b, path, 1 << 30, &e), e);
	at = memmem(b.at, b.len, what, strlen(what));
	CHECK(at != NULL);
	if (at) {
		*at ^= 1;
		CHECK_OK(file_replace(path, b.at, b.len, &e), e);
	}
	buf_release(&b);
}

static void damage_is_noticed(void)
{
	struct stores *s = open_at(test_folder("store-damage"));
	const char *path = "build/scratch/store-damage/prep/data.mdb";
	struct ref r = put_text(s, "prep", "a text that is short"), picture;
	struct err e = { "" };
	struct blob b;
	struct pin p;
	char want[200], hex[OID_HEX + 1], big[5000] = "pixels of a picture";

	CHECK_OK(store_put(s, "prep", KIND_IMAGE, big, sizeof big, &picture, &e), e);
	stores_close(s);
	flip(path, "text that is");
	flip(path, "pixels of");
	s = open_at("build/scratch/store-damage");
	CHECK(store_get(s, &r, &b, &e) < 0);
	snprintf(want, sizeof want, "object 'prep/%s': damaged, its content has the hash ", oid_hex(&r.id, hex));
	CHECK(!strncmp(e.text, want, strlen(want)));
	e.text[0] = 0;
	CHECK(store_pin(s, &picture, &p, &e) < 0 && strstr(e.text, "damaged, its content has the hash"));
	stores_close(s);
	CHECK(truncate(path, 8192) == 0);
	s = open_at("build/scratch/store-damage");
	CHECK(store_get(s, &r, &b, &e) < 0);
	CHECK(strstr(e.text, "store 'build/scratch/store-damage/prep' is damaged: its file has 8192 bytes, "));
	CHECK_OK(file_replace(path, "This is not a store, it only has its name. ............................................"
		"........................................................................", 150, &e), e);
	stores_close(s);
	s = open_at("build/scratch/store-damage");
	CHECK(store_get(s, &r, &b, &e) < 0 && strstr(e.text, "is damaged"));
	stores_close(s);
}

static void another_format_is_refused(void)
{
	struct stores *s = open_at(test_folder("store-format"));
	struct ref r = put_text(s, "prep", "x");
	struct change c = { ENV_PUT, ENV_META, "format", 6, { { "7", 1 } } };
	struct err e = { "" };
	struct blob b;

	CHECK_OK(env_write(s->shelf[0]->env, &c, 1, &e), e);
	s = again(s);
	CHECK(store_get(s, &r, &b, &e) < 0);
	CHECK_STR(e.text, "store 'build/scratch/store-format/prep' has format 7, this program reads formats up to 2: a newer one is needed");
	CHECK(store_put(s, "prep", KIND_TEXT, "y", 1, &r, &e) < 0);
	stores_close(s);
	CHECK_OK(file_replace("build/scratch/store-file", "", 0, &e), e);
	CHECK(stores_open(&s, "build/scratch/store-file", &e) < 0 && strstr(e.text, "is a file, a folder is wanted"));
}

static void write_meta(struct stores *s, const char *format)
{
	struct change c = { ENV_PUT, ENV_META, "format", 6, { { format, strlen(format) } } };
	struct err e = { "" };

	CHECK_OK(env_write(s->shelf[0]->env, &c, 1, &e), e);
}

static int take_sum(void *data, const void *key, size_t key_len, const void *at, size_t len, struct err *e)
{
	struct buf *b = data;

	(void)e;
	buf_add(b, key, key_len);
	buf_add(b, at, len);
	return 0;
}

static int take_format(void *data, const void *at, size_t len, struct err *e)
{
	(void)e;
	buf_add(data, at, len);
	return 0;
}

/* Format 1 had no sums in its records: what it holds is read, and the next write makes it format 2. */
static void an_earlier_format_is_read_and_becomes_ours(void)
{
	struct stores *s = open_at(test_folder("store-earlier"));
	struct action a;
	struct result r = { .seconds = 2 }, got;
	struct buf b = { 0 }, format = { 0 };
	struct err e = { "" };

	make_action(&a, "200");
	r.out = put_text(s, "train", "result");
	CHECK_OK(store_record(s, &a, &r, &e), e);
	CHECK_OK(env_visit(s->shelf[0]->env, ENV_ACTIONS, NULL, 0, take_sum, &b, &e), e);
	memset(b.at + 16 + 1, 0, 3);
	memset(b.at + 16 + 5, 0, 3);
	CHECK_OK(env_write(s->shelf[0]->env, &(struct change){ ENV_PUT, ENV_ACTIONS, b.at, 16,
		{ { b.at + 16, b.len - 16 } } }, 1, &e), e);
	write_meta(s, "1");
	s = again(s);
	CHECK_INT(store_find(s, &a, &got, &e), 1);
	CHECK(oid_equal(&got.out.id, &r.out.id) && got.seconds == 2);
	env_get(s->shelf[0]->env, ENV_META, "format", 6, take_format, &format, &e);
	CHECK_STR(buf_str(&format), "1");
	put_text(s, "train", "more");
	s = again(s);
	CHECK_INT(store_find(s, &a, NULL, &e), 1);
	buf_clear(&format);
	env_get(s->shelf[0]->env, ENV_META, "format", 6, take_format, &format, &e);
	CHECK_STR(buf_str(&format), "2");
	result_release(&got);
	action_release(&a);
	buf_release(&b);
	buf_release(&format);
	stores_close(s);
}

/* A bit of the note, which no hash covers, and of a file's remembered hash. */
static void records_carry_sums(void)
{
	struct stores *s = open_at(test_folder("store-sum"));
	struct action a;
	struct result r = { .seconds = 2 };
	struct err e = { "" };

	make_action(&a, "200");
	r.out = put_text(s, "train", "result");
	buf_adds(&r.note, "verdict=fixed\n");
	CHECK_OK(store_record(s, &a, &r, &e), e);
	stores_close(s);
	flip("build/scratch/store-sum/train/data.mdb", "verdict=fixed");
	s = open_at("build/scratch/store-sum");
	CHECK(store_find(s, &a, NULL, &e) < 0);
	CHECK_STR(e.text, "a recorded action is damaged: its sum is another");
	CHECK_OK(store_check(s, "train", &e), e);       /* the pages are sound */
	action_release(&a);
	result_release(&r);
	stores_close(s);
}

/* The exit code of a check of the pages in a process of its own. */
static int checked(const char *root)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct stores *s = open_at(root);
		struct err e;

		dup2(open("/dev/null", O_WRONLY), 2);
		_exit(store_check(s, "prep", &e) < 0 ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A page size of 0, by which LMDB divides; the older of the two meta pages as the newer one. */
static void meta_pages_that_lie(void)
{
	enum { SIZE = 16 + 24, TXN = 16 + 128 };
	const char *path = "build/scratch/store-meta/prep/data.mdb";
	struct stores *s = open_at(test_folder("store-meta"));
	struct buf b = { 0 };
	struct err e;
	uint64_t txn[2];

	for (int i = 0; i < 3; i++) {
		put_text(s, "prep", i ? i == 1 ? "one" : "two" : "none");
		s = again(s);
	}
	stores_close(s);
	CHECK_INT(checked("build/scratch/store-meta"), 0);
	CHECK_OK(file_read(&b, path, 1 << 30, &e), e);
	for (int i = 0; i < 2; i++) {
		memcpy(&txn[i], b.at + i * 4096 + TXN, 8);
		b.at[i * 4096 + SIZE + 1] ^= 0x10;
		CHECK_OK(file_replace(path, b.at, b.len, &e), e);
		CHECK_INT(checked("build/scratch/store-meta"), 1);
		b.at[i * 4096 + SIZE + 1] ^= 0x10;
	}
	for (int i = 0; i < 2; i++) {
		uint64_t lie = txn[i] > txn[!i] ? txn[i] - 2 : txn[i] + 2;

		memcpy(b.at + i * 4096 + TXN, &lie, 8);
		CHECK_OK(file_replace(path, b.at, b.len, &e), e);
		CHECK_INT(checked("build/scratch/store-meta"), 1);
		memcpy(b.at + i * 4096 + TXN, &txn[i], 8);
	}
	buf_release(&b);
}

/* Every page is used or free, whatever was written and deleted before. */
static void pages_are_accounted_for(void)
{
	struct stores *s = open_at(test_folder("store-pages"));
	struct rng rng = rng_stream(3, "test", 0, 0);
	struct err e = { "" };
	static struct ref kept[400];
	char *text = xcalloc(1, 40000);

	for (int i = 0; i < 1500; i++) {
		int k = (int)rng_below(&rng, (uint32_t)(4 * i), 400);

		memset(text, 'a' + i % 26, 39999);
		text[rng_below(&rng, (uint32_t)(4 * i + 2), i % 50 ? 600 : 39000)] = 0;
		if (kept[k].stage[0])
			CHECK_OK(store_delete(s, &kept[k], &e), e);
		CHECK_OK(store_put(s, "prep", KIND_IMAGE, text, strlen(text), &kept[k], &e), e);
		if (i % 100 == 0)
			CHECK_OK(store_check(s, "prep", &e), e);
	}
	s = again(s);
	CHECK_OK(store_check(s, "prep", &e), e);
	free(text);
	stores_close(s);
}

static void a_full_disk_loses_nothing(void)
{
	struct stores *s = open_at(test_folder("store-full"));
	struct ref kept = put_text(s, "train", "kept"), r;
	struct rlimit old, small = { 3 << 20, 0 };
	struct err e = { "" };
	struct tensor t;
	struct blob b;

	CHECK_OK(stores_flush(s, &e), e);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	fill(&t, DT_F32, 2000000);
	CHECK(store_put_tensor(s, "train", &t, &r, &e) < 0);
	CHECK_STR(e.text, "cannot write to store 'build/scratch/store-full/train': File too large");
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_INT(store_get(s, &kept, &b, &e), 1);
	blob_release(&b);
	CHECK_OK(store_put_tensor(s, "train", &t, &r, &e), e);
	s = again(s);
	CHECK_INT(store_has(s, &r, &e), 1);
	tensor_release(&t);
	stores_close(s);
}

/*
 * Two processes write the same and other things, one is
 * killed again and again: what was recorded is there.
 */
static void killed_writers_leave_whole_actions(void)
{
	const char *root = test_folder("store-kill");
	int found = 0;

	for (int round = 0; round < 12; round++) {
		int done[2], is_pipe = pipe(done);
		pid_t pid = fork();
		char byte = 0;

		if (pid == 0) {
			struct stores *s = open_at(root);
			struct err e;

			for (int i = 0; ; i++) {
				struct action a;
				struct result r = { 0 };
				char text[32];

				snprintf(text, sizeof text, "%d", i);
				make_action(&a, text);
				r.out = put_text(s, "train", text);
				if (store_record(s, &a, &r, &e) < 0 || write(done[1], &byte, 1) != 1)
					_exit(1);
				action_release(&a);
			}
		}
		close(done[1]);
		for (int i = 0; i <= round; i++)        /* so many are recorded, on any machine */
			CHECK(is_pipe == 0 && read(done[0], &byte, 1) == 1);
		usleep(1000 * (unsigned)round);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(done[0]);
	}
	{
		struct stores *s = open_at(root);
		struct err e = { "" };

		for (int i = 0; i < 100000; i++) {
			struct action a;
			struct result r;
			struct blob b;
			char text[32];
			int known;

			snprintf(text, sizeof text, "%d", i);
			make_action(&a, text);
			known = store_find(s, &a, &r, &e);
			action_release(&a);
			CHECK(known >= 0);
			if (known <= 0)
				break;
			found++;
			CHECK_INT(store_get(s, &r.out, &b, &e), 1);
			CHECK(b.len == strlen(text) && !memcmp(b.at, text, b.len));
			blob_release(&b);
			result_release(&r);
		}
		stores_close(s);
	}
	CHECK(found > 0);
}

static int delete_all(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct err e = { "" };

	(void)kind, (void)size;
	CHECK_OK(store_delete(data, r, &e), e);
	return 0;
}

static void deleting_keeps_the_file_whole(void)
{
	struct stores *s = open_at(test_folder("store-delete"));
	struct err e = { "" };
	struct names list;
	char text[3000];

	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "%*d", i * 9 + 1, i);
		put_text(s, "prep", text);
	}
	s = again(s);
	CHECK_OK(store_objects(s, "prep", delete_all, s, &e), e);
	s = again(s);
	CHECK_INT(store_has(s, &(struct ref){ .stage = "prep" }, &e), 0);
	put_text(s, "prep", "new");
	s = again(s);
	CHECK_OK(stores_list(s, &list, &e), e);
	CHECK_INT(list.n, 1);
	names_release(&list);
	stores_close(s);
}

/* ---- outside ---- */

static void outside_files_are_known_by_content(void)
{
	const char *folder = test_folder("store-outside");
	char *dir = path_join(folder, "pictures"), *a = path_join(dir, "a"), *b = path_join(dir, "b");
	struct stores *s = open_at("build/scratch/store-outside/store");
	struct utimbuf old = { 1000000000, 1000000000 };
	struct oid x, y, z;
	struct err e = { "" };
	double start;

	CHECK_OK(make_folder(dir, &e), e);
	start = clock_now();
	CHECK_OK(file_replace(a, "one", 3, &e), e);
	CHECK_OK(outside_hash(s, a, &x, &e), e);
	oid_of(&y, KIND_BYTES, "one", 3);
	CHECK(oid_equal(&x, &y));
	/* a young stamp is not trusted, if it is young still */
	CHECK(!s->stamps[0]->news || clock_now() - start > 1.9);
	CHECK_OK(file_replace(a, "two", 3, &e), e);
	CHECK_OK(outside_hash(s, a, &x, &e), e);
	CHECK(!oid_equal(&x, &y));
	CHECK_OK(outside_hash(s, dir, &x, &e), e);
	CHECK_OK(file_replace(b, "", 0, &e), e);
	CHECK_OK(outside_hash(s, dir, &y, &e), e);
	CHECK(!oid_equal(&x, &y));
	rename(b, "build/scratch/store-outside/pictures/.b");
	CHECK_OK(outside_hash(s, dir, &z, &e), e);
	CHECK(oid_equal(&x, &z));
	utime(a, &old);
	CHECK(outside_hash(s, "build/scratch/none", &x, &e) < 0 && strstr(e.text, "cannot open 'build/scratch/none'"));
	CHECK(outside_hash(s, "/dev/null", &x, &e) < 0);
	free(dir);
	free(a);
	free(b);
	stores_close(s);
}

/*
 * A cached hash is believed: put a wrong one under a file's stamp and see it come out, for the file
 * and for its folder. Written in place with its size and time as they were, the file is another one.
 */
static void stamps_are_remembered(void)
{
	const char *folder = test_folder("store-stamp");
	char *dir = path_join(folder, "p"), *a = path_join(dir, "a");
	struct timespec times[2];
	struct stat st;
	FILE *f;
	struct stores *s = open_at("build/scratch/store-stamp/store");
	struct oid x, y, in_folder;
	struct err e = { "" };

	CHECK_OK(make_folder(dir, &e), e);
	CHECK_OK(file_replace(a, "one", 3, &e), e);
	usleep(3100000);
	CHECK_OK(outside_hash(s, dir, &in_folder, &e), e);
	CHECK_OK(outside_hash(s, a, &x, &e), e);
	for (size_t i = 0; i < s->folders; i++)
		for (size_t k = 0; k < s->stamps[i]->news; k++)
			s->stamps[i]->new[k].hash.at[0] ^= 1;
	s = again(s);
	CHECK_OK(outside_hash(s, a, &y, &e), e);
	CHECK(!oid_equal(&x, &y) && x.at[1] == y.at[1]);
	CHECK_OK(outside_hash(s, dir, &y, &e), e);
	CHECK(!oid_equal(&in_folder, &y));
	CHECK(stat(a, &st) == 0 && (f = fopen(a, "r+")) && fputs("two", f) >= 0 && !fclose(f));
	times[0] = times[1] = st.st_mtim;
	CHECK(utimensat(AT_FDCWD, a, times, 0) == 0);
	CHECK_OK(outside_hash(s, a, &y, &e), e);
	oid_of(&x, KIND_BYTES, "two", 3);
	CHECK(oid_equal(&x, &y));
	CHECK_OK(file_replace(a, "one", 3, &e), e);
	CHECK_OK(outside_hash(s, dir, &y, &e), e);
	CHECK(oid_equal(&in_folder, &y));
	free(dir);
	free(a);
	stores_close(s);
}

static int changing;

static void *keep_changing(void *path)
{
	int fd = open(path, O_WRONLY);

	for (unsigned i = 0; __atomic_load_n(&changing, __ATOMIC_SEQ_CST) && fd >= 0; i++)
		if (pwrite(fd, &i, sizeof i, 1 << 20) < 0)
			break;
	close(fd);
	return NULL;
}

static void a_file_that_changes_while_it_is_read(void)
{
	char *a = path_join(test_folder("store-changing"), "a");
	struct stores *s = open_at("build/scratch/store-changing/store");
	struct oid x;
	struct err e = { "" };
	pthread_t thread;
	int ret = 0;

	CHECK_OK(file_replace(a, "one", 3, &e), e);
	CHECK(truncate(a, 256 << 20) == 0);
	changing = 1;
	pthread_create(&thread, NULL, keep_changing, a);
	for (int i = 0; i < 100 && ret == 0; i++)       /* the thread may not have had its turn */
		ret = outside_hash(s, a, &x, &e);
	CHECK(ret < 0);
	CHECK_STR(e.text, "'build/scratch/store-changing/a' was changed while it was read");
	__atomic_store_n(&changing, 0, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK_OK(outside_hash(s, a, &x, &e), e);
	unlink(a);
	free(a);
	stores_close(s);
}

/* Many small ones, found among those that wait and after a flush; the later of two records counts. */
static void many_wait_and_are_found(void)
{
	enum { N = 3000 };
	struct stores *s = open_at(test_folder("store-many"));
	struct result r = { 0 }, found;
	struct action a[N];
	struct ref first = { 0 };
	struct err e = { "" };

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++) {
			char text[32];

			if (round == 0) {
				action_begin(&a[i], "many", 1, "item");
				action_paramf(&a[i], "n", "%d", i);
			}
			snprintf(text, sizeof text, "%d of round %d", i, round);
			r.out = put_text(s, "many", text);
			first = i ? first : r.out;
			CHECK_OK(store_record_later(s, &a[i], &r, &e), e);
		}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			char text[32];
			struct blob b = { 0 };

			snprintf(text, sizeof text, "%d of round 1", i);
			CHECK_INT(store_find(s, &a[i], &found, &e), 1);
			CHECK_INT(store_get(s, &found.out, &b, &e), 1);
			CHECK(b.len == strlen(text) && !memcmp(b.at, text, b.len));
			blob_release(&b);
			result_release(&found);
		}
		CHECK_INT(store_has(s, &first, &e), 1);
		s = again(s);
	}
	for (int i = 0; i < N; i++)
		action_release(&a[i]);
	result_release(&r);
	stores_close(s);
}

static int damage_stamps(void *data, const void *key, size_t key_len, const void *at, size_t len,
			 struct err *e)
{
	struct buf *all = data;         /* key, value with one bit flipped */

	(void)e;
	CHECK_INT(key_len, 17);
	buf_add(all, key, key_len);
	buf_add(all, at, len);
	all->at[all->len - 1] ^= 1;
	return 1;
}

/* A folder's stamps: each file found by its own, old ones replaced, damaged ones not believed. */
static void stamps_of_a_folder(void)
{
	enum { N = 500 };
	const char *root = test_folder("store-stamps");
	char *dir = path_join(root, "p"), *store = path_join(root, "store");
	struct stores *s = open_at(store);
	struct oid hash[N], x, is;
	struct buf all = { 0 };
	struct stamps *f;
	struct shelf *shelf;
	struct stat st = { .st_size = 5 };
	struct err e = { "" };

	CHECK_OK(make_folder(dir, &e), e);
	f = stamps_of(s, dir);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i += 1 + round) {
			char name[16];

			snprintf(name, sizeof name, "%d", i);
			st.st_ino = (ino_t)i;
			st.st_mtim.tv_nsec = round;
			oid_of(&hash[i], KIND_TEXT, &st, sizeof st);
			stamps_add(s, f, name, &st, &hash[i]);
		}
		CHECK_OK(stores_flush(s, &e), e);
	}
	for (int round = 0; round < 2; round++) {
		CHECK_INT(f->n, N);
		for (int i = 0; i < N; i++) {
			char name[16];

			snprintf(name, sizeof name, "%d", i);
			st.st_ino = (ino_t)i;
			st.st_mtim.tv_nsec = i % 2 == 0;
			CHECK(stamps_find(s, f, name, &st, &x) && oid_equal(&x, &hash[i]));
			st.st_mtim.tv_nsec ^= 1;
			CHECK(!stamps_find(s, f, name, &st, &x));
		}
		s = again(s);
		f = stamps_of(s, dir);
	}
	CHECK_INT(shelf_find(s, STAT_STAGE, 0, &shelf, &e), 1);
	CHECK_OK(env_visit(shelf->env, ENV_OBJECTS, NULL, 0, damage_stamps, &all, &e), e);
	CHECK_OK(env_write(shelf->env, &(struct change){ ENV_PUT, ENV_OBJECTS, all.at, 17,
			{ { all.at + 17, all.len - 17 } } }, 1, &e), e);
	s = again(s);
	f = stamps_of(s, dir);
	memcpy(is.at, all.at, sizeof is.at);
	CHECK(oid_equal(&is, &f->folder));
	CHECK_INT(f->n, N - (all.len - 17 - 16) / sizeof *f->at);
	buf_release(&all);
	free(dir);
	free(store);
	stores_close(s);
}

int main(void)
{
	TEST(objects_go_around);
	TEST(tensors_keep_their_values);
	TEST(half_precision_is_packed);
	TEST(the_map_grows);
	TEST(threads_share_the_stores);
	TEST(the_map_follows_another_process);
	TEST(references_are_completed);
	TEST(actions_are_found_again);
	TEST(reasons_are_told);
	TEST(damage_is_noticed);
	TEST(another_format_is_refused);
	TEST(an_earlier_format_is_read_and_becomes_ours);
	TEST(records_carry_sums);
	TEST(meta_pages_that_lie);
	TEST(pages_are_accounted_for);
	TEST(a_full_disk_loses_nothing);
	TEST(killed_writers_leave_whole_actions);
	TEST(deleting_keeps_the_file_whole);
	TEST(outside_files_are_known_by_content);
	TEST(stamps_are_remembered);
	TEST(a_file_that_changes_while_it_is_read);
	TEST(stamps_of_a_folder);
	TEST(many_wait_and_are_found);
	return test_end();
}
