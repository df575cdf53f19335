/*
 * A model of full size with random weights, for benchmarks and tests of size:
 *
 *	make_model KIND OUT [--parts unet,vae,text] [--dtype f16|f32] [--seed N] [--shared FOLDER]
 *
 * KIND is sd15 or sd21. OUT is a folder in diffusers' layout, or a single file if its name ends in
 * .safetensors. Names and shapes come from SHARED/golden/keys, the rest (scheduler, tokenizer) from
 * the tiny model of that kind. Weights are uniform with variance 1 / fan-in, so that activations
 * stay finite; norms are 1; biases are small. A value is a hash of its tensor's name and its index,
 * so a model is the same wherever it is made; for the sake of speed indices count modulo PERIOD, a
 * prime, so that no two rows of a matrix are equal.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "common/data/tensor.h"
#include "kernels/run/checkpoint.h"

#define PERIOD 131101

struct row {
	char *name;
	int rank;
	int64_t side[4], count;
};

struct made {
	const char *kind, *tiny, *out, *shared;
	enum dtype type;
	uint64_t seed;
};

static const struct { const char *part, *folder, *file; } parts[] = {
	{ "unet", "unet", "diffusion_pytorch_model.safetensors" },
	{ "vae", "vae", "diffusion_pytorch_model.safetensors" },
	{ "text", "text_encoder", "model.safetensors" },
};

/* ---- the table of names ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* "320x4x3x3" */
static int read_shape(struct row *r, const char *text)
{
	r->count = 1;
	for (r->rank = 0; r->rank < 4; text++) {
		char *end;

		r->side[r->rank] = strtoll(text, &end, 10);
		if (end == text || r->side[r->rank] < 1)
			return -1;
		r->count *= r->side[r->rank++];
		text = end;
		if (*text != 'x')
			return *text ? -1 : 0;
	}
	return -1;
}

/*
 * Columns: name in diffusers, name in the original layout,
 * shape. Rows without the first are passed over.
 */
static struct row *read_names(const char *path, size_t *n, struct err *e)
{
	struct buf text = { 0 };
	struct row *rows = NULL;
	size_t cap = 0;
	char *line, *rest;

	*n = 0;
	if (file_read(&text, path, 1 << 24, e) < 0)
		return NULL;
	strtok_r(text.at, "\n", &rest);
	while ((line = strtok_r(NULL, "\n", &rest))) {
		char *column, *name = strtok_r(line, "\t", &column), *shape;

		strtok_r(NULL, "\t", &column);
		shape = strtok_r(NULL, "\t", &column);
		if (!name || !strcmp(name, "-"))
			continue;
		rows = grow(rows, *n, &cap, sizeof *rows);
		if (!shape || read_shape(&rows[*n], shape) < 0) {
			fail(e, "'%s': no shape for '%s'", path, name);
			break;
		}
		rows[(*n)++].name = xstrdup(name);
	}
	buf_release(&text);
	if (rows)
		qsort(rows, *n, sizeof *rows, by_name);
	return line ? NULL : rows;
}

/* ---- values ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static uint64_t name_seed(const char *name, uint64_t seed)
{
	for (; *name; name++)
		seed = (seed ^ (unsigned char)*name) * 0x100000001b3u;
	return mix(seed);
}

/* Values are `base` + `spread` u, u uniform with variance 1. */
static void law(const struct row *r, float *base, float *spread)
{
	int norm = strstr(r->name, "norm") != NULL || strstr(r->name, "ln_") != NULL;

	*base = norm && r->rank == 1 && strstr(r->name, ".weight") ? 1 : 0;
	*spread = r->rank == 1 ? .02f : 1 / sqrtf((float)(r->count / r->side[0]));
	if (*base == 1)
		*spread = 0;
	if (strstr(r->name, "embedding.weight") && strstr(r->name, "embeddings"))
		*spread = .05f;
}

static void values(float *to, const struct row *r, uint64_t seed, int64_t n)
{
	float base, spread;

	law(r, &base, &spread);
	spread *= 3.4641016f * 0x1p-24f;        /* sqrt(12): a uniform of width 1
						 * has variance 1 / 12 */
	for (int64_t i = 0; i < n; i += 2) {
		uint64_t h = mix(seed + (uint64_t)i * 0x9e3779b97f4a7c15u);

		to[i] = base + spread * (float)((int32_t)(h >> 40) - (1 << 23));
		if (i + 1 < n)
			to[i + 1] = base +
				spread * (float)((int32_t)(h >> 8 & 0xffffff) - (1 << 23));
	}
}

static int write_values(struct file_new *f, const struct made *m, const struct row *r,
			struct err *e)
{
	int64_t n = r->count < PERIOD ? r->count : PERIOD;
	size_t size = dtype_size(m->type);
	char *out = xmalloc((size_t)n * size);
	float *raw = xmalloc((size_t)n * sizeof *raw);
	int ret = 0;

	values(raw, r, name_seed(r->name, m->seed), n);
	row_from_f32(out, m->type, raw, n);
	for (int64_t left = r->count; ret == 0 && left > 0; left -= n)
		ret = file_write(f, out, (size_t)(left < n ? left : n) * size, e);
	free(out);
	free(raw);
	return ret;
}

/* ---- files ---- */

