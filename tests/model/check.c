/* What must hold, read from the rows by statements of the check's own, and from what the made-up workers really run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/dispatch/lockbook.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/why.h"
#include "tests/model/model.h"

/* Rows of one text: what is wrong and stays so. */
#define LASTING \
  "select 'build ' || b.id || ' has result ' || b.result || ', its request, which was cancelled, ' || q.result from build b join build_request q on q.id = b.request where q.state = 'done' and b.id = (select max(id) from build z where z.request = q.id) and b.state = 'done' and b.result <> q.result " \
  "and not (q.result = 6 and b.finished >= q.finished) and not (b.result = 5 and q.result in (4, 6)) " \
  "union all select 'step ' || t.number || ' of build ' || t.build || ' was ended by a cancel, and its result is ' || t.result || ', of the build ' || coalesce(b.result::text, 'none') from command c join step t on t.id = c.step join build b on b.id = c.build where c.reason = 'cancel' and (t.result <> 6 or b.result <> 6) " \
  "union all select 'r' || q.id || ' was done ' || count(*) || ' times' from build_request q join (select object from outbox where type = 'request.done' union all select object from event where type = 'request.done') e on e.object = 'r' || q.id group by q.id having count(*) > 1 " \
  "union all select 'r' || q.id || ' is done, and no event tells' from build_request q where q.state = 'done' and not exists (select from outbox where type = 'request.done' and object = 'r' || q.id) and not exists (select from event where type = 'request.done' and object = 'r' || q.id) " \
  "union all select 's' || s.id || ' has result ' || coalesce(s.result::text, 'none') from buildset s where s.state = 'done' and s.result is distinct from (select q.result from build_request q where q.buildset = s.id " \
  "order by case q.result when 3 then 0 when 0 then 1 when 1 then 2 when 2 then 3 when 4 then 4 when 6 then 6 end desc limit 1) " \
  "union all select 'the events have a gap' from event having count(*) > 0 and max(number) - min(number) + 1 <> count(*) "

