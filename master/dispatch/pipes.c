/* A cache of parsed pipelines. */
#include "master/dispatch/pipes.h"

#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "master/core/master.h"
#include "master/db/db.h"

enum { PIPES_KEPT = 1024 }; /* without users; more than any worker has builds, so an adoption always finds what it just loaded */

struct pipe_ref {
  struct list idle;
  char *key; /* "id/project": the same text names its one builder after the project */
  int users;
  struct pipeline *p;
};

struct loading {
  int64_t id;
  char *project;
  void (*cb)(bool ok, void *arg);
  void *arg;
};

static struct map *by_key;
static struct list idle;
static int idle_count;

static void ready(void)
{
  if (by_key)
    return;
  by_key = map_new();
  list_init(&idle);
}

static void drop(struct pipe_ref *p)
{
  list_remove(&p->idle);
  map_set(by_key, p->key, NULL);
  free(p->key);
  pipeline_free(p->p);
  free(p);
}

struct pipe_ref *pipes_ref(struct master *m, int64_t id, const char *project)
{
  char *key = xasprintf("%lld/%s", (long long)id, project);
  struct pipe_ref *p;

  (void)m;
  ready();
  p = map_get(by_key, key);
  free(key);
  if (!p)
    return NULL;
  if (p->users++ == 0) {
    list_remove(&p->idle);
    idle_count--;
  }
  return p;
}

void pipes_unref(struct pipe_ref *p)
{
  if (!p || --p->users)
    return;
  list_push(&idle, &p->idle);
  if (++idle_count > PIPES_KEPT) {
    drop(list_of(idle.next, struct pipe_ref, idle));
    idle_count--;
  }
}

const struct pipeline *pipes_of(const struct pipe_ref *p)
{
  return p->p;
}

static void put(int64_t id, const char *project, const struct pipe_text *v, int n)
{
  char *key = xasprintf("%lld/%s", (long long)id, project);
  struct pipe_ref *p;
  struct diags d;

  if (map_get(by_key, key)) {
    free(key);
    return;
  }
  p = xcalloc(1, sizeof *p);
  list_init(&p->idle);
  p->key = key;
  diag_init(&d);
  p->p = pipeline_stack(v, n, project, &d);
  if (!p->p)
    log_warn("pipeline", "stored pipeline %lld is not valid for this version", (long long)id);
  diag_free(&d);
  map_set(by_key, key, p);
  list_push(&idle, &p->idle);
  idle_count++;
}

static void loaded(struct db_res *res, void *arg)
{
  struct loading *l = arg;
  bool ok = !db_err(res);

  if (ok) {
    int n = db_rows(res, 0);
    struct pipe_text *v = xcalloc((size_t)n + 1, sizeof *v);
    v[0].text = ""; /* no such row: no pipeline that is valid */
    for (int i = 0; i < n; i++) {
      const char *text = db_bytes(res, 0, i, 0, &v[i].len);
      v[i].text = text ? text : "";
      v[i].reporter = i ? db_str(res, 0, i, 1) : NULL;
    }
    put(l->id, l->project, v, n ? n : 1);
    free(v);
  }
  l->cb(ok, l->arg);
  free(l->project);
  free(l);
}

void pipes_load(struct master *m, int64_t id, const char *project, void (*cb)(bool, void *), void *arg)
{
  struct loading *l = xcalloc(1, sizeof *l);
  struct db_tx *tx = db_tx(m->db, DB_ANY);

  ready();
  *l = (struct loading){ id, xstrdup(project), cb, arg };
  db_q(tx, SQL_pipeline_get, "n", id);
  db_send(tx, loaded, l);
}

void pipes_close(void)
{
  if (!by_key)
    return;
  while (!list_empty(&idle))
    drop(list_of(idle.next, struct pipe_ref, idle));
  map_free(by_key);
  by_key = NULL;
  idle_count = 0;
}
