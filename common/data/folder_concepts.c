/* concepts_list.json: several subjects, each with its folders and prompts. */
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/folder_impl.h"
#include "common/data/json.h"

static char *concept_folder(const char *json, const char *folder)
{
	const char *base = path_base(json);
	char *path;

	if (*folder == '/')
		return xstrdup(folder);
	path = xasprintf("%.*s%s", (int)(base - json), json, folder);
	if (is_folder(path))
		return path;
	free(path);
	return xstrdup(folder);
}

static int scan_concept_part(struct photos *out, const char *json, const char *folder,
			     const char *prompt, const char *concept, int class,
			     const struct scan_rules *r, struct err *e)
{
	char *path = concept_folder(json, folder), *prefix = new_prefix(out, path);
	struct place at = {
		.folder = path, .prefix = prefix, .below = "", .concept = concept,
		.caption = prompt,
		.source = *prompt ? CAPTION_CONCEPT : CAPTION_NONE, .repeats = 1, .class = class,
		.settled = 1,
	};
	int ret = 0;

	if (is_folder(path))
		ret = scan_folder(out, &at, r, e);
	else if (class)
		warn("%s: class folder '%s' is not there; make class pictures with gen-class", json,
		     path);
	else
		ret = fail(e, "%s: folder '%s' is not there", json, path);
	free(path);
	free(prefix);
	return ret;
}

static int scan_concept(struct photos *out, const char *json, const struct json *v, size_t i,
			const struct scan_rules *r, struct err *e)
{
	static const char *const known[] = { "instance_prompt", "class_prompt", "instance_data_dir",
					     "class_data_dir" };
	const char *text[4], *name;
	char *concept;
	int ret;

	if (json_type(v) != JSON_OBJECT)
		return fail(e, "%s: concept %zu is no object", json, i + 1);
	for (int k = 0; k < 4; k++)
		text[k] = json_text(json_get(v, known[k]), "");
	for (size_t m = 0; m < json_count(v); m++) {
		json_member(v, m, &name);
		for (int k = 0; name && k < 4; k++)
			if (!strcmp(name, known[k]))
				name = NULL;
		if (name)
			warn("%s: concept %zu: '%s' is not used", json, i + 1, name);
	}
	if (!*text[2])
		return fail(e, "%s: concept %zu has no instance_data_dir", json, i + 1);
	concept = *text[0] ? xstrdup(text[0]) : last_part(text[2]);
	ret = scan_concept_part(out, json, text[2], text[0], concept, 0, r, e);
	if (!ret && *text[3])
		ret = scan_concept_part(out, json, text[3], text[1], concept, 1, r, e);
	free(concept);
	return ret;
}

int scan_concepts(struct photos *out, const char *path, const struct scan_rules *r, struct err *e)
{
	struct json *doc = NULL;
	int ret = 0;

	if (json_read(&doc, path, e) < 0)
		return -1;
	if (json_type(doc) != JSON_LIST || !json_count(doc))
		ret = fail(e,
			"%s: a list of concepts is wanted: [{\"instance_prompt\": ..., \"instance_data_dir\": ...}]",
			path);
	for (size_t i = 0; ret == 0 && i < json_count(doc); i++)
		ret = scan_concept(out, path, json_at(doc, i), i, r, e);
	json_free(doc);
	return ret;
}
