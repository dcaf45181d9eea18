-- Schema, step 34: pools of workers. A pool has one token; each instance that shows it becomes a member, which is a worker with a key and a name of its own.

create table pool (
  name text primary key,
  secret_hash bytea,                -- SHA-256 of the token's secret; null: there is no token yet
  token_at timestamptz, token_by text,
  slots int not null, tags text[] not null, weight int not null, calendar text, -- what each member is
  max int,                          -- members at once; null: any number
  forget_ms bigint not null,
  from_config boolean not null);    -- false: it was, and takes in nobody any more

-- Of a member: its pool; the instance whose key secret_hash is of, null: it is forgotten, and its name is free; the machine on which it joined, as that told ('': it did not).
alter table worker add column pool text, add column instance text, add column machine text, add column joined timestamptz;
create unique index worker_member on worker (pool, instance) where instance is not null; -- never two names for one

-- All pools of the configuration: [{name, slots, tags, weight, calendar, max, forget}].
create function pools_config(list jsonb) returns void language plpgsql as $$
begin
  insert into pool as p (name, slots, tags, weight, calendar, max, forget_ms, from_config)
    select x.name, x.slots, array(select jsonb_array_elements_text(x.tags)), x.weight, x.calendar, x.max, x.forget, true
      from jsonb_to_recordset(list) as x(name text, slots int, tags jsonb, weight int, calendar text, max int, forget bigint) order by x.name
    on conflict (name) do update set slots = excluded.slots, tags = excluded.tags, weight = excluded.weight, calendar = excluded.calendar, max = excluded.max, forget_ms = excluded.forget_ms, from_config = true
      where (p.slots, p.tags, p.weight, p.calendar, p.max, p.forget_ms, p.from_config)
        is distinct from (excluded.slots, excluded.tags, excluded.weight, excluded.calendar, excluded.max, excluded.forget_ms, true);
  update pool p set from_config = false where p.from_config and not exists (select from jsonb_array_elements(list) x where x->>'name' = p.name);
  update worker w set slots = p.slots, tags = p.tags, weight = p.weight, calendar = p.calendar from pool p
    where w.pool = p.name and p.from_config and w.removed is null and (w.slots, w.tags, w.weight, w.calendar) is distinct from (p.slots, p.tags, p.weight, p.calendar);
end $$;

