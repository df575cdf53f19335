/*
 * The recorded numbers: one program that holds booth against every case of a folder of
 * ../shared/golden's layout, and prints one line a case with the largest error.
 *
 * Each group's checks are in a file of their own here, which exports one struct golden_group.
 * A case whose family is not built yet is printed as "not yet" and counted as skipped.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "common/base/err.h"
#include "common/data/json.h"
#include "common/data/safetensors.h"

struct gcase {
	const char *root;               /* the golden folder: models/, cases/, tables/ */
	char group[64], name[128];
	struct safetensors file;        /* in.*, out.*, ... */
	struct json *doc;               /* the metadata's "case" */
	double worst;                   /* largest relative error so far */
	char worst_at[160];             /* the tensor it was seen in */
	int over;                       /* an error above its tolerance was seen */
	double worst_of;                /* the tolerance that `worst` is held against */
	int compared;                   /* tensors compared so far; a case without any has failed */
};

enum golden_verdict { GOLDEN_CHECKED, GOLDEN_NOT_YET };

struct golden_group {
	const char *name;               /* folder below cases/, or "tables/FILE.tsv" */
	/*
	 * Check one case: fill c->worst by golden_compare.
	 * -1: could not be computed (counts as failed).
	 */
	int (*check)(struct gcase *c, enum golden_verdict *v, struct err *e);
	/*
	 * For tables: the whole file is one case; rows that differ are reported through golden_row.
	 */
	int (*check_table)(const char *root, const char *path, int *rows, int *wrong,
			   struct err *e);
};

extern const struct golden_group golden_unet, golden_vae, golden_text, golden_training,
	golden_pipeline, golden_sampler, golden_schedule, golden_loss, golden_optimizer,
	golden_resize;
/* Tables, named "tables/FILE.tsv"; a group that no file defines is "not yet". */
extern const struct golden_group golden_table_tokenizer, golden_table_chunks, golden_table_weights,
	golden_table_buckets, golden_table_bucket_lists, golden_table_captions,
	golden_table_caption_files, golden_table_folders, golden_table_rates, golden_table_resize,
	golden_table_crop, golden_table_img2img;

/* The tensor of that name as f32, or a failure. *t borrows or owns; tensor_release. */
int golden_tensor(struct gcase *c, const char *name, struct tensor *t, struct err *e);
int golden_has(const struct gcase *c, const char *name);
/* of case or case.args */
double golden_number(const struct gcase *c, const char *key, double otherwise);
const char *golden_word(const struct gcase *c, const char *key, const char *otherwise);

/*
 * max |x - ref| / max(max |ref|, floor) of n elements against tensor `name`; remembered as the
 * worst if it is. `rtol` < 0: the case's own "rtol". Returns -1 only if the tensor is missing or
 * its size differs.
 */
int golden_compare(struct gcase *c, const char *name, const float *x, int64_t n, double rtol,
		   double floor, struct err *e);

/*
 * The same for what is recorded whole ("grad.WEIGHT") or, if large, as every stride-th element and a norm
 * ("grad_sample.WEIGHT", "grad_norm.WEIGHT"). `role` is "grad" or "after". The norm's tolerance is rtol too.
 */
int golden_compare_weight(struct gcase *c, const char *role, const char *weight,
			  const float *x, int64_t n, double rtol, double floor, struct err *e);

/* The device that networks run on: BOOTH_TEST_DEVICE, the CPU without. */
struct backend;
const char *golden_device_name(void);
int golden_device(struct backend **out, struct err *e);
/*
 * What networks and pipelines compute in: BOOTH_TEST_PRECISION, f32 without. Others than f32 are held to
 * tolerances of their own (golden.c); training's cases are run in all of them anyway.
 */
const char *golden_precision(void);

/* For tables: tell of a row that differs; the first few are printed. */
void golden_row(const char *path, int row, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
