-- Schema, step 6: schedulers as rows: which there are, when they are due, what they decided.

-- One row for each scheduler of a project's pipeline, written by schedulers_sync() from the site's pipeline or from that at the tip of the default branch.
create table scheduler (
  id bigint generated always as identity primary key,
  project bigint not null references project, name text not null,
  kind text not null,                -- change, cron, every, force
  spec jsonb not null,               -- what it says, for people
  timing text not null default '',   -- what its times are reckoned from; where it becomes another one, the next time is reckoned anew
  branch text,                       -- what it builds by time or by hand; null: the default branch
  pipeline bigint not null,
  due_at timestamptz,                -- the next time; null: none
  fresh boolean not null default false, -- due_at is only when its first time is to be reckoned
  scheduled timestamptz,             -- the last time that was acted upon
  built text,                        -- the revision that it built last
  disabled_at timestamptz, disabled_by text, disabled_why text,
  unique (project, name));
create index scheduler_due_at on scheduler (due_at) where disabled_at is null and due_at is not null;

-- What it did at a time or for somebody, and why not; at least the last 200 of each. What it did with changes: verdict (schema_0005.sql).
create table scheduler_decision (
  id bigint generated always as identity primary key,
  scheduler bigint not null, at timestamptz not null default now(),
  scheduled timestamptz,             -- which of its times this is about
  what text not null,                -- built, nothing, missed, disabled, enabled
  why text not null,
  buildset bigint);
create index scheduler_decision_last on scheduler_decision (scheduler, id desc);
create unique index scheduler_decision_time on scheduler_decision (scheduler, scheduled) where scheduled is not null; -- no time is acted upon twice, whatever happens

-- Of a project whose pipeline is in its repository: at which revision its schedulers were taken from, and when to look again where that failed.
alter table project add column schedulers_from text, add column schedulers_why text, add column schedulers_look timestamptz not null default now();

create function at_ms(ms bigint) returns timestamptz language sql immutable as $$ select to_timestamp(ms / 1000.0) $$;
create function ms_of(t timestamptz) returns bigint language sql immutable as $$ select round(extract(epoch from t) * 1000)::bigint $$;

-- The branch and its head that a scheduler builds; the order is that of the statement head_default.
create function scheduler_head(p bigint, br text, out branch text, out revision text) language sql stable as $$
  select h.branch, h.revision from branch_head h where h.project = p and (br is null or h.branch = br) order by h.branch <> 'main', h.branch <> 'master', h.seen desc limit 1 $$;

-- Older ones go a few at a time.
create function scheduler_note(s bigint, time_ms bigint, what text, why text, bs bigint) returns void language plpgsql as $$
declare n bigint;
begin
  insert into scheduler_decision (scheduler, scheduled, what, why, buildset) values (s, at_ms(time_ms), what, why, bs) returning id into n;
  if n % 16 = 0 then
    delete from scheduler_decision d where d.scheduler = s and d.id <= (select x.id from scheduler_decision x where x.scheduler = s order by x.id desc offset 200 limit 1);
  end if;
  insert into outbox (type, object, body) select 'scheduler.decided', 'scheduler/' || p.name || '/' || x.name, jsonb_strip_nulls(jsonb_build_object('what', what, 'why', why, 'buildset', 's' || bs))
    from scheduler x join project p on p.id = x.project where x.id = s;
end $$;

