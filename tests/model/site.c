/* Sites of the model: workers, locks and a pipeline by chance, as configuration and rows; and asking for builds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/conf/conf.h"
#include "master/conf/conf_lock.h"
#include "master/conf/pipeline.h"
#include "master/core/reload_int.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "tests/model/model.h"

enum { SITE_TRIES = 200, SITE_COLLAPSE = 3 };

/* Nearly all that can go wrong does so with two requests already; what needs more of them is for the few big ones. */
const struct site_size site_tiny = { .workers = 2, .builders = 1, .builders_more = 1, .locks = 50, .steps = 20, .asks = 15, .second = 25, .moves = 3, .moves_more = 2, .new = 8, .ready = true };
const struct site_size site_small = { .workers = 3, .builders = 2, .builders_more = 2, .locks = 75, .steps = 30, .asks = 30, .second = 35, .moves = 5, .moves_more = 4, .new = 9, .ready = true };
const struct site_size site_big = { .workers = MODEL_WORKERS, .builders = MODEL_BUILDERS, .locks = 75, .steps = 50, .asks = 40, .second = 50, .moves = 20, .moves_more = 20, .new = 12 };

static const char *const locks[] = { "count", "units", "disk", "alone" };

/* ---- texts ---- */

static void put_locks(struct buf *b, const char *indent)
{
  size_t from = chance(4), n = 1 + chance(2);

  buf_addf(b, "%slocks: {", indent);
  for (size_t i = 0; i < n; i++) {
    const char *name = locks[(from + i) % 4];
    static const char *const one[] = { "1", "exclusive" }, *const two[] = { "1", "2", "exclusive", "1" };
    buf_addf(b, "%s%s: %s", i ? ", " : "", name, !strcmp(name, "count") || !strcmp(name, "units") ? two[chance(4)] : one[chance(2)]);
  }
  buf_adds(b, "}\n");
}

static void put_needs(struct buf *b, int builder)
{
  bool seen[MODEL_BUILDERS] = { false };
  int n = 0;

  for (int k = 0; k < 2; k++) {
    int on = (int)chance((uint64_t)builder);
    if (seen[on])
      continue;
    seen[on] = true;
    buf_addf(b, chance_of(30) ? "%s{b%d: soft}" : "%sb%d", n++ ? ", " : "    needs: [", on);
  }
  buf_adds(b, "]\n");
}

static void put_step(struct buf *b, int number, bool with_locks)
{
  buf_addf(b, "      - name: s%d\n        run: \"true\"\n", number);
  if (chance_of(15))
    buf_adds(b, "        retry: {times: 1, wait: 3s}\n");
  if (chance_of(10))
    buf_adds(b, "        on_failure: warn\n");
  if (with_locks && chance_of(25))
    put_locks(b, "        ");
}

static void put_trigger(struct buf *b, int builder)
{
  buf_addf(b, "      - {name: go, trigger: {builders: [b%d], wait: %s}}\n", (int)chance((uint64_t)builder), chance_of(70) ? "true" : "false");
}

static void put_builder(struct buf *b, const struct site *s, int builder, bool with_locks)
{
  static const char *const lost[] = { "fail", "ask", "{retry: 1}" };
  int steps = 1 + chance_of(s->size->steps);
  bool asks = builder && chance_of(15), first = chance_of(50);

  buf_addf(b, "  b%d:\n", builder);
  if (!s->checkouts)
    buf_adds(b, "    checkout: none\n");
  if (builder && chance_of(45))
    put_needs(b, builder);
  if (chance_of(15))
    buf_adds(b, "    matrix: {N: [1, 2]}\n");
  if (chance_of(30))
    buf_addf(b, "    worker: {tags: [t%d]}\n", (int)chance(2));
  if (chance_of(20))
    buf_addf(b, "    on_lost: %s\n", lost[chance(3)]);
  if (with_locks && chance_of(35))
    put_locks(b, "    ");
  buf_adds(b, "    steps:\n");
  if (asks && first)
    put_trigger(b, builder);
  for (int i = 1; i <= steps; i++)
    put_step(b, i, with_locks);
  if (asks && !first)
    put_trigger(b, builder);
  if (chance_of(10))
    buf_adds(b, "      - {name: last, run: \"true\", always: true}\n");
}

static char *pipeline_text(const struct site *s, bool with_locks)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders:\n");
  for (int i = 0; i < s->builders; i++)
    put_builder(&b, s, i, with_locks);
  return buf_take(&b);
}

