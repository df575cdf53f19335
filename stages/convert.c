/*
 * convert: trained weights into files that other programs load, and such files into one another. A
 * whole model becomes a diffusers folder or a single file in the original layout, a LoRA a file in
 * one of three dialects, or a part of the model that it is merged into.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/pipeline.h"
#include "stages/shared/convert.h"
#include "stages/shared/loras.h"

static const char *const forms[] = { "diffusers", "single", "kohya", "peft", "diffusers-lora" };

enum convert_to convert_to_of_name(const char *name)
{
	for (int i = 0; i < (int)(sizeof forms / sizeof *forms); i++)
		if (!strcmp(forms[i], name))
			return (enum convert_to)i;
	BUG("no form '%s'", name);
}

int convert_writes_lora(enum convert_to to)
{
	return to >= TO_KOHYA;
}

/* ---- options ---- */

static int holds_lora(const struct table *t)
{
	int item = table_column(t, "item");

	for (size_t i = 0; i < t->rows; i++)
		if (starts_with(table_get(t, i, item), "lora."))
			return 1;
	return 0;
}

/* By the name of what is to be written. */
static int guess_form(struct convert_options *o, int lora, struct err *e)
{
	static const char *const other[] = { ".ckpt", ".pt", ".pth", ".bin" };

	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		if (ends_with(o->out, other[i]))
			return fail(e, "'%s': files are written as .safetensors, or a folder is", o->out);
	if (!o->to)
		o->to = !ends_with(o->out, ".safetensors") ? "diffusers" : lora ? "kohya" : "single";
	return 0;
}

static int check_lora(const struct convert_options *o, int lora, struct err *e)
{
	if (!lora)
		return fail(e, "--to %s writes a LoRA: give a table of 'train --method lora', or --from-lora FILE", o->to);
	if (o->merge || o->lora.n)
		return fail(e, "--to %s writes a LoRA alone; %s makes a whole model (--to single, --to diffusers)", o->to,
			    o->merge ? "--merge" : "--lora");
	if (o->add.n)
		return fail(e, "--add is for whole models, --to %s writes one LoRA", o->to);
	if (o->weight != 1)
		return fail(e, "--weight is for --merge, --to %s writes the LoRA as it is", o->to);
	if (o->vae || o->tokenizer)
		return fail(e, "%s is for whole models, --to %s writes a LoRA", o->vae ? "--vae" : "--tokenizer", o->to);
	return 0;
}

static int check_model(const struct convert_options *o, int lora, struct err *e)
{
	if (lora && !o->merge)
		return fail(e, "a LoRA goes into a whole model (--to %s) only with --merge; alone it is written by --to kohya, "
			    "peft or diffusers-lora", o->to);
	if (o->merge && !lora)
		return fail(e, "--merge is for a LoRA as main input or --from-lora; here is none (--lora FILE is always merged)");
	if (!o->model)
		return fail(e, "--model is needed: the model that the weights were trained on (without it only a LoRA can be written)");
	if (o->tokenizer && !strcmp(o->to, "single"))
		return fail(e, "--tokenizer is for --to diffusers: a single file carries no vocabulary");
	return 0;
}