/* What may be wrong for a while only, too: watch.c sees that when it is so, and this says which of it still is. */
static const char rows_sql[] =
  /* slots */
  "with live as (select b.*, exists (select from step t where t.build = b.id and t.result is null and t.kind = 'trigger') as rests from build b where b.state <> 'done'), "
  "bad(x) as ("
  "select 'slot ' || slot || ' of worker ' || worker || ' has two builds' from live group by worker, slot having count(*) > 1 "
  "union all select 'worker ' || w.name || ' has ' || count(*) || ' builds in ' || w.slots || ' slots' from live b join worker w on w.id = b.worker where not b.rests group by w.id having count(*) > w.slots "
  /* requests and their builds */
  "union all select 'r' || q.id || ' is ' || q.state || ' and has ' || count(b.id) || ' running builds' from build_request q left join build b on b.request = q.id and b.state = 'running' group by q.id having count(b.id) <> (q.state = 'claimed')::int "
  "union all select 'build ' || b.id || ' is being cancelled, its request is ' || q.state from live b join build_request q on q.id = b.request where b.state = 'cancelling' and q.state <> 'done' "
  "union all select 'r' || id || ' is ' || state || ' with result ' || coalesce(result::text, 'none') from build_request where (state = 'done') <> (result is not null) or (state = 'done') <> (finished is not null) or result = 5 "
  "union all select 'build ' || id || ' is ' || state || ' with result ' || coalesce(result::text, 'none') from build where (state = 'done') <> (result is not null) "
  "union all select 'r' || q.id || ' has ' || q.attempts || ' attempts and ' || count(b.id) || ' builds' from build_request q left join build b on b.request = q.id group by q.id having q.attempts <> count(b.id) "
  /* buildsets */
  "union all select 's' || s.id || ' says ' || s.open || ' open, and has ' || count(*) filter (where q.state <> 'done') from buildset s left join build_request q on q.buildset = s.id group by s.id having s.open <> count(*) filter (where q.state <> 'done') or (s.state = 'done') <> (s.open = 0) "
  /* needs */
  "union all select 'r' || q.id || ' is ' || q.state || ' before r' || x.id || ', which it needs, is over' from build_request q join request_need n on n.request = q.id join build_request x on x.id = n.needs where q.state in ('pending', 'claimed') and (x.state <> 'done' or not n.soft and x.result not in (0, 1)) "
  "union all select 'r' || q.id || ' waits for nothing' from build_request q where q.state = 'waiting' and q.why is null and not exists (select from request_need n join build_request x on x.id = n.needs where n.request = q.id and x.state <> 'done') and not exists (select from build_request x where x.id = q.collapsed_into and x.state <> 'done') "
  "union all select 'r' || q.id || ' says that it waits for ' || q.waits from build_request q where q.state = 'waiting' and q.why is null and q.collapsed_into is null and q.waits <> (select count(*) from request_need n join build_request x on x.id = n.needs where n.request = q.id and x.state <> 'done') "
  /* locks */
  "union all select 'lock ' || l.name || ' has ' || sum(h.n) || ' of ' || l.count || ' given' from lock_hold h join lock l on l.id = h.lock group by l.id, case when l.per_worker then h.worker end having sum(h.n) > l.count "
  "union all select 'lock ' || l.name || ' has an exclusive holder and others' from lock_hold h join lock l on l.id = h.lock group by l.id, case when l.per_worker then h.worker end having bool_or(h.n is null) and count(*) > 1 "
  "union all select 'unit ' || u || ' of lock ' || l.name || ' is given twice' from lock_hold h join lock l on l.id = h.lock cross join unnest(h.units) u group by l.id, u, case when l.per_worker then h.worker end having count(*) > 1 or not u = any(l.units) "
  "union all select 'build ' || h.build || ' has ' || h.n || ' of ' || l.name || ' and ' || cardinality(h.units) || ' units' from lock_hold h join lock l on l.id = h.lock where cardinality(l.units) > 0 and cardinality(h.units) <> coalesce(h.n, cardinality(l.units)) "
  "union all select 'build ' || h.build || ' is over and holds a lock' from lock_hold h left join build b on b.id = h.build where b.state is null or b.state = 'done' "
  "union all select 'step ' || h.step || ' of build ' || h.build || ' does not run and holds a lock' from lock_hold h where h.step > 0 and not exists (select from step t where t.build = h.build and t.number = h.step and t.result is null) "
  "union all select 'build ' || b.id || ' runs without ' || (e->>'lock') from live b join build_request q on q.id = b.request cross join jsonb_array_elements(q.locks) e where coalesce((e->>'n')::int, 1) > 0 "
  "and not exists (select from lock_hold h join lock l on l.id = h.lock where h.build = b.id and h.step = 0 and l.name = e->>'lock' and h.n is not distinct from (e->>'n')::int) "
  /* steps and commands */
  "union all select 'build ' || b.id || ' has ' || count(t.id) || ' open steps' from live b left join step t on t.build = b.id and t.result is null group by b.id having count(t.id) <> 1 "
  "union all select 'command ' || c.id || ' is open, its build is over' from command c join build b on b.id = c.build where c.state = 'open' and b.state = 'done' "
  "union all select 'build ' || build || ' has ' || count(*) || ' open commands' from command where state = 'open' group by build having count(*) > 1 "
  "union all " LASTING ") "
  "select x from bad limit 3";

void check_rows(void)
{
  PGresult *res;

  if (model_badness())
    return;
  res = server_ask(rows_sql, NULL, 0);
  for (int i = 0; i < PQntuples(res); i++)
    model_bad("%s", PQgetvalue(res, i, 0));
  PQclear(res);
}

/* ---- what the workers do ---- */

/* $1: the builds of commands that really run, each as often as it has some. */
static const char world_sql[] = "select 'r' || b.request || ' really runs ' || count(*) || ' times' from unnest($1::bigint[]) v(build) join build b on b.id = v.build group by b.request having count(*) > 1";

void check_world(void)
{
  struct buf builds;
  const char *values[1];
  PGresult *res;
  int n = 0;

  if (model_badness())
    return;
  for (int w = 0; w < sim.site.workers; w++)
    n += worker_runs(&sim.workers[w]);
  if (n < 2)
    return;
  buf_init(&builds, BUF_NO_MAX);
  for (int w = 0; w < sim.site.workers; w++)
    for (int i = 0; i < sim.workers[w].ncommands; i++)
      if (sim.workers[w].commands[i].runs)
        buf_addf(&builds, "%s%" PRId64, builds.len ? "," : "{", sim.workers[w].commands[i].build);
  if (builds.len) {
    buf_addc(&builds, '}');
    values[0] = buf_str(&builds);
    res = server_ask(world_sql, values, 1);
    if (PQntuples(res))
      model_bad("%s", PQgetvalue(res, 0, 0));
    PQclear(res);
  }
  buf_free(&builds);
}

/* ---- reasons ---- */