static char *site_text(int workers, bool with_locks)
{
  static const char *const tags[] = { "[]", "[t0]", "[t1]", "[t0, t1]" };
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "allow_local: true\nsame_user: true\nmin_free: 0\nworkers:\n");
  for (int i = 0; i < workers; i++)
    buf_addf(&b, "  w%d: {slots: %d, tags: %s}\n", i + 1, 1 + (int)chance(2), i == 0 ? "[t0, t1]" : tags[chance(4)]);
  if (with_locks)
    buf_addf(&b, "locks:\n  count: {count: %d}\n  units: {units: [u1, u2, u3]}\n  disk: {per: worker}\n  alone: {}\n", 2 + (int)chance(2));
  buf_adds(&b, "projects:\n  " SITE_PROJECT ": {git: /nowhere}\n");
  return buf_take(&b);
}

/* ---- a site ---- */

static struct conf *read_conf(const char *text)
{
  char path[] = "/tmp/drover-model-XXXXXX";
  int fd = mkstemp(path);
  struct conf *c;
  struct diags d;
  struct buf b;

  diag_init(&d);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
    abort();
  close(fd);
  c = conf_load(path, &d);
  unlink(path);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  if (!c)
    fprintf(stderr, "%s\n%s\n", text, buf_str(&b));
  buf_free(&b);
  diag_free(&d);
  return c;
}

/* text: taken over. False: a master would refuse it, since it takes a lock twice, say, or its builds could wait for each other's for ever; then it is told where it is to be good. */
static bool read_pipeline(struct site *s, char *text, bool must)
{
  struct diags d;
  struct buf b;
  bool good;

  diag_init(&d);
  s->text = text;
  s->pipeline = pipeline_parse(PIPELINE_FILE, text, strlen(text), SITE_PROJECT, &d);
  if (s->pipeline)
    conf_check_locks(s->conf, SITE_PROJECT, s->pipeline, &d);
  good = !diag_count(&d);
  if (!good && must) {
    buf_init(&b, BUF_NO_MAX);
    diag_print(&d, &b);
    fprintf(stderr, "%s\n%s\n", text, buf_str(&b));
    abort();
  }
  diag_free(&d);
  if (good)
    return true;
  pipeline_free(s->pipeline);
  free(s->text);
  return false;
}

void site_given(struct site *s, int workers, const char *site, const char *pipeline)
{
  memset(s, 0, sizeof *s);
  s->seed = SITE_GIVEN;
  s->workers = workers;
  s->conf = read_conf(site);
  if (!s->conf)
    abort();
  (void)read_pipeline(s, xstrdup(pipeline), true);
}

void site_make(struct site *s, uint64_t seed, const struct site_size *size)
{
  bool with_locks;
  char *text;

  chance_from(seed ^ 0x51735173u);
  memset(s, 0, sizeof *s);
  s->seed = seed;
  with_locks = chance_of(size->locks);
  s->size = size;
  s->checkouts = chance_of(5);
  s->workers = 1 + (int)chance((uint64_t)size->workers);
  s->builders = size->builders + (int)chance((uint64_t)size->builders_more + 1);
  text = site_text(s->workers, with_locks);
  s->conf = read_conf(text);
  if (!s->conf)
    abort();
  free(text);
  for (int i = 0; !read_pipeline(s, pipeline_text(s, with_locks), i == SITE_TRIES); i++)
    ;
}

void site_free(struct site *s)
{
  conf_free(s->conf);
  pipeline_free(s->pipeline);
  free(s->text);
  memset(s, 0, sizeof *s);
}

static void rows_made(struct db_res *res, void *arg)
{
  struct site *s = arg;

  if (db_err(res)) {
    model_bad("the site's rows: %s", db_errtext(res));
    return;
  }
  s->project = db_num(res, 0, 0, 0);
  s->pipe = db_num(res, 1, 0, 0);
}

void site_rows(struct site *s)
{
  struct base b;
  struct db_tx *tx;

  base_begin(&b);
  tx = db_tx(base_db(&b), DB_ANY);
  db_q(tx, SQL_project_put, "ss", SITE_PROJECT, "{}");
  db_q(tx, SQL_pipeline_add, "b", s->text, strlen(s->text));
  reload_put_workers(tx, s->conf);
  db_q_text(tx, "update worker set secret_hash = sha256(convert_to(name, 'UTF8'))", "");
  db_q_text(tx, "insert into cluster (uuid, system_id) values ('model', 'model') on conflict (one) do nothing", "");
  db_send(tx, rows_made, s);
  base_do(&b, 0);
  base_tell(&b, 0);
}