-- The last n things that a scheduler did, the newest first: at its times, for somebody, and with changes (whose verdicts tell that, schema_0005.sql).
create function scheduler_trace(s scheduler, n int, out at timestamptz, out scheduled timestamptz, out what text, out why text, out buildset bigint, out change bigint) returns setof record
  language sql stable as $$
  select t.at, t.scheduled, t.what, t.why, t.buildset, t.change from (
    (select d.at, d.scheduled, d.what, d.why, d.buildset, null::bigint as change, d.id as n from scheduler_decision d where d.scheduler = s.id order by d.id desc limit scheduler_trace.n)
    union all -- of one moment: those with changes come later
    (select v.at, null, case when v.verdict = 'builds' then 'built' when v.verdict = 'waits' then 'waits' when v.rule = 'disabled' then 'passed' else 'nothing' end,
        case when v.verdict = 'builds' then 'saw c' || v.change || coalesce(', ' || v.why, '') when v.verdict = 'waits' then 'saw c' || v.change || ', waits until ' || c.branch || ' is quiet'
          when v.rule = 'disabled' then 'c' || v.change || ' passes: ' || v.why else 'c' || v.change || ': ' || v.why end, v.buildset, v.change, (1::bigint << 62) + v.change
      from verdict v join change c on c.id = v.change where v.project = s.project and v.scheduler = s.name and v.rule is distinct from 'kind' order by v.change desc limit scheduler_trace.n)) t -- of another kind: not its business
  order by t.at desc, t.n desc limit scheduler_trace.n $$;

-- All schedulers of a project: [{name, kind, spec, timing, branch}]. One that left goes, a new timing is reckoned anew from now, what is disabled stays so. rev: of the tip that
-- says so, void (false) where the default branch is elsewhere by now; null: the site's. Only what differs is written, and told.
create function schedulers_sync(p bigint, pipe bigint, list jsonb, rev text) returns boolean language plpgsql as $$
declare s jsonb; n int := 0; k int;
begin
  perform 1 from project where id = p for no key update;
  perform 1 from scheduler x where x.project = p order by x.id for no key update;
  if rev is not null and rev is distinct from (select h.revision from scheduler_head(p, null) h) then return false; end if;
  with gone as (delete from scheduler x where x.project = p and not exists (select from jsonb_array_elements(list) e where e->>'name' = x.name) returning x.id),
    d as (delete from scheduler_decision d using gone g where d.scheduler = g.id)
    select count(*) into n from gone;
  for s in select e from jsonb_array_elements(list) e order by e->>'name' loop
    insert into scheduler as x (project, name, kind, spec, timing, branch, pipeline, due_at, fresh)
      values (p, s->>'name', s->>'kind', s->'spec', s->>'timing', s->>'branch', pipe, case when s->>'timing' <> '' then date_trunc('milliseconds', now()) end, s->>'timing' <> '')
      on conflict (project, name) do update set kind = excluded.kind, spec = excluded.spec, timing = excluded.timing, branch = excluded.branch, pipeline = excluded.pipeline,
        due_at = case when x.timing = excluded.timing then x.due_at else excluded.due_at end, fresh = case when x.timing = excluded.timing then x.fresh else excluded.fresh end
      where (x.kind, x.spec, x.timing, x.branch, x.pipeline) is distinct from (excluded.kind, excluded.spec, excluded.timing, excluded.branch, excluded.pipeline);
    get diagnostics k = row_count;
    n := n + k;
  end loop;
  update project set schedulers_from = rev, schedulers_why = null where id = p and (schedulers_from, schedulers_why) is distinct from (rev, null::text);
  if n > 0 then
    insert into outbox (type, object) select 'schedulers.changed', 'project/' || name from project where id = p;
  end if;
  return true;
end $$;

-- A due time is acted upon, once: false where somebody else was first, or the scheduler became another one. next: null: never again. acts: [{at, what, why, reason}], oldest first;
-- those that are `built` make a buildset each.
create function scheduler_fire(s bigint, due bigint, next bigint, pipe bigint, conf bigint, repo text, br text, rev text, acts jsonb, builders jsonb) returns boolean language plpgsql as $$
declare x scheduler%rowtype; a jsonb; bs bigint; last bigint;
begin
  update scheduler y set due_at = at_ms(next), fresh = false where y.id = s and y.due_at = at_ms(due) and y.pipeline = pipe and y.disabled_at is null returning y.* into x;
  if not found then return false; end if;
  for a in select e from jsonb_array_elements(acts) with ordinality as l(e, n) order by n loop
    bs := null;
    last := (a->>'at')::bigint;
    if a->>'what' = 'built' then
      select b.id into bs from buildset_add(x.project, repo, br, rev, x.name, a->>'reason', '{}', '{}', null, conf, pipe, null, builders) b;
      update scheduler y set built = rev where y.id = s;
    end if;
    perform scheduler_note(s, last, a->>'what', a->>'why', bs);
  end loop;
  if last is not null then
    update scheduler y set scheduled = at_ms(last) where y.id = s;
  end if;
  return true;
