/* From operations to an engine that runs them. */
#include "kernels/cuda/dnn/parts.h"

#include <string.h>

#define CONFIGS 64              /* of one heuristic; those behind are not looked at */

/* With the handle of a device that is there, or the properties of one that is not. */
static desc graph_of(struct made *m, const desc *ops, int n)
{
	desc g = made_new(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

	if (m->handle)
		set_many(m, g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->handle);
	set_many(m, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, ops);
	return made_done(m, g);
}

/* Engines with their settings, the one that is thought fastest first. */
static int64_t configs_of(struct made *m, desc graph, cudnnBackendHeurMode_t mode, desc out[CONFIGS])
{
	desc h = made_new(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
	int64_t n;

	set_desc(m, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
	set_many(m, h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	if (m->c->device)
		set_desc(m, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, m->c->device);
	made_done(m, h);
	n = get_many(m, h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
	if (n > CONFIGS)
		n = CONFIGS;
	for (int64_t i = 0; i < n; i++)
		out[i] = made_new(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	return n <= 0 ? n : get_many(m, h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, out);
}

/* What the engine of a configuration says of itself. */
static int will_do(struct made *m, desc config, const struct wanted *w, struct plan *p)
{
	desc engine = made_new(m, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
	cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT + 8];
	cudnnBackendBehaviorNote_t manner[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT + 8];
	int64_t notes, manners;
	int compiled = 0;

	get_many(m, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
	get_many(m, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &p->engine);
	notes = get_many(m, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
			 sizeof note / sizeof *note, note);
	manners = get_many(m, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
			   sizeof manner / sizeof *manner, manner);
	p->notes = 0;
	for (int64_t i = 0; i < notes; i++)
		p->notes |= 1u << note[i] % 32;
	for (int64_t i = 0; i < manners; i++)
		compiled |= manner[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
	return !m->failed && !(p->notes & w->refused) && (!compiled || w->compiled);
}

static int plan_make(struct plan *p, desc config, const struct wanted *w)
{
	struct made *m = &p->made;

	p->what = made_new(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	if (m->handle)
		set_many(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->handle);
	set_desc(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
	if (m->c->device)
		set_desc(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, m->c->device);
	made_done(m, p->what);
	get_many(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &p->bytes);
	return m->failed || p->bytes > w->most || p->bytes < w->least ? -1 : 0;
}

/* 1: found; 0: no engine of this heuristic will do. Where one fails, the next may not. */
static int try_mode(struct plan *p, desc graph, cudnnBackendHeurMode_t mode, const struct wanted *w)
{
	struct made *m = &p->made, list = { .c = m->c, .handle = m->handle };
	desc config[CONFIGS];
	int64_t n = configs_of(&list, graph, mode, config);
	int found = 0;

	for (int64_t i = 0; i < n && !found; i++) {
		list.failed = m->failed = 0;
		found = will_do(&list, config[i], w, p) && plan_make(p, config[i], w) == 0;
	}
	if (!found && list.failed)
		m->why = list.why;
	m->failed = 0;
	if (found)
		made_move(m, &list);    /* the plan goes on using its configuration */
	made_release(&list);
	return found;
}

int plan_choose(struct plan *p, const desc *ops, int n, const struct wanted *w)
{
	static const cudnnBackendHeurMode_t modes[] = {
		CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK
	};
	struct made *m = &p->made;
	desc graph = graph_of(m, ops, n);

	if (m->failed)
		return -1;
	fail(&m->why, "none of cuDNN's engines for it will do");
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (try_mode(p, graph, modes[i], w))
			return 0;
	m->failed = 1;
	return -1;
}

int plan_run(struct cudnn *c, struct plan *p, int n, const int64_t *uid, void *const *at, void *scratch,
	     struct err *e)
{
	struct made m = { .c = c };
	desc pack = made_new(&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

	set_many(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uid);
	set_many(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, at);
	set_many(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &scratch);
	made_done(&m, pack);
	if (!m.failed && !c->handle)
		fail(&m.why, "cuDNN has no device to run this on");
	else if (!m.failed)
		made_check(&m, c->BackendExecute(c->handle, p->what, pack), "running it");
	made_release(&m);
	return m.failed || !c->handle ? fail(e, "%s (BOOTH_CUDNN=0 in the environment does without it)", m.why.text) : 0;
}