/* ---- asking ---- */

static void asked(struct db_res *res, void *arg)
{
  struct sim_master *m = arg;

  if (db_err(res))
    return;
  events_kick(m->m.events); /* as acting_made() */
  dispatch_kick(m->m.dispatch);
}

void site_ask_for(struct site *s, struct sim_master *m, char *const *names, int n, int revision, bool fail_fast)
{
  struct db_tx *tx = db_tx(m->m.db, DB_ANY);
  struct buf list, all;
  char text[41];

  snprintf(text, sizeof text, "%040d", revision);
  buf_init(&list, BUF_NO_MAX);
  buf_init(&all, BUF_NO_MAX);
  decide_builders(s->pipeline, names, n, &list);
  buf_addf(&all, fail_fast ? "{\"builders\": %s, \"fail_fast\": true}" : "%s", buf_str(&list));
  model_tell("asked for: %s%s%s at %d%s", names[0], n > 1 ? ", " : "", n > 1 ? names[1] : "", revision, fail_fast ? ", the first that ends badly ends all" : "");
  db_q(tx, SQL_buildset_add, "nssssssssnnNs", s->project, "/nowhere", "main", text, NULL, "the model", "{}", "{}", "model", INT64_C(1), s->pipe, INT64_MIN, buf_str(&all));
  db_send(tx, asked, m);
  buf_free(&list);
  buf_free(&all);
}

/* As change_decide_plan() does it for a scheduler with `collapse`: the change, its verdict, the buildset, and what waits for older ones goes into it. */
static void change_comes(struct site *s, struct sim_master *m, const char *name)
{
  struct db_tx *tx = db_tx(m->m.db, DB_ANY);
  const struct pipe_builder *found;
  char revision[41], changes[24];
  int64_t change = ++s->changes;
  struct buf list;
  int count;

  found = pipeline_named(s->pipeline, name, &count);
  snprintf(revision, sizeof revision, "%040" PRId64, 1000 + change);
  snprintf(changes, sizeof changes, "{%" PRId64 "}", change);
  buf_init(&list, BUF_NO_MAX);
  decide_builders(s->pipeline, (char *const[]){ found[0].name }, 1, &list);
  model_tell("change %" PRId64 " is built: %s", change, found[0].name);
  db_q_text(tx, "insert into change (id, project, kind, repository, branch, revision, told_by, state) overriding system value values ($1::bigint, $2::bigint, 'branch', '/nowhere', 'main', $3, 'model', 'decided')", "nns", change, s->project, revision);
  db_q(tx, SQL_change_lock, "n", change);
  db_q_text(tx, "insert into verdict (change, number, project, scheduler, verdict) values ($1::bigint, 1, $2::bigint, 's', 'builds')", "nn", change, s->project);
  db_q(tx, SQL_buildset_add, "nssssssssnnNs", s->project, "/nowhere", "main", revision, "s", "the model", changes, "{}", NULL, INT64_C(1), s->pipe, INT64_MIN, buf_str(&list));
  db_q(tx, SQL_collapse, "snn", "s", change, (int64_t)SITE_COLLAPSE);
  db_send(tx, asked, m);
  buf_free(&list);
}

void site_change(struct site *s, struct sim_master *m)
{
  char name[16];

  snprintf(name, sizeof name, "b%d", chance_of(60) ? 0 : (int)chance((uint64_t)s->builders)); /* it takes several of one */
  for (int n = 1 + (int)chance(3); n > 0; n--)
    change_comes(s, m, name);
}

void site_ask(struct site *s, struct sim_master *m)
{
  char *names[2];
  int n = 0, want = 1 + chance_of(s->size->asks);

  while (n < want) {
    const struct pipe_builder *found;
    char name[16];
    int count;
    snprintf(name, sizeof name, "b%d", (int)chance((uint64_t)s->builders));
    found = pipeline_named(s->pipeline, name, &count);
    names[n] = found[chance((uint64_t)count)].name;
    if (n && !strcmp(names[0], names[n]))
      break;
    n++;
  }
  site_ask_for(s, m, names, n, (int)chance(3), chance_of(25));
}
