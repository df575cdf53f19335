/*
 * What goes with a result when it is given to another store.
 *
 *	REACH_RESULT    the object and, if it is a table, everything that it names
 *	REACH_ACTIONS   and every action on record of which these are results: the stage's own, the
 *	                runner's step, and those of single items; with them the same command finds
 *	                its result, and a command over one item more computes that item
 *	REACH_CHAIN     and the inputs of the stages' and steps' actions, with what goes with these,
 *	                and so on to the files outside; with them the same recipe runs nothing
 *
 * Inputs of single items are not followed (they are named by the tables of the chain), nor is an
 * item's result that no table names (where a picture was placed: found again in microseconds).
 * REACH_STATES adds what items recorded as tables that share an object with the rest: a training's
 * kept weights and the states that more steps go on from.
 */
#ifndef DATA_REACH_H
#define DATA_REACH_H

#include "common/data/store.h"

enum reach_depth { REACH_RESULT, REACH_ACTIONS, REACH_CHAIN };

struct reach_action {
	char stage[STAGE_NAME];
	struct oid key;
	struct ref out;
	int whole;              /* of a stage or step, not of an item */
};

struct reach {
	struct stores *stores;
	/* gathered so far, in the order in which they can be put elsewhere: objects, tables (each
	 * behind what it names), actions */
	struct ref *object, *table;
	size_t objects, cap_objects, tables, cap_tables;
	struct reach_action *action;
	size_t actions, cap_actions;

	/* private */
	struct ref *seen;       /* open addressing; an empty stage is a free place */
	size_t n_seen, cap_seen;
	struct reach_index *index;
};

struct reach *reach_new(struct stores *s);
void reach_free(struct reach *g);               /* NULL is fine */
/* Absent objects are a failure that names them. */
int reach_add(struct reach *g, const struct ref *r, enum reach_depth depth, struct err *e);
int reach_add_states(struct reach *g, struct err *e);
void reach_clear(struct reach *g);              /* what was gathered; the list of actions is kept */

#endif
