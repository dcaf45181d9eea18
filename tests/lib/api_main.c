/* The API alone, on a given database, for tests/flow/test_api.py: no dispatch, no workers. Actions answer with what they were asked. SIGUSR1: builds 1 to 99 have changed (for followers).

   api_main CONNINFO SOCKET HOST:PORT [site.url]        ends on SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/api/api.h"
#include "master/conf/conf.h"
#include "master/conf/conf_diff.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/changes/githelper.h"
#include "master/db/db.h"
#include "master/db/private_pg.h"
#include "master/dispatch/eta_now.h"
#include "master/dispatch/actions.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/row_worker.h"
#include "master/dispatch/run.h"
#include "master/dispatch/waits.h"
#include "master/dispatch/why.h"
#include "master/events/events.h"
#include "master/logs/watch.h"
#include "master/schedulers/worlds.h"
#include "master/workers/link.h"
#include "master/workers/questions.h"
#include "master/workers/session.h"
#include "master/workers/ssh_keys.h"
#include "master/workers/work.h"

static struct master m;
static struct ssh_keys no_keys;
static uv_signal_t term, usr1;
static const char *socket_path, *tcp;

/* ---- what the API calls of the rest of the master ---- */

struct deed {
  uv_timer_t timer;
  act_cb *cb;
  void *arg;
  char *body;
};

static void deed_closed(uv_handle_t *h)
{
  struct deed *d = h->data;

  free(d->body);
  free(d);
}

static void deed_done(uv_timer_t *t)
{
  struct deed *d = t->data;

  d->cb(201, d->body, d->arg);
  uv_close((uv_handle_t *)t, deed_closed);
}

void act_run(struct master *master, enum action a, const char *id, const cJSON *args, const char *who, act_cb *cb, void *arg)
{
  struct deed *d = xcalloc(1, sizeof *d);
  char *text = args ? cJSON_PrintUnformatted(args) : xstrdup("null");

  d->body = xasprintf("{\"action\":%d,\"id\":\"%s\",\"who\":\"%s\",\"args\":%s}", (int)a, id, who, text);
  free(text);
  d->cb = cb;
  d->arg = arg;
  d->timer.data = d;
  uv_timer_init(master->loop, &d->timer);
  uv_timer_start(&d->timer, deed_done, 1, 0);
}

void why_pending(struct master *master, const struct why_of *of, struct why *w)
{
  (void)master;
  w->kind = "no_worker";
  snprintf(w->text, sizeof w->text, "No worker has the tag %s.", of->ntags ? of->tags[0] : "-");
  snprintf(w->object, sizeof w->object, "%s", of->ntags ? of->tags[0] : "");
}

bool why_locks(struct master *master, int64_t request, bool running, struct why *w)
{
  (void)master, (void)request, (void)running, (void)w;
  return false;
}

bool works_disk(const struct works *works, const char *worker, int64_t *free_bytes, int64_t *total)
{
  (void)works, (void)worker, (void)free_bytes, (void)total;
  return false;
}

/* Nobody is connected who could be asked. */
struct unheard {
  uv_timer_t timer;
  questions_done *done;
  void *arg;
};

static void unheard_closed(uv_handle_t *h)
{
  free(h->data);
}

static void unheard_done(uv_timer_t *t)
{
  struct unheard *u = t->data;

  u->done(409, "{\"error\":{\"code\":\"conflict\",\"message\":\"nobody is connected\"}}", u->arg);
  uv_close((uv_handle_t *)t, unheard_closed);
}

void question_ask(struct master *master, enum question_kind kind, const char *worker, const cJSON *args, questions_done *done, void *arg)
{
  struct unheard *u = xcalloc(1, sizeof *u);

  (void)kind, (void)worker, (void)args;
  u->done = done;
  u->arg = arg;
  u->timer.data = u;
  uv_timer_init(master->loop, &u->timer);
  uv_timer_start(&u->timer, unheard_done, 1, 0);
}

void questions_look(struct questions *qs)
{
  (void)qs;
}

const struct want_term *dispatch_want(struct master *master, const char *text)
{
  (void)master, (void)text;
  return NULL;
}

void run_follow(struct master *master, int64_t build, bool on)
{
  (void)master;
  log_info("test", "follow %lld %d", (long long)build, on);
}

/* Nor is anybody away. */
void row_worker_read(struct row_worker *w, const struct master *master, const struct db_res *res, int stmt, int row)
{
  (void)w, (void)master, (void)res, (void)stmt, (void)row;
}

void row_worker_free(struct row_worker *w)
{
  (void)w;
}

bool row_worker_fits(const struct row_worker *w, struct master *master, const struct why_of *of)
{
  (void)w, (void)master, (void)of;
  return false;
}

/* When what waits begins goes by workers: here are none. */
void eta_now_ask(struct db_tx *tx, const struct master *master, int64_t request)
{
  (void)tx, (void)master, (void)request;
}

struct eta_now *eta_now_new(struct master *master, const struct db_res *res, int stmt)
{
  (void)master, (void)res, (void)stmt;
  return NULL;
}

void eta_now_free(struct eta_now *e)
{
  (void)e;
}

void eta_now_waits(struct eta_now *e, const struct why_of *of, const char *takes, const char *locks)
{
  (void)e, (void)of, (void)takes, (void)locks;
}