end $$;

-- Somebody runs it by hand: its buildset; null where it is another one by now, or disabled.
create function scheduler_run(s bigint, pipe bigint, conf bigint, repo text, br text, rev text, reason text, by_whom text, props jsonb, builders jsonb, out id bigint, out requests bigint[]) language plpgsql as $$
declare x scheduler%rowtype;
begin
  update scheduler y set built = rev where y.id = s and y.pipeline = pipe and y.disabled_at is null returning y.* into x;
  if not found then return; end if;
  select b.id, b.requests into id, requests from buildset_add(x.project, repo, br, rev, x.name, reason, '{}', props, by_whom, conf, pipe, null, builders) b;
  perform scheduler_note(s, null, 'built', reason, id);
end $$;

create function disabled_text(by_whom text, reason text) returns text language sql immutable as $$ select 'disabled by ' || by_whom || coalesce(': ' || reason, '') $$;

-- off: to be disabled, else enabled. Times that passed meanwhile are not missed: the next one is reckoned anew. Was it so before, nothing is written.
create function scheduler_switch(p text, n text, off boolean, by_whom text, reason text, out id bigint, out was boolean) language plpgsql as $$
begin
  select x.id, (x.disabled_at is not null) = off into id, was from scheduler x join project y on y.id = x.project where y.name = p and x.name = n for no key update of x;
  if id is null or was then return; end if;
  update scheduler x set disabled_at = case when off then now() end, disabled_by = case when off then by_whom end, disabled_why = case when off then reason end,
      due_at = case when x.timing <> '' then date_trunc('milliseconds', now()) end, fresh = x.timing <> ''
    where x.id = scheduler_switch.id;
  perform scheduler_note(id, null, case when off then 'disabled' else 'enabled' end, 'by ' || by_whom || coalesce(': ' || reason, ''), null);
  if off then -- what it waited with passes
    update verdict v set verdict = 'no', rule = 'disabled', until = null, at = now(), why = disabled_text(by_whom, reason)
      from scheduler x where x.id = scheduler_switch.id and v.project = x.project and v.scheduler = x.name and v.verdict = 'waits';
    update scheduler_state y set due_at = null, changes = '{}', last_note = 'disabled', noted = now() from scheduler x
      where x.id = scheduler_switch.id and y.project = x.project and y.name = x.name and y.changes <> '{}';
  end if;
end $$;

-- A change is decided as before; a scheduler that is disabled says no. (One that is not in the table yet is not disabled.)
alter function change_decide(bigint, text, text, bigint, bigint, jsonb) rename to change_decide_plan;
create function change_decide(c bigint, st text, err text, pipe bigint, conf bigint, plan jsonb) returns boolean language plpgsql as $$
declare p bigint; said jsonb;
begin
  select z.project into p from change z where z.id = c;
  perform 1 from scheduler x where x.project = p order by x.id for share; -- against scheduler_switch
  select coalesce(jsonb_agg(case when x.id is null or (l.e->>'verdict' = 'no' and l.e->'rides' is null) then l.e
        else jsonb_build_object('scheduler', x.name, 'verdict', 'no', 'rule', 'disabled', 'why', disabled_text(x.disabled_by, x.disabled_why)) end order by l.n), '[]')
    into said from jsonb_array_elements(plan) with ordinality as l(e, n)
    left join scheduler x on x.project = p and x.name = l.e->>'scheduler' and x.disabled_at is not null;
  return change_decide_plan(c, st, err, pipe, conf, said);
end $$;
