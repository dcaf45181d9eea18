-- Schema, step 9: what is paused. Builds that run go on; new ones wait, and say for what.
create table pause (
  object text primary key,             -- site, project/NAME, builder/PROJECT/NAME (of a matrix also its name without a combination), worker/NAME
  who text not null, why text,
  since timestamptz not null default now(),
  until timestamptz);                  -- null: until somebody resumes it

-- What somebody means by a word: one of the objects as they are written above, "all", PROJECT/BUILDER, or a name that just one project, worker or builder has.
create function pause_objects(word text) returns setof text language sql stable as $$
  select o from (
    select 'site' as o, array['all', 'site'] as words
    union all select 'project/' || p.name, array['project/' || p.name, p.name] from project p
    union all select 'worker/' || w.name, array['worker/' || w.name, w.name] from worker w where w.removed is null
    union all select distinct 'builder/' || p.name || '/' || n, array['builder/' || p.name || '/' || n, p.name || '/' || n, n]
      from builder u join project p on p.id = u.project cross join lateral unnest(array[u.name, split_part(u.name, '[', 1)]) n) x
  where word = any(x.words) order by o limit 5 $$;

-- on: paused from now on, also where it was so before (then for the new reason and time). What became of it: paused, resumed; was (it was not paused); unknown, many. for_ms: null: without an end.
create function pause_set(word text, pausing boolean, by_whom text, reason text, for_ms bigint, out what text, out object text) language plpgsql as $$
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
  end if;
  if what <> 'was' then
    insert into outbox (type, object, body) values (case when pausing then 'paused' else 'resumed' end, found_ones[1], jsonb_strip_nulls(jsonb_build_object('who', by_whom, 'reason', reason, 'for', for_ms)));
  end if;
end $$;

-- The builders whose requests wait for that.
create function paused_builders() returns setof bigint language sql stable as $$
  select u.id from pause z cross join builder u join project p on p.id = u.project
    where (z.until is null or z.until > now()) and z.object in ('site', 'project/' || p.name, 'builder/' || p.name || '/' || u.name, 'builder/' || p.name || '/' || split_part(u.name, '[', 1)) $$;