void eta_now_reckon(struct eta_now *e)
{
  (void)e;
}

const struct eta_begin *eta_now_get(const struct eta_now *e, int n)
{
  (void)e, (void)n;
  return NULL;
}

/* Hooks need projects: here are none. */
struct world *worlds_find(struct worlds *w, const char *project)
{
  (void)w, (void)project;
  return NULL;
}

void worlds_kick(struct worlds *w)
{
  (void)w;
}

void worlds_look(struct worlds *w, struct world *p, int codebase)
{
  (void)w, (void)p, (void)codebase;
}

const struct pauses *dispatch_pauses(const struct master *master)
{
  static const struct pauses none;

  (void)master;
  return &none;
}

void dispatch_cancelled(struct dispatch *d)
{
  (void)d;
}

void dispatch_kick(struct dispatch *d)
{
  (void)d;
}

/* Hints of other masters: there are none. */
void master_beat_soon(struct master *master)
{
  (void)master;
}

void dispatch_pauses_changed(struct dispatch *d)
{
  (void)d;
}

void waits_kick(struct waits *w)
{
  (void)w;
}

int link_count(const struct link_server *s)
{
  (void)s;
  return 0;
}

bool ppg_programs_gone(const struct ppg *p)
{
  (void)p;
  return false;
}

const char *gith_program(const struct gith *g)
{
  (void)g;
  return "";
}

struct world_look worlds_looks(const struct world *p, int codebase)
{
  (void)p, (void)codebase;
  return (struct world_look){ .name = "", .ours = true, .next_ms = INT64_MIN };
}

const char *world_repository(const struct world *p)
{
  (void)p;
  return "";
}

const char *ppg_version(const struct ppg *p)
{
  (void)p;
  return NULL;
}

const char *ppg_folder(const struct ppg *p)
{
  (void)p;
  return NULL;
}

const struct reload_refusal *reload_refused(const struct reload *r)
{
  (void)r;
  return NULL;
}

const struct reload_hold *reload_held(const struct reload *r)
{
  static const struct reload_hold none;

  (void)r;
  return &none;
}

void reload_look(struct reload *r, reload_look_cb *cb, void *arg)
{
  static const struct conf_diff none;
  const struct reload_seen seen = { .text = "master.yaml:1:1: not here\n", .count = 1, .diff = &none };

  (void)r;
  cb(&seen, arg);
}

struct world *const *worlds_all(const struct worlds *w, int *n)
{
  (void)w;
  *n = 0;
  return NULL;
}

/* ---- the program ---- */

static void on_up(void *ctx)
{
  struct buf why;

  (void)ctx;
  free(m.db_why);
  m.db_why = NULL;
  events_db_up(m.events);
  if (m.api)
    return;
  buf_init(&why, 4096);
  m.api = api_new(&m);
  if (api_listen_unix(m.api, socket_path, &why) || api_listen_tcp(m.api, tcp, &m.api_port, &why)) {
    fprintf(stderr, "%s\n", buf_str(&why));
    exit(1);
  }
}

static void on_down(void *ctx, const char *why)
{
  (void)ctx;
  free(m.db_why);
  m.db_why = xstrdup(why);
}

static void db_closed(void *arg)
{
  (void)arg;
}

static void api_closed(void *arg)
{
  (void)arg;
  events_free(m.events);
  watches_free(m.watches);
  db_close(m.db, db_closed, NULL);
  uv_close((uv_handle_t *)&term, NULL);
  uv_close((uv_handle_t *)&usr1, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
  (void)s;
  if (number == SIGUSR1) {
    events_kick(m.events);
    for (int64_t b = 1; b < 100; b++)
      watch_tell(m.watches, b);
    return;
  }
  if (m.stopping)
    return;
  m.stopping = true;
  api_close(m.api, api_closed, NULL);
}

int main(int argc, char **argv)
{
  static struct conf conf;
  static const struct db_ops ops = { on_up, on_down };

  if (argc < 4)
    return 2;
  m.loop = uv_default_loop();
  m.conf = &conf;
  conf.socket = argv[2];
  conf.worker_of = map_new();
  conf.keep_work_ms = 14 * INT64_C(86400000);
  conf.look_ms = 5000;
  conf.file = argv[0];
  conf.url = argc > 4 ? argv[4] : NULL;
  conf.prefix = conf_prefix(conf.url);
  socket_path = argv[2];
  tcp = argv[3];
  m.cluster = argv[0];
  m.ssh_keys = &no_keys;
  m.incarnation = 1;
  m.started_ms = clock_mono_ms();
  m.events = events_new(&m);
  m.watches = watches_new(&m);
  m.db = db_new(m.loop, argv[1], 2, 2, &ops, NULL);
  m.db_why = xstrdup("starting");
  db_start(m.db);
  uv_signal_init(m.loop, &term);
  uv_signal_init(m.loop, &usr1);
  uv_signal_start(&term, on_signal, SIGTERM);
  uv_signal_start(&usr1, on_signal, SIGUSR1);
  uv_run(m.loop, UV_RUN_DEFAULT);
  free(conf.prefix);
  return uv_loop_close(m.loop) ? 1 : 0;
}
