-- Schema, step 26: how gladly a worker is taken, when it works, and that it backs off after it has spoilt a build; shares of projects.
alter table worker
  add column weight int not null default 50,
  add column calendar text,             -- as in the configuration (conf/calendar.h); null: always
  add column quarantine_ms bigint not null default 0, -- how long the last quarantine was; 0: none since something was built well there
  add column quarantine_at timestamptz, add column quarantine_until timestamptz, add column quarantine_why text;

-- The worker of build b could not do what any worker can (the summary says what): nothing new for it, 10 s the first time, then twice as long each time, up to an hour. A build that began
-- before the quarantine that it would make longer is part of what that one is for.
create function worker_blame(b bigint, what text) returns void language sql as $$
  with w as (update worker w set quarantine_ms = least(greatest(w.quarantine_ms * 2, 10000), 3600000), quarantine_at = now(), quarantine_why = what,
      quarantine_until = now() + least(greatest(w.quarantine_ms * 2, 10000), 3600000) * interval '1 millisecond'
    from build x where x.id = b and w.id = x.worker and (w.quarantine_at is null or w.quarantine_ms = 0 or x.started > w.quarantine_at) returning w.name, w.quarantine_ms, x.request)
  insert into outbox (type, object, body) select 'worker.quarantined', 'worker/' || name, jsonb_build_object('for', quarantine_ms, 'why', what, 'request', 'r' || request) from w $$;

-- Build b has ended, and its worker is not to blame for anything: the next quarantine is a short one again. A build that began before the last one proves nothing.
create function worker_proved(b bigint) returns void language sql as $$
  update worker w set quarantine_ms = 0, quarantine_at = null, quarantine_until = null, quarantine_why = null
    from build x where x.id = b and w.id = x.worker and w.quarantine_ms > 0 and x.started > w.quarantine_at $$;

-- Of a project among others, by what the configuration says: {name: share}.
create function share_of(p bigint, shares jsonb) returns float8 language sql stable as $$
  select greatest(coalesce((shares->>(select x.name from project x where x.id = p))::float8, 1), 1) $$;

-- As in step 9; resuming a worker also ends its quarantine.
create or replace function pause_set(word text, pausing boolean, by_whom text, reason text, for_ms bigint, out what text, out object text) language plpgsql as $$
declare found_ones text[] := array(select pause_objects(word));
begin
  if cardinality(found_ones) <> 1 then
    what := case when cardinality(found_ones) = 0 then 'unknown' else 'many' end;
    object := array_to_string(found_ones, ', ');
    return;
  end if;
  object := found_ones[1];
  if pausing then
    insert into pause as z (object, who, why, until) values (found_ones[1], by_whom, reason, now() + for_ms * interval '1 millisecond')
      on conflict on constraint pause_pkey do update set who = excluded.who, why = excluded.why, since = now(), until = excluded.until;
    what := 'paused';
  else
    delete from pause z where z.object = found_ones[1];
    what := case when found then 'resumed' else 'was' end;
    update worker w set quarantine_ms = 0, quarantine_at = null, quarantine_until = null, quarantine_why = null where 'worker/' || w.name = found_ones[1] and w.quarantine_ms > 0;
    if found then what := 'resumed'; end if;
  end if;
  if what <> 'was' then
    insert into outbox (type, object, body) values (case when pausing then 'paused' else 'resumed' end, found_ones[1], jsonb_strip_nulls(jsonb_build_object('who', by_whom, 'reason', reason, 'for', for_ms)));
  end if;
end $$;

