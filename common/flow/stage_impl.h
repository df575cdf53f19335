/* What the files of stage_main share. Inside common/flow only. */
#ifndef FLOW_STAGE_IMPL_H
#define FLOW_STAGE_IMPL_H

#include "common/flow/stage.h"

/* The contents of one option: of its path, its reference, or each of its references. */
struct job_option {
	const struct opt *row;
	struct oid *id;
	int n;
};

struct job_inputs {
	struct job_option *at;
	size_t n, cap;
};

/* Look at the contents of all options that enter the key. */
int job_inputs_load(struct job *j, struct err *e);
void job_inputs_release(struct job *j);

/* Lines for one option row; nothing if it is quiet or not given. */
void job_add_option(struct job *j, struct action *a, const struct opt *row);

enum input_found {
	INPUT_FAILED = -1,
	INPUT_ABSENT,           /* none given, and none is needed */
	INPUT_FOUND,
	INPUT_USAGE,            /* wrong usage; the sentence is in e */
	INPUT_NOT_YET,          /* --dry-run: what would make it would run */
};

/* Find the main input among the words or on stdin: fills j->in, j->in_ref. */
enum input_found job_read_input(struct job *j, char **word, int words, int dry_run, struct err *e);

#endif