/* One pending request, and what the check found of it in the rows. */
struct pending_row {
  int64_t id;
  const char *builder, *tags, *locks;
};

static char **words(char *array, int *n)
{
  char **v = xcalloc(8, sizeof *v);

  *n = 0;
  array++; /* {a,b} */
  for (char *end; *array && *array != '}' && *n < 8; array = end + (*end == ',')) {
    end = array + strcspn(array, ",}");
    v[(*n)++] = xstrndup(array, (size_t)(end - array));
  }
  return v;
}

/* What is stored of requests like this is what would be said now; without a time by when it is over, which is a text's. */
static void check_stored(struct sim_master *m, const struct pending_row *q, const struct why *why)
{
  char id[24], master[24], said[128];
  const char *values[] = { id, master }, *is;
  PGresult *res;

  if (!reasons_rest(m->m.reasons))
    return; /* something changed within the last second */
  snprintf(id, sizeof id, "%" PRId64, q->id);
  snprintf(master, sizeof master, "%" PRId64, m->m.id);
  snprintf(said, sizeof said, "%s %s", why->kind, why->object);
  res = server_ask("select w.kind || ' ' || w.object from build_request r join builder u on u.id = r.builder join project p on p.id = u.project "
                 "join wait_reason w on w.class = p.name || '/' || u.name || ' ' || array_to_json(r.tags)::text || ' ' || array_to_json(r.wants)::text where r.id = $1::bigint and w.master = $2::bigint", values, 2);
  is = PQntuples(res) ? PQgetvalue(res, 0, 0) : "nothing";
  if (!str_eq(is, said))
    model_bad("master %ld would say of r%" PRId64 ": %s; stored is: %s", (long)(m - sim.masters), q->id, said, is);
  PQclear(res);
}

/* As api/read_why.c does for a request that is pending. */
static void reason_of(struct sim_master *m, const struct pending_row *q, struct why *why)
{
  char *tags = xstrdup(q->tags), **v;
  struct why_of of = { .project = SITE_PROJECT, .builder = q->builder };

  v = words(tags, &of.ntags);
  of.tags = (const char *const *)v;
  why_pending(&m->m, &of, why);
  check_stored(m, q, why);
  if (str_eq(why->kind, "starting"))
    why_locks(&m->m, q->id, false, why);
  for (int i = 0; i < of.ntags; i++)
    free(v[i]);
  free(v);
  free(tags);
}

/* Is it so, by the rows, or was it 5 s ago, when a master looked the last time? A condition on q (the request), u (its builder), m (the master), o (the reason's object); sessions: those that are connected here and have the tags. */
static const char *truth_of(const char *kind)
{
  static const struct { const char *kind, *sql; } truths[] = {
    { "paused", "exists (select from pause z where (z.until is null or z.until > now() - interval '5 seconds') and z.object = o.object and (z.object in ('site', 'project/" SITE_PROJECT "', 'builder/" SITE_PROJECT "/' || u.name, 'builder/" SITE_PROJECT "/' || split_part(u.name, '[', 1)) "
      "or exists (select from fit where 'worker/' || fit.name = z.object)))" },
    { "no_worker", "not exists (select from fit)" },
    { "slots", "exists (select from fit where fit.name = o.object and fit.used >= fit.slots) and not exists (select from fit where fit.used < fit.slots and not fit.paused and not fit.quarantined)" },
    { "quarantine", "exists (select from fit where fit.name = o.object and fit.quarantine_ms > 0 and fit.quarantine_until > now() - interval '5 seconds') and not exists (select from fit where fit.used < fit.slots and not fit.paused and not fit.quarantined)" },
    { "lock", "exists (select from jsonb_array_elements(q.locks) e where e->>'lock' = o.object) and (exists (select from lock_hold h join lock l on l.id = h.lock where l.name = o.object) or exists (select from lock_wait w where w.request <> q.id))" },
  };

  for (size_t i = 0; i < COUNT(truths); i++)
    if (!strcmp(truths[i].kind, kind))
      return truths[i].sql;
  return NULL;
}

