/* What must hold at the end of each transaction, watched by triggers in the model's database: what is wrong for one transaction only, and right again before anybody looks, is seen too. Each looks only at what the
   transaction has touched. (rows_sql of check.c asks the same once more of all rows, and what can't become right again once it is wrong.) */
#include "tests/model/model.h"

#define BAD(condition, ...) "if " condition " then perform model_bad(format(" __VA_ARGS__ ")); end if; "
#define TRIGGER(name, declare, body) "create function watch_" name "() returns trigger language plpgsql as $$ declare " declare " begin " body " return null; end $$"
#define AT_END(name, table, event, when) "create constraint trigger watch_" name " after " event " on " table " deferrable initially deferred for each row " when "execute function watch_" name "()"
#define AT_ONCE(name, table, when) "create trigger once_" name " before update on " table " for each row when (" when ") execute function watch_once()"

const char *const watch_sql[] = {
  "create function model_bad(what text) returns void language plpgsql as $$ begin raise exception using errcode = '" WATCH_STATE "', message = what; end $$",

  /* What has ended has ended so for good: one result for each. */
  "create function watch_once() returns trigger language plpgsql as $$ begin perform model_bad(format('%s %s was done with result %s, and is now %s with result %s', tg_table_name, old.id, old.result, new.state, new.result)); return new; end $$",
  AT_ONCE("request", "build_request", "old.state = 'done' and (new.state <> 'done' or new.result is distinct from old.result or new.finished is distinct from old.finished)"),
  AT_ONCE("build", "build", "old.state = 'done' and (new.state <> 'done' or new.result is distinct from old.result or new.finished is distinct from old.finished)"),
  AT_ONCE("buildset", "buildset", "old.state = 'done' and new.state <> 'done' or old.result is not null and new.result is distinct from old.result"),

  /* A request: its builds, what it needs, its buildset. */
  "create function request_right(r bigint) returns void language plpgsql as $$ declare q build_request%rowtype; into_it build_request%rowtype; s buildset%rowtype; running int; cancelling int; n int; begin "
  "select * into q from build_request where id = r; "
  "if not found then return; end if; " /* the model cleans up */
  BAD("(q.state = 'done') <> (q.result is not null) or (q.state = 'done') <> (q.finished is not null) or q.result = 5", "'r%s is %s with result %s', q.id, q.state, q.result")
  "select count(*) filter (where state = 'running'), count(*) filter (where state = 'cancelling'), count(*) into running, cancelling, n from build where request = q.id; "
  BAD("running <> (q.state = 'claimed')::int or cancelling > 0 and q.state <> 'done'", "'r%s is %s with %s builds that run, %s that are being cancelled', q.id, q.state, running, cancelling")
  BAD("n <> q.attempts", "'r%s has %s builds and %s attempts', q.id, n, q.attempts")
  "if q.collapsed_into is not null then "
    "select * into into_it from build_request where id = q.collapsed_into; "
    BAD("into_it.collapsed_into is not null or n > 0 or q.state not in ('waiting', 'done')", "'r%s is %s, has %s builds and was collapsed into r%s, which was so too', q.id, q.state, n, into_it.id")
    BAD("q.state = 'waiting' and into_it.state = 'done' or into_it.state = 'done' and q.finished = into_it.finished and q.result <> into_it.result", "'r%s is %s with result %s, and r%s, into which it was collapsed, %s with %s', q.id, q.state, q.result, into_it.id, into_it.state, into_it.result")
  "elsif q.state = 'waiting' and q.why is null then "
    "select count(*) into n from request_need d join build_request x on x.id = d.needs where d.request = q.id and x.state <> 'done'; "
    BAD("n = 0 or n <> q.waits", "'r%s says that it waits for %s, and does for %s', q.id, q.waits, n")
  "elsif q.state in ('pending', 'claimed') then "
    BAD("exists (select from request_need d join build_request x on x.id = d.needs where d.request = q.id and (x.state <> 'done' or not d.soft and x.result not in (0, 1)))", "'r%s is %s before what it needs has ended well', q.id, q.state")
  "end if; "
  "select * into s from buildset where id = q.buildset; "
  "select count(*) into n from build_request x where x.buildset = q.buildset and x.state <> 'done'; "
  BAD("s.open <> n or (s.state = 'done') <> (n = 0)", "'s%s is %s and says %s open, and has %s', s.id, s.state, s.open, n")
  "end $$",
  TRIGGER("request", "", "perform request_right(new.id);"),
  AT_END("request", "build_request", "insert or update of state, waits, attempts", ""),

  /* A build: its request, its steps and commands, the locks that it has as long as it runs. */
  TRIGGER("build", "b build%rowtype; n int; x text;",
    "select * into b from build where id = new.id; "
    "if not found then return null; end if; "
    "select state into x from build_request where id = b.request; " /* if that was touched too, request_right looks at the rest */
    BAD("b.state = 'running' and x <> 'claimed' or b.state = 'cancelling' and x <> 'done' or b.state = 'done' and x = 'claimed' and not exists (select from build where request = b.request and state = 'running')", "'build %s is %s, its request %s', b.id, b.state, x")
    BAD("(b.state = 'done') <> (b.result is not null)", "'build %s is %s with result %s', b.id, b.state, b.result")
    "if b.state = 'done' then "
      BAD("exists (select from command where build = b.id and state = 'open')", "'build %s is over, and has an open command', b.id")
      BAD("exists (select from lock_hold where build = b.id)", "'build %s is over, and holds a lock', b.id")
    "else "
      "select count(*) into n from step where build = b.id and result is null; "
      BAD("n <> 1", "'build %s is %s with %s open steps', b.id, b.state, n")
      "select e->>'lock' into x from build_request q cross join jsonb_array_elements(q.locks) e where q.id = b.request and q.locks is not null and coalesce((e->>'n')::int, 1) > 0 "
        "and not exists (select from lock_hold h join lock l on l.id = h.lock where h.build = b.id and h.step = 0 and l.name = e->>'lock' and h.n is not distinct from (e->>'n')::int) limit 1; "
      BAD("found", "'build %s runs without %s', b.id, x")
    "end if;"),
  AT_END("build", "build", "insert or update of state, result", ""),

  /* A step: the only open one of its build, in a slot; its locks end with it. */
  TRIGGER("step", "b build%rowtype; n int; most int;",
    "select * into b from build where id = new.build; "
    "if not found then return null; end if; "
    "if new.result is not null then "
      BAD("exists (select from lock_hold where build = b.id and step = new.number)", "'step %s of build %s is over, and holds a lock', new.number, b.id")
      BAD("exists (select from lock_wait where build = b.id and step = new.number)", "'step %s of build %s is over, and waits for a lock', new.number, b.id")
    "end if; "
    "if b.state <> 'done' then "
      "select count(*) into n from step where build = b.id and result is null; "
      BAD("n <> 1", "'build %s is %s with %s open steps', b.id, b.state, n")
      "if tg_op = 'INSERT' and new.kind <> 'trigger' then " /* which waits, and needs no slot */
      "select count(*), min(w.slots) into n, most from build y join worker w on w.id = y.worker where y.worker = b.worker and y.state <> 'done' "
        "and not exists (select from step t where t.build = y.id and t.result is null and t.kind = 'trigger'); "
      BAD("n > most", "'worker %s has %s builds in %s slots', b.worker, n, most")
      "end if; "
    "end if;"),
  AT_END("step", "step", "insert or update of result", ""),

  /* A command: one at a time, of a build that runs, and none while its step waits for locks. */
  TRIGGER("command", "n int;",
    "select count(*) into n from command where build = new.build and state = 'open'; "
    BAD("n > 1", "'build %s has %s open commands', new.build, n")
    BAD("n > 0 and exists (select from build where id = new.build and state = 'done')", "'build %s is over, and has an open command', new.build")
    BAD("n > 0 and exists (select from lock_wait where build = new.build and step > 0)", "'build %s has a command, and waits for locks of its step', new.build")),
  AT_END("command", "command", "insert", ""),

  /* A lock: as much as there is of it, to one at a time where it is exclusive, each unit once; given back at the end of whoever has it, and not before. */
  TRIGGER("lock", "l lock%rowtype; n int; holders int; units text[]; everything boolean;",
    "select * into l from lock where id = new.lock; "
    "select sum(h.n), count(*), bool_or(h.n is null), coalesce((select array_agg(u) from lock_hold y cross join unnest(y.units) u where y.lock = l.id and (not l.per_worker or y.worker = new.worker)), '{}') into n, holders, everything, units "
      "from lock_hold h where h.lock = l.id and (not l.per_worker or h.worker = new.worker); "
    BAD("n > l.count", "'lock %s has %s of %s given', l.name, n, l.count")
    BAD("everything and holders > 1", "'lock %s has an exclusive holder and others', l.name")
    BAD("cardinality(units) <> (select count(distinct u) from unnest(units) u) or not units <@ l.units", "'lock %s has the units %s given', l.name, units")
    BAD("cardinality(l.units) > 0 and cardinality(new.units) <> coalesce(new.n, cardinality(l.units))", "'build %s has %s of lock %s and the units %s', new.build, new.n, l.name, new.units")),
  AT_END("lock", "lock_hold", "insert or update", ""),
  TRIGGER("lock_back", "",
    BAD("old.step = 0 and exists (select from build where id = old.build and state <> 'done')", "'build %s has given a lock back, and runs', old.build")
    BAD("old.step > 0 and exists (select from build where id = old.build and state <> 'done') and exists (select from step where build = old.build and number = old.step and result is null)", "'step %s of build %s has given a lock back, and runs', old.step, old.build")),
  AT_END("lock_back", "lock_hold", "delete", ""),
  NULL,
};
