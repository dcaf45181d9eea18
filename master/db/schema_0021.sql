-- Schema, step 21: locks.

-- As the configuration has them; whoever takes some locks the rows first, in the order of their ids, and nothing after them but what nobody else waits for.
create table lock (
  id bigint generated always as identity primary key,
  name text not null unique,
  count int not null,
  units text[] not null default '{}',   -- their names; then count is how many these are
  per_worker boolean not null default false, -- so many on each worker
  gone timestamptz);                    -- it left the configuration: who holds it does to the end, nobody gets it any more

-- Who has what. Released with the end of the build or step, in its transaction: by its fence nobody else can.
create table lock_hold (
  lock bigint not null, build bigint not null,
  step int not null default 0,          -- its number; 0: of the build
  worker bigint not null,
  n int,                                -- null: exclusive
  units text[] not null default '{}',
  since timestamptz not null default now(),
  primary key (lock, build, step));
create index lock_hold_of_build on lock_hold (build);

-- Who waits. A step does until it gets them or its build ends. A pending request does as long as the master that has a worker for it says so every few seconds.
create table lock_wait (
  request bigint primary key,
  build bigint, step int not null default 0,
  wants jsonb,                          -- of a step; a request has its own
  line text[] not null default '{}',    -- of a request: the locks that it could not have
  master bigint, seen timestamptz,      -- of a request: who says so
  since timestamptz not null default now());

-- What its builder takes: [{lock, n}], without n exclusive; null: nothing.
alter table build_request add column locks jsonb;
create index build_request_with_locks on build_request (priority desc, id) where state = 'pending' and locks is not null;

-- All locks of the configuration: [{name, count, units, per_worker}].
create function locks_config(list jsonb) returns void language plpgsql as $$
begin
  perform from lock order by id for update;
  insert into lock as l (name, count, units, per_worker)
    select x.name, x.count, array(select jsonb_array_elements_text(x.units)), x.per_worker from jsonb_to_recordset(list) as x(name text, count int, units jsonb, per_worker boolean)
    on conflict (name) do update set count = excluded.count, units = excluded.units, per_worker = excluded.per_worker, gone = null
      where (l.count, l.units, l.per_worker) is distinct from (excluded.count, excluded.units, excluded.per_worker) or l.gone is not null;
  update lock set gone = now() where gone is null and name not in (select e->>'name' from jsonb_array_elements(list) e);
end $$;

-- What is left of a lock, on the worker w where it is one for each: how many; names of them; whether anybody has any, or all.
create function lock_left(l lock, w bigint, out n int, out free text[], out held boolean, out exclusive boolean) language sql stable as $$
  with h as (select x.* from lock_hold x where x.lock = l.id and (not l.per_worker or x.worker = w)),
    f as (select array(select u from unnest(l.units) u where not exists (select from h where u = any(h.units))) as names)
    select case when cardinality(l.units) = 0 then l.count - coalesce((select sum(h.n) from h), 0) else cardinality(f.names) - coalesce((select sum(h.n) from h where h.units = '{}'), 0) end,
      f.names, exists (select from h), exists (select from h where h.n is null) from f $$;

-- The build b, or its step s, takes all of wants: [{lock, n, units}], without n exclusive; units as whoever decided chose them. Where one can't be had after all: DR002, and nothing at all.
create function locks_take(b bigint, s int, w bigint, wants jsonb) returns void language plpgsql as $$
declare x jsonb; l lock%rowtype; f record; k int; names text[]; taken boolean;
begin
  perform from lock y where y.name in (select e->>'lock' from jsonb_array_elements(wants) e) order by y.id for update;
  for x in select e from jsonb_array_elements(wants) e loop
    select y.* into l from lock y where y.name = x->>'lock' and y.gone is null;
    if not found then
      raise exception using errcode = 'DR002', message = 'there is no lock ' || (x->>'lock');
    end if;
    select * into f from lock_left(l, w);
    k := (x->>'n')::int;
    names := array(select jsonb_array_elements_text(coalesce(x->'units', '[]')));
    taken := case when k is null then f.held or names is distinct from l.units else f.exclusive or f.n < k or not names <@ f.free or (cardinality(l.units) > 0 and cardinality(names) <> k) end;
    if taken then
      raise exception using errcode = 'DR002', message = 'the lock ' || l.name || ' is taken';
    end if;
    insert into lock_hold (lock, build, step, worker, n, units) values (l.id, b, s, w, k, names);
    insert into outbox (type, object, body) values ('lock.taken', 'lock/' || l.name, jsonb_strip_nulls(jsonb_build_object('build', b, 'step', nullif(s, 0), 'n', k, 'units', nullif(to_jsonb(names), '[]'))));
  end loop;
  delete from lock_wait y where y.request = (select z.request from build z where z.id = b);