static void check_reason(struct sim_master *m, const struct pending_row *q)
{
  const char *truth, *is;
  struct why why;
  char *sql, id[24], master[24], what[64];
  const char *values[] = { id, why.object, master };
  PGresult *res;

  reason_of(m, q, &why);
  snprintf(what, sizeof what, "reason: %s", why.kind ? why.kind : "none");
  tally(what);
  truth = truth_of(why.kind ? why.kind : "");
  if (!truth) {
    model_bad("master %ld says of r%" PRId64 ", which is pending while all is quiet: %s (%s)", (long)(m - sim.masters), q->id, why.kind ? why.kind : "nothing", why.text);
    return;
  }
  sql = xasprintf("with q as (select * from build_request where id = $1::bigint), u as (select x.* from builder x join q on q.builder = x.id), o as (select $2::text as object), "
                  "fit as (select w.*, exists (select from pause z where z.object = 'worker/' || w.name and (z.until is null or z.until > now())) as paused, coalesce(w.quarantine_until > now() and w.quarantine_ms > 0, false) as quarantined, "
                  "(select count(*) from build b where b.worker = w.id and b.state <> 'done' and not exists (select from step t where t.build = b.id and t.result is null and t.kind = 'trigger')) as used "
                  "from worker w join worker_session s on s.worker = w.id join q on q.tags <@ w.tags where s.connected and s.master = $3::bigint) select %s from q, u, o", truth);
  snprintf(id, sizeof id, "%" PRId64, q->id);
  snprintf(master, sizeof master, "%" PRId64, m->m.id);
  res = server_ask(sql, values, 3);
  is = PQntuples(res) ? PQgetvalue(res, 0, 0) : "";
  if (!str_eq(is, "t")) {
    char *others = server_text("select string_agg(w.name || ' ' || w.tags::text || ' slots ' || w.slots || ' master ' || s.master || ' connected ' || s.connected || ' builds ' || (select count(*) from build b where b.worker = w.id and b.state <> 'done'), '; ') from worker w join worker_session s on s.worker = w.id");
    model_tell("%s", others);
    free(others);
    model_bad("master %ld says of r%" PRId64 " what is not true: %s (%s)", (long)(m - sim.masters), q->id, why.kind, why.text);
  }
  free(sql);
  PQclear(res);
}

void check_reasons(void)
{
  PGresult *res;

  if (model_badness())
    return;
  res = server_ask("select q.id, u.name, q.tags, q.locks from build_request q join builder u on u.id = q.builder where q.state = 'pending' order by q.id", NULL, 0);
  for (int i = 0; i < PQntuples(res) && !model_badness(); i++) {
    struct pending_row q = { strtoll(PQgetvalue(res, i, 0), NULL, 10), PQgetvalue(res, i, 1), PQgetvalue(res, i, 2), PQgetvalue(res, i, 3) };
    for (int k = 0; k < MODEL_MASTERS; k++)
      if (sim.masters[k].alive && !sim.masters[k].frozen && sim.masters[k].base.up && sim.masters[k].m.id)
        check_reason(&sim.masters[k], &q);
  }
  PQclear(res);
}

/* ---- the end ---- */

#define RESULT(name, column) "union all select 'tally', '" name ": ' || (array['success', 'warnings', 'failure', 'skipped', 'exception', 'retry', 'cancelled'])[" column " + 1], count(*) from " name " group by " column " "

/* What is wrong, what is left, and how often what has been. */
static const char over_sql[] =
  "select 'bad' as kind, x, 0::bigint from (" LASTING ") y(x) "
  "union all select 'left', x, 0 from (select 'a lock is held' from lock_hold union all select 'a step waits for a lock' from lock_wait where step > 0 "
  "union all select 's' || id || ' is open' from buildset where state <> 'done' union all select 'command ' || id || ' is open' from command where state = 'open' "
  "union all select 'step ' || id || ' has no result' from step where result is null union all select 'log ' || l.id || ' is not complete' from log l join command c on c.id = l.command where not l.complete and c.state = 'open') y(x) "
  "union all select 'tally', 'event: ' || type, count(*) from event group by type "
  RESULT("build_request", "result") RESULT("build", "result") RESULT("step", "result") RESULT("buildset", "result");

void check_over(void)
{
  PGresult *res;

  if (model_badness())
    return;
  res = server_ask(over_sql, NULL, 0);
  for (int i = 0; i < PQntuples(res); i++) {
    const char *kind = PQgetvalue(res, i, 0), *what = PQgetvalue(res, i, 1);
    if (!strcmp(kind, "bad"))
      model_bad("%s", what);
    else if (!strcmp(kind, "left"))
      model_bad("at the end %s", what);
    else
      tally_add(what, strtoll(PQgetvalue(res, i, 2), NULL, 10));
  }
  PQclear(res);
  if (sim.acts)
    model_bad("%d actions were never answered", sim.acts);
}