-- An instance shows the pool's token, and the hash of a key that it has made. It gets the name POOL-N with the lowest N that is free: names stay short, and there are never more rows than there were
-- members at once, however often hosts come and go. The same instance with the same key gets the name that it had: so nothing is lost with an answer that gets lost. Joins of a pool come one after
-- the other, since each locks the pool's row.
-- what: joined, back; or why not: unknown, secret, gone (out of the configuration), full, removed (by a person), clone (its instance has another key, or is another machine's).
-- Hashes of long random secrets are compared: how long that takes tells nobody anything.
create function pool_join(p text, secret bytea, inst text, key bytea, told_machine text, out what text, out id bigint, out called text, out most int) language plpgsql as $$
declare x pool%rowtype; w worker%rowtype; n int := 0;
begin
  select y.* into x from pool y where y.name = p for update;
  most := x.max;
  what := case when x.name is null then 'unknown' when x.secret_hash is distinct from secret then 'secret' end;
  if what is not null then return; end if;
  select y.* into w from worker y where y.pool = p and y.instance = inst for update;
  if found then
    id := w.id;
    called := w.name;
    what := case when w.removed is not null then 'removed' when w.secret_hash is distinct from key or (w.machine <> '' and told_machine <> '' and w.machine <> told_machine) then 'clone' else 'back' end;
    return;
  end if;
  what := case when not x.from_config then 'gone' when (select count(*) from worker y where y.pool = p and y.removed is null) >= x.max then 'full' end;
  if what is not null then return; end if;
  while id is null loop
    n := n + 1;
    called := p || '-' || n;
    continue when exists (select from worker y where y.name = called and (y.pool is distinct from p or y.instance is not null or exists (select from build b where b.worker = y.id and b.state <> 'done')));
    insert into worker as y (name, secret_hash, slots, tags, weight, calendar, pool, instance, machine, joined) values (called, key, x.slots, x.tags, x.weight, x.calendar, p, inst, told_machine, now())
      on conflict (name) do update set secret_hash = excluded.secret_hash, slots = excluded.slots, tags = excluded.tags, weight = excluded.weight, calendar = excluded.calendar, instance = excluded.instance,
        machine = excluded.machine, joined = excluded.joined, facts = '{}', removed = null
        where y.pool = p and y.instance is null
      returning y.id into id;
  end loop;
  what := 'joined';
  insert into outbox (type, object, body) values ('worker.joined', 'worker/' || called, jsonb_build_object('pool', p));
end $$;

-- That worker is forgotten: its key is good for nothing, its name is free for whoever comes next, and nothing of it is kept for that one. Whoever still thinks that it has its session finds it at another number.
create function member_forget(w bigint, why text) returns void language plpgsql as $$
declare n text;
begin
  update worker y set removed = coalesce(y.removed, now()), secret_hash = null, instance = null, machine = null, quarantine_ms = 0, quarantine_at = null, quarantine_until = null, quarantine_why = null
    where y.id = w returning y.name into n;
  update worker_session s set number = s.number + 1, connected = false, lost_at = coalesce(s.lost_at, now()) where s.worker = w;
  delete from work_folder f where f.worker = w;
  delete from pause z where z.object = 'worker/' || n;
  insert into outbox (type, object, body) values ('worker.forgotten', 'worker/' || n, jsonb_build_object('why', why));
end $$;

-- Members that have been away for as long as their pool says, and have no build, are forgotten. Rows that somebody is at work with are left for the next time. What could have changed is read again once
-- the rows are locked: an adoption begins with member_guard.
create function members_forget() returns int language plpgsql as $$
declare w record; s worker_session%rowtype; n int := 0;
begin
  for w in select y.id, y.joined, p.forget_ms * interval '1 millisecond' as after from worker y join pool p on p.name = y.pool left join worker_session z on z.worker = y.id
      where y.instance is not null and y.removed is null and not coalesce(z.connected, false) and greatest(y.joined, z.lost_at) < now() - p.forget_ms * interval '1 millisecond'
      order by y.id limit 100 for update of y skip locked loop
    select z.* into s from worker_session z where z.worker = w.id for update;
    continue when coalesce(s.connected, false) or greatest(w.joined, s.lost_at) >= now() - w.after or exists (select from build b where b.worker = w.id and b.state <> 'done');
    perform member_forget(w.id, 'it was away for ' || (extract(epoch from now() - greatest(w.joined, s.lost_at)))::bigint || ' s');
    n := n + 1;
  end loop;
  return n;
end $$;

-- Void unless that worker is still the member that this instance is. Held until the end: it is not forgotten meanwhile.
create function member_guard(w bigint, inst text) returns void language plpgsql as $$
begin
  perform from worker y where y.id = w and y.instance = inst and y.removed is null for key share;
  if not found then
    raise exception 'worker % is no member any more', w using errcode = 'DR003';
  end if;
end $$;

-- A pool that is not in the configuration any more goes, and all its members with it. what: unknown, configured, removed.
create function pool_remove(p text, by_whom text, out what text, out members text[]) language plpgsql as $$
declare x pool%rowtype; w record;
begin
  members := '{}';
  select y.* into x from pool y where y.name = p for update;
  what := case when x.name is null then 'unknown' when x.from_config then 'configured' else 'removed' end;
  if what <> 'removed' then return; end if;
  for w in select y.id, y.name from worker y where y.pool = p and y.instance is not null order by y.id for update loop
    perform member_forget(w.id, 'the pool was removed by ' || by_whom);
    members := members || w.name;
  end loop;
  delete from pool y where y.name = p;
  delete from pause z where z.object = 'pool/' || p;
  insert into outbox (type, object, body) values ('pool.removed', 'pool/' || p, jsonb_build_object('by', by_whom));
end $$;

-- As in step 9, and pools: pool/NAME.
create or replace function pause_objects(word text) returns setof text language sql stable as $$
  select o from (
    select 'site' as o, array['all', 'site'] as words
    union all select 'project/' || p.name, array['project/' || p.name, p.name] from project p
    union all select 'worker/' || w.name, array['worker/' || w.name, w.name] from worker w where w.removed is null
    union all select 'pool/' || p.name, array['pool/' || p.name, p.name] from pool p
    union all select distinct 'builder/' || p.name || '/' || n, array['builder/' || p.name || '/' || n, p.name || '/' || n, n]
      from builder u join project p on p.id = u.project cross join lateral unnest(array[u.name, split_part(u.name, '[', 1)]) n) x
  where word = any(x.words) order by o limit 5 $$;