end $$;

-- A step's end, or with s null that of the build b of request r. No row of lock is needed for it: who takes sees what is held until this is committed.
create function locks_free(b bigint, s int, r bigint) returns void language plpgsql as $$
begin
  with h as (delete from lock_hold x where x.build = b and (s is null or x.step = s) returning x.lock, x.step)
    insert into outbox (type, object, body) select 'lock.freed', 'lock/' || l.name, jsonb_strip_nulls(jsonb_build_object('build', b, 'step', nullif(h.step, 0))) from h join lock l on l.id = h.lock;
  delete from lock_wait y where y.request = r and y.build = b;
end $$;

-- What the master me says: these requests could begin but for locks, [{request, line}].
create function locks_waited(me bigint, list jsonb) returns void language plpgsql as $$
begin
  delete from lock_wait w where w.step = 0 and (w.master = me and w.request not in (select (e->>'request')::bigint from jsonb_array_elements(list) e) or w.seen < now() - interval '1 hour');
  insert into lock_wait as w (request, line, master, seen)
    select (e->>'request')::bigint, array(select jsonb_array_elements_text(e->'line')), me, now() from jsonb_array_elements(list) e order by 1
    on conflict (request) do update set line = excluded.line, master = excluded.master, seen = excluded.seen where w.step = 0;
end $$;

-- As in step 1; what a step of it still waits for ends with it (an attempt that was lost, a build that was given up), and its locks are free, also where another attempt follows, which takes them anew.
create or replace function build_finish(b bigint, res smallint, reason text, again boolean, request_res smallint, name text) returns void language plpgsql as $$
declare r bigint; a int; left_over bigint[];
begin
  update build set state = 'done', result = res, why = reason, finished = now() where id = b and state <> 'done' returning request, attempt into r, a;
  if not found then return; end if;
  if name is null then
    select p.name || '/' || u.name || '/' || x.number into build_finish.name from build x join builder u on u.id = x.builder join project p on p.id = u.project where x.id = b;
  end if;
  insert into outbox (type, object, body) values ('build.done', name, jsonb_build_object('result', res, 'request', 'r' || r, 'attempt', a, 'build', b));
  left_over := array(select q.id from buildset s join build_request q on q.buildset = s.id where s.parent_build = b and s.waited and s.state = 'open' and q.state <> 'done');
  if left_over <> '{}' then
    perform requests_cancel(left_over, name || ', which waited for it, has ended');
  end if;
  if again then
    update build_request set state = 'pending', why = reason where id = r and state = 'claimed';
  else
    perform request_finish(r, request_res, reason);
  end if;
  if exists (select from lock_hold h where h.build = b) or exists (select from lock_wait w where w.request = r and w.build = b) then
    perform locks_free(b, null, r);
  end if;
end $$;

-- Somebody says that what was cancelled on a worker that is away runs no more: its slots and locks are free. what: unknown, connected (it will tell itself), or done.
create function forget_ghosts(who text, by_whom text, out what text, out builds text[]) language plpgsql as $$
declare w bigint; b bigint; connected boolean;
begin
  builds := '{}';
  select x.id into w from worker x where x.name = who;
  if not found then what := 'unknown'; return; end if;
  select s.connected into connected from worker_session s where s.worker = w for share;
  if connected then what := 'connected'; return; end if;
  what := 'done';
  for b in select x.id from build x where x.worker = w and x.state = 'cancelling' order by x.id for no key update loop
    update command c set state = 'lost', how = 'lost', reason = 'forgotten', finished = now() where c.build = b and c.state = 'open';
    update step t set result = 6, summary = 'cancelled, and forgotten by ' || by_whom || ' while its worker was away', finished = now() where t.build = b and t.result is null;
    builds := builds || (select p.name || '/' || u.name || '/' || x.number from build x join builder u on u.id = x.builder join project p on p.id = u.project where x.id = b);
    perform build_finish(b, 6::smallint, 'forgotten by ' || by_whom || ' while its worker was away', false, 6::smallint, builds[cardinality(builds)]);
  end loop;
  insert into outbox (type, object, body) values ('worker.ghosts_forgotten', 'worker/' || who, jsonb_build_object('by', by_whom, 'builds', to_jsonb(builds)));
end $$;