/* Writing over what is read from would lose the user's model. */
static int check_out(const struct convert_options *o, struct err *e)
{
	const char *const from[] = { o->model, o->vae, o->from_lora };
	struct stat a, b;

	for (size_t i = 0; i < sizeof from / sizeof *from; i++)
		if (from[i] && stat(o->out, &a) == 0 && stat(from[i], &b) == 0 &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return fail(e, "--out '%s' is '%s', which is read: give another name", o->out, from[i]);
	return 0;
}

static int check(struct job *j, struct err *e)
{
	struct convert_options *o = j->params;
	int table = j->in.columns > 0, lora = o->from_lora || holds_lora(&j->in);

	if (!*o->out)
		return fail(e, "--out is empty");
	if (o->from_lora && table)
		return fail(e, "--from-lora and a table exclude each other: both are the main input");
	if (guess_form(o, lora && !o->merge, e) < 0 ||
	    loras_check(&o->lora, &o->lora_weight, e) < 0 || check_out(o, e) < 0)
		return -1;
	return convert_writes_lora(convert_to_of_name(o->to)) ? check_lora(o, lora, e) :
		check_model(o, lora, e);
}

/* ---- the vocabulary ---- */

/* The user's, the model's own, the installed one; NULL: none. The caller's to free. */
static char *find_tokenizer(const struct convert_options *o)
{
	char *own;

	if (strcmp(o->to, "diffusers") || o->tokenizer)
		return o->tokenizer ? xstrdup(o->tokenizer) : NULL;
	own = path_join(o->model, "tokenizer");
	if (is_folder(own))
		return own;
	free(own);
	return pipeline_installed_tokenizer();
}

/* What no option says: the vocabulary that is written, if it is not the model's own. */
static int key(struct job *j, struct action *a, struct err *e)
{
	const struct convert_options *o = j->params;
	char *path = o->tokenizer ? NULL : find_tokenizer(o);
	struct oid id;
	int ret = 0;

	if (path && !starts_with(path, o->model)) {
		ret = outside_hash(j->stores, path, &id, e);
		if (ret == 0)
			action_input(a, "vocabulary", &id);
	}
	free(path);
	return ret;
}

/* ---- the weights ---- */

static int add_table(struct job *j, struct weights *w, const struct ref *table, float weight,
		     struct err *e)
{
	const struct convert_options *o = j->params;
	size_t trained = w->n_trained, loras = w->n_lora;
	char text[STAGE_NAME + 1 + OID_HEX];

	if (weights_add_table(w, j->stores, table, weight, o->ema, e) < 0)
		return err_prefix(e, "table '%s'", ref_text(table, text));
	if (w->n_trained == trained && w->n_lora == loras)
		return fail(e, "table '%s' holds no weights; what 'train' makes is wanted", ref_text(table, text));
	return 0;
}

/* --lora: a file, or a table by its reference. */
static int add_lora(struct job *j, struct weights *w, const char *from, float weight, struct err *e)
{
	struct ref ref;

	if (is_file(from) || is_folder(from) || !ref_is(from))
		return weights_add_lora_file(w, from, weight, e);
	return ref_parse(j->stores, from, &ref, e) < 0 ? -1 : add_table(j, w, &ref, weight, e);
}

static int add_weights(struct job *j, struct weights *w, struct err *e)
{
	const struct convert_options *o = j->params;
	struct ref ref;

	if (j->in_ref.stage[0] && add_table(j, w, &j->in_ref, (float)o->weight, e) < 0)
		return -1;
	if (o->from_lora && weights_add_lora_file(w, o->from_lora, (float)o->weight, e) < 0)
		return -1;
	for (int i = 0; i < o->add.n; i++)
		if (ref_parse(j->stores, o->add.at[i], &ref, e) < 0 ||
		    add_table(j, w, &ref, 1, e) < 0)
			return -1;
	for (int i = 0; i < o->lora.n; i++)
		if (add_lora(j, w, o->lora.at[i], loras_weight(&o->lora_weight, i), e) < 0)
			return -1;
	return 0;
}

/* ---- the run ---- */

/*
 * Parts of a model that is made from nothing have a configuration
 * and no weights; that all are there is checked later.
 */
static int open_model(struct checkpoint *m, const struct convert_options *o, struct err *e)
{
	struct checkpoint_options co = {
		.ema = o->base_ema, .variant = o->variant, .config = o->config,
		.prediction = o->prediction, .configs_only = 1,
	};

	if (checkpoint_open(m, o->model, &co, e) < 0)
		return -1;
	return o->vae ? checkpoint_take_vae(m, o->vae, e) : 0;
}

static int describe(struct job *j, struct table *out, struct err *e)
{
	const struct convert_options *o = j->params;
	struct oid id;
	char hex[OID_HEX + 1];
	size_t row;

	if (outside_hash(j->stores, o->out, &id, e) < 0)
		return -1;
	row = table_add_row(out);
	table_set(out, row, table_add_column(out, "item"), o->to);
	table_set(out, row, table_add_column(out, "file"), o->out);
	table_set(out, row, table_add_column(out, "content"), oid_hex(&id, hex));
	talk("'%s' is written, and was read back", o->out);
	return 0;
}

static int run(struct job *j, struct table *out, struct err *e)
{
	const struct convert_options *o = j->params;
	struct checkpoint model = { 0 };
	struct weights w;
	char *tokenizer = NULL;
	int ret = -1;

	weights_begin(&w, o->model ? &model : NULL);
	if ((o->model && open_model(&model, o, e) < 0) || add_weights(j, &w, e) < 0)
		goto out;
	if (convert_writes_lora(convert_to_of_name(o->to))) {
		ret = convert_lora(j, o->model ? &model : NULL, &w, e);
	} else {
		tokenizer = find_tokenizer(o);
		ret = convert_model(j, &model, &w, tokenizer, e);
	}
	if (ret == 0)
		ret = describe(j, out, e);
out:
	free(tokenizer);
	weights_release(&w);
	checkpoint_close(&model);
	return ret;
}

/* Is the file there, with the contents that were recorded? */
static int still(struct job *j, const struct ref *result, struct err *e)
{
	const struct convert_options *o = j->params;
	struct table t = { 0 };
	struct oid id;
	char hex[OID_HEX + 1];
	int ret = -1;

	if (store_get_table(j->stores, result, &t, e) < 0)
		return -1;
	if (t.rows != 1 || strcmp(table_get(&t, 0, table_column(&t, "file")), o->out) ||
	    (!is_file(o->out) && !is_folder(o->out)))
		ret = 0;
	else if (outside_hash(j->stores, o->out, &id, e) == 0)
		ret = !strcmp(table_get(&t, 0, table_column(&t, "content")), oid_hex(&id, hex));
	table_release(&t);
	return ret;
}

int main(int argc, char **argv)
{
	struct convert_options p = { .weight = 1, .ema = 1, .dtype = "keep" };
	const struct opt opts[] = {
		{ "out", OPT_PATH, &p.out, "", "what is written: a .safetensors file, or a folder", .quiet = 1, .required = 1 },
		{ "to", OPT_CHOICE, &p.to, "", "its form; by --out if not given (folder: diffusers, a LoRA: kohya, else: single)",
		  .choices = "diffusers single kohya peft diffusers-lora" },
		{ "dtype", OPT_CHOICE, &p.dtype, "", "of the weights; keep: as the base model (or LoRA) has them",
		  .choices = "keep f32 f16 bf16" },
		{ "model", OPT_PATH, &p.model, "", "the base model, a folder or a file: needed for all but a LoRA alone" },
		{ "vae", OPT_PATH, &p.vae, "", "another autoencoder" },
		{ "tokenizer", OPT_PATH, &p.tokenizer, "folder", "vocab.json and merges.txt, if the model has none" },
		{ "config", OPT_PATH, &p.config, "folder", "a diffusers folder whose configurations a single file is read by" },
		{ "variant", OPT_TEXT, &p.variant, "", "of the base model's folder: fp16, non_ema" },
		{ "prediction", OPT_CHOICE, &p.prediction, "", "of a single file of SD 2, which does not say", .choices = "epsilon v_prediction" },
		{ "base-ema", OPT_FLAG, &p.base_ema, "", "take the averages that the base model's single file has" },
		{ "add", OPT_REFS, &p.add, "", "another table of trained weights (an autoencoder's)" },
		{ "lora", OPT_PATHS, &p.lora, "file", "a LoRA to merge, in any dialect, or a table" },
		{ "lora-weight", OPT_LIST, &p.lora_weight, "", "of the --lora at the same place; else 1" },
		{ "from-lora", OPT_PATH, &p.from_lora, "file", "a LoRA file as main input, instead of a table" },
		{ "merge", OPT_FLAG, &p.merge, "", "merge the main input, a LoRA, into the model" },
		{ "weight", OPT_FLOAT, &p.weight, "", "of the LoRA that --merge merges", .min = -100, .max = 100 },
		{ "ema", OPT_FLAG, &p.ema, "", "take the averages of trained weights where there are any" },
		{ 0 }
	};
	const struct stage stage = {
		.name = "convert", .version = 1, .input = INPUT_TABLE_OPTIONAL, .run = run, .check = check,
		.key = key, .still = still,
		.about = "write trained weights as files that other programs load, or such files in another form",
	};

	return stage_main(argc, argv, &stage, opts, &p);
}
