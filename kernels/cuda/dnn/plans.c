/* Plans are kept by what they are for. */
#include "kernels/cuda/dnn/parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

static char there;

static void *mark(const void *at)
{
	return at ? &there : NULL;
}

static struct filter filter_key(const struct filter *f)
{
	struct filter k;

	memcpy(&k, f, sizeof k);
	k.x.at = mark(f->x.at);
	k.filter.at = mark(f->filter.at);
	k.y.at = mark(f->y.at);
	k.bias.at = mark(f->bias.at);
	k.add.at = mark(f->add.at);
	return k;
}

static int same_side(const struct side *a, const struct side *b)
{
	return a->at == b->at && (!a->at || a->type == b->type);
}

static int same_filter(const struct filter *a, const struct filter *b)
{
	return a->way == b->way && a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->i == b->i &&
		a->j == b->j && a->k == b->k && a->r == b->r && a->s == b->s && a->stride == b->stride &&
		a->top == b->top && a->left == b->left && a->bottom == b->bottom && a->right == b->right &&
		a->fused == b->fused && a->onto == b->onto && a->tf32 == b->tf32 && same_side(&a->x, &b->x) &&
		same_side(&a->filter, &b->filter) && same_side(&a->y, &b->y) && same_side(&a->bias, &b->bias) &&
		same_side(&a->add, &b->add);
}

static int same_heads(const struct heads *a, const struct heads *b)
{
	return a->n == b->n && a->heads == b->heads && a->tq == b->tq && a->tk == b->tk && a->d == b->d &&
		a->causal == b->causal && a->dx == b->dx && a->type == b->type;
}

/* The plan for a description, of which the other is NULL; NULL: none was made. */
static struct plan *plan_find(struct cudnn *c, const struct filter *f, const struct heads *h)
{
	for (size_t i = 0; i < c->n; i++) {
		struct plan *p = &c->plan[i];

		if (h ? p->is_heads && same_heads(&p->heads, h) : !p->is_heads && same_filter(&p->filter, f))
			return p;
	}
	return NULL;
}

static struct plan *plan_new(struct cudnn *c)
{
	struct plan *p;

	c->plan = grow(c->plan, c->n, &c->cap, sizeof *c->plan);
	p = &c->plan[c->n++];
	*p = (struct plan){ .made = { .c = c, .handle = c->handle } };
	return p;
}

static void plan_settle(struct plan *p)
{
	p->taken = (p->is_heads ? heads_plan(p) : filter_plan(p)) == 0;
	if (!p->taken)
		made_release(&p->made);
	else if (p->is_heads)
		keep_save(p);
}

static struct plan *heads_new(struct cudnn *c, const struct heads *h)
{
	struct plan *p = plan_new(c);

	p->heads = *h;
	p->is_heads = 1;
	p->taken = keep_load(p);
	return p;
}

int64_t plans_filter(struct dnn *d, const struct filter *f)
{
	struct filter key = filter_key(f);
	struct plan *p = plan_find(cudnn_of(d), &key, NULL);

	if (!p) {
		p = plan_new(cudnn_of(d));
		p->filter = key;
		plan_settle(p);
	}
	return p->taken ? p->bytes : -1;
}

int64_t plans_heads(struct dnn *d, const struct heads *h)
{
	struct plan *p = plan_find(cudnn_of(d), NULL, h);

	if (!p) {
		p = heads_new(cudnn_of(d), h);
		if (!p->taken)
			plan_settle(p);
	}
	return p->taken ? heads_bytes(p) : -1;
}

int plans_run_filter(struct dnn *d, const struct filter *f, void *scratch, struct err *e)
{
	struct filter key = filter_key(f);
	struct plan *p = plan_find(cudnn_of(d), &key, NULL);

	if (!p || !p->taken)
		BUG("a convolution runs that cuDNN has no plan for");
	return filter_run(cudnn_of(d), p, f, scratch, e);
}

int plans_run_heads(struct dnn *d, const struct heads *h, void *scratch, struct err *e)
{
	struct plan *p = plan_find(cudnn_of(d), NULL, h);

	if (!p || !p->taken)
		BUG("an attention runs that cuDNN has no plan for");
	if (heads_run(cudnn_of(d), p, h, scratch, e) == 0)
		return 0;
	keep_drop(p);
	return -1;
}

/* ---- many at once ---- */

#define THREADS 16

struct crew {
	struct cudnn *c;
	pthread_mutex_t lock;
	size_t next;            /* the plan that is looked at next, of c->n */
	cudnnHandle_t handle[THREADS];  /* as they come */
	int handles;
};

/* A thread of its own has to have a handle of its own. -1: it has none, and makes nothing. */
static int crew_enter(struct crew *w, cudnnHandle_t *handle)
{
	struct cudnn *c = w->c;
	int ret = 0;

	*handle = NULL;
	if (!c->handle)
		return 0;
	if (c->with.enter)
		c->with.enter(c->with.data);
	pthread_mutex_lock(&w->lock);
	if (c->Create(handle) == CUDNN_STATUS_SUCCESS)
		w->handle[w->handles++] = *handle;
	else
		ret = -1;
	pthread_mutex_unlock(&w->lock);
	return ret;
}

/* The next one that has to be made; NULL: none. */
static struct plan *crew_next(struct crew *w)
{
	struct plan *p = NULL;

	pthread_mutex_lock(&w->lock);
	while (w->next < w->c->n && (!p || p->taken))
		p = &w->c->plan[w->next++];
	pthread_mutex_unlock(&w->lock);
	return p && !p->taken ? p : NULL;
}

static void *crew_work(void *data)
{
	struct crew *w = data;
	cudnnHandle_t handle;
	struct plan *p;

	if (crew_enter(w, &handle) < 0)
		return NULL;
	while ((p = crew_next(w)) != NULL) {
		p->made.handle = handle;
		plan_settle(p);
	}
	return NULL;
}

static int threads_of(size_t plans)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), most = cpus < THREADS ? cpus : THREADS;

	return plans < (size_t)most ? (int)plans : (int)most;
}

/* Makes the plans from `first` on that are not taken, `all` of them; what threads left undone is done here. */
static void make_from(struct cudnn *c, size_t first, size_t all)
{
	struct crew w = { .c = c, .lock = PTHREAD_MUTEX_INITIALIZER, .next = first };
	pthread_t thread[THREADS];
	int n = 0, wanted = threads_of(all);
	struct plan *p;

	while (n < wanted && wanted > 1 && pthread_create(&thread[n], NULL, crew_work, &w) == 0)
		n++;
	while (n)
		pthread_join(thread[--n], NULL);
	while ((p = crew_next(&w)) != NULL)
		plan_settle(p);
	/* plans go on using them */
	for (int i = 0; i < w.handles; i++) {
		c->helper = grow(c->helper, c->helpers, &c->helper_cap, sizeof *c->helper);
		c->helper[c->helpers++] = w.handle[i];
	}
	pthread_mutex_destroy(&w.lock);
}

void plans_prepare(struct dnn *d, const struct heads *h, size_t n)
{
	struct cudnn *c = cudnn_of(d);
	size_t first = c->n, missing = 0;

	for (size_t i = 0; i < n; i++)
		if (!plan_find(c, NULL, &h[i]))
			missing += !heads_new(c, &h[i])->taken;
	if (missing)
		make_from(c, first, missing);
}