static void header(struct buf *b, const struct made *m, const struct row *rows, size_t n)
{
	int64_t at = 0;

	buf_adds(b, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < n; i++) {
		int64_t bytes = rows[i].count * (int64_t)dtype_size(m->type);

		buf_addf(b, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", rows[i].name, dtype_name(m->type));
		for (int k = 0; k < rows[i].rank; k++)
			buf_addf(b, "%s%lld", k ? "," : "", (long long)rows[i].side[k]);
		buf_addf(b, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)(at + bytes));
		at += bytes;
	}
	buf_addc(b, '}');
	while (b->len % 8)
		buf_addc(b, ' ');
}

static int write_part(const struct made *m, size_t part, struct err *e)
{
	char *table = xasprintf("%s/golden/keys/%s-%s.tsv", m->shared, parts[part].part, m->kind);
	char *path = xasprintf("%s/%s/%s", m->out, parts[part].folder, parts[part].file);
	struct file_new *f = NULL;
	struct buf head = { 0 };
	struct row *rows;
	size_t n = 0;
	uint64_t len;
	int ret = -1;

	if (part == 1) {                /* one table of the autoencoder for all families */
		free(table);
		table = xasprintf("%s/golden/keys/vae.tsv", m->shared);
	}
	rows = read_names(table, &n, e);
	if (!rows || file_begin(&f, path, e) < 0)
		goto out;
	header(&head, m, rows, n);
	len = head.len;
	if (file_write(f, &len, sizeof len, e) < 0 || file_write(f, head.at, head.len, e) < 0)
		goto out;
	for (size_t i = 0; i < n; i++)
		if (write_values(f, m, &rows[i], e) < 0)
			goto out;
	ret = file_commit(f, e);
	f = NULL;
out:
	if (f)
		file_abort(f);
	for (size_t i = 0; i < n; i++)
		free(rows[i].name);
	free(rows);
	buf_release(&head);
	free(table);
	free(path);
	return ret;
}

static int copy(const char *from, const char *to, struct err *e)
{
	struct buf b = { 0 };
	int ret = file_read(&b, from, 1 << 26, e) < 0 ? -1 : file_replace(to, b.at, b.len, e);

	buf_release(&b);
	return ret;
}

static int copy_to(const struct made *m, const char *name, struct err *e)
{
	char *from = xasprintf("%s/golden/models/%s/%s", m->shared, m->tiny, name), *to = path_join(m->out, name);
	int ret = 0;

	if (is_folder(from)) {
		struct names list = { 0 };

		ret = make_folder(to, e) < 0 ? -1 : folder_list(&list, from, e);
		for (size_t i = 0; ret == 0 && i < list.n; i++) {
			char *inner = path_join(name, list.at[i]);

			ret = copy_to(m, inner, e);
			free(inner);
		}
		names_release(&list);
	} else {
		ret = copy(from, to, e);
	}
	free(from);
	free(to);
	return ret;
}

static int make_folders(const struct made *m, const char *wanted, struct err *e)
{
	static const char *const rest[] = { "model_index.json", "scheduler", "tokenizer" };

	if (make_folder(m->out, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		if (copy_to(m, rest[i], e) < 0)
			return -1;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char *config = xasprintf("%s/golden/keys/configs/%s-%s.json", m->shared, parts[i].part, m->kind);
		char *folder = path_join(m->out, parts[i].folder), *to = path_join(folder, "config.json");
		int ret = 0;

		if (strstr(wanted, parts[i].part))
			ret = make_folder(folder, e) < 0 || copy(config, to, e) < 0 ||
				write_part(m, i, e) < 0 ? -1 : 0;
		free(config);
		free(folder);
		free(to);
		if (ret < 0)
			return -1;
	}
	return 0;
}

/* The folder is made beside the file, and goes when the file is there. */
static int make_single(struct made *m, const char *wanted, struct err *e)
{
	const char *out = m->out;
	char *folder = xasprintf("%s.parts", out), *command = xasprintf("rm -rf '%s'", folder);
	struct checkpoint c = { 0 };
	struct checkpoint_out o = { 0 };
	int ret = -1;

	m->out = folder;
	if (make_folders(m, wanted, e) < 0 || checkpoint_open(&c, folder, NULL, e) < 0)
		goto out;
	checkpoint_out_from(&o, &c);
	o.type = m->type;
	ret = checkpoint_write_single(out, &o, e);
out:
	checkpoint_close(&c);
	if (!strchr(folder, '\'') && system(command))
		warn("'%s' could not be removed", folder);
	free(folder);
	free(command);
	return ret;
}


int main(int argc, char **argv)
{
	struct made m = { .type = DT_F16, .shared = "../shared" };
	const char *wanted = "unet,vae,text";
	struct err e;

	program_name = "make_model";
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strncmp(argv[i], "--", 2) && !value)
			die(2, "'%s' wants a value", argv[i]);
		if (!strcmp(argv[i], "--parts"))
			wanted = argv[++i];
		else if (!strcmp(argv[i], "--dtype"))
			m.type = dtype_of_name(argv[++i]);
		else if (!strcmp(argv[i], "--seed"))
			m.seed = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--shared"))
			m.shared = argv[++i];
		else if (!m.kind)
			m.kind = argv[i];
		else
			m.out = argv[i];
	}
	if (!m.out || (strcmp(m.kind, "sd15") && strcmp(m.kind, "sd21")) || !dtype_is_float(m.type))
		die(2, "usage: make_model sd15|sd21 OUT [--parts unet,vae,text] [--dtype f16|f32] [--seed N] [--shared FOLDER]");
	m.tiny = m.kind[2] == '1' ? "sd1-tiny" : "sd2-tiny";
	if ((ends_with(m.out, ".safetensors") ? make_single(&m, wanted, &e) : make_folders(&m, wanted, &e)) < 0)
		die(1, "%s", e.text);
	return 0;
}
