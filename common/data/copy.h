/*
 * Objects and actions as they lie in a store, moved from one store to another without being packed
 * anew. What is put is checked first, whoever it comes from: an object's bytes against its name, a
 * table's cells (what they name must be there), an action's text against its key, its result (must
 * be there), its stage. So a store that is only added to in this way stays whole after every call.
 *
 * All of it means one store: those behind the first are not looked at. What is got is what lies on
 * disk (stores_flush before, where something may wait). An action of the runner
 * (stage 'run') is let through only if it is of level "step": a command of a recipe by content of
 * all its inputs, which is as good elsewhere. What else it has on record says what was done where.
 */
#ifndef DATA_COPY_H
#define DATA_COPY_H

#include "common/data/store.h"

/* An object's value, its head included: 1, 0 absent, -1. The hash is not looked at. */
int value_get(struct stores *s, const struct ref *r, struct blob *out, struct err *e);
/* Its kind, and its size as stored: 1, 0, -1. */
int value_look(struct stores *s, const struct ref *r, enum kind *kind, size_t *size, struct err *e);
int value_check(const struct ref *r, const void *at, size_t len, struct err *e);
/* 1 written (on disk after stores_flush), 0 it was there, -1. */
int value_put(struct stores *s, const struct ref *r, const void *at, size_t len, struct err *e);

/* The same for actions; one that is known here, with its result, stays as it is. */
int record_get(struct stores *s, const char *stage, const struct oid *key, struct buf *out,
	       struct err *e);
int record_put(struct stores *s, const char *stage, const struct oid *key, const void *at,
	       size_t len, struct err *e);

/* Its text alone: 1, 0, -1. */
int record_text(struct stores *s, const char *stage, const struct oid *key, struct buf *out,
		struct err *e);

/* Every recorded action, in no order, with its text; the visitor must not use the store. */
typedef int record_visit(void *data, const struct oid *key, const struct result *r,
			 const char *text, struct err *e);
int records_visit(struct stores *s, const char *stage, record_visit *visit, void *data,
		  struct err *e);

/* May an action with that text be shared? "stage NAME VERSION", then the level. */
int action_is_shared(const char *text);

/*
 * What a table names: every cell of a column of references, and every other cell that has the form
 * of a whole one. `must`: it is of the first kind, so that it has to be there.
 */
typedef int named_visit(void *data, const struct ref *r, int must, struct err *e);
int table_named(struct stores *s, const struct table *t, named_visit *visit, void *data,
		struct err *e);

#endif
