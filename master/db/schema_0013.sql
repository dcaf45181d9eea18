-- Schema, step 13: who looks at a repository: one master at a time.

-- Of each state folder that masters run on, so that the next life of one that was killed does not wait for its own leases.
alter table master add column place text;

-- A lease for each repository. It is its owner's until 15 s after that master's last heartbeat, which renews all of its leases at once, or until that master stops. Whatever a poller writes begins
-- with a look at owner and epoch (statement poll_fence).
create table poll (
  project bigint primary key references project,
  master bigint,                     -- the owner; null: nobody
  epoch bigint not null default 0,   -- one more with each taking and each handing over
  wanted bigint,                     -- the master that asks for it: its owner hands it over between two looks
  due_at timestamptz default now(),  -- the next look, told with its owner's heartbeats; null: only when somebody asks
  asked bigint not null default 0,   -- how often somebody asked for a look at once
  served bigint not null default 0,  -- the last of those that a look began after
  looked_at timestamptz,             -- the last look that went well
  failures int not null default 0,   -- looks in a row that did not
  trouble text, trouble_at timestamptz); -- why, and since when

create function masters_alive() returns bigint[] language sql stable as $$
  select coalesce(array_agg(id), '{}') from master where stopped is null and heartbeat > now() - interval '15 seconds' $$;

-- The repositories of dead masters and those that nobody has, and of a master that has at least two more than this one half of what it has more: these are asked for.
create function poll_take(me bigint, ours bigint[], alive bigint[]) returns void language plpgsql as $$
declare taken jsonb; mine int; n int; rich bigint;
begin
  insert into poll (project) select o from unnest(ours) o where not exists (select from poll l where l.project = o) on conflict do nothing;
  with free as (select l.project from poll l where l.project = any(ours) and (l.master is null or l.master <> all(alive)) for update skip locked),
    t as (update poll l set master = me, epoch = l.epoch + 1, wanted = null from free f where l.project = f.project returning l.project, l.epoch)
    select jsonb_object_agg(p.name, t.epoch) into taken from t join project p on p.id = t.project;
  if taken is not null then
    insert into outbox (type, object, body) values ('poll.taken', 'master/' || me, jsonb_build_object('epochs', taken));
  end if;
  if cardinality(alive) < 2 then return; end if;
  select count(*) into mine from poll l where l.project = any(ours) and (l.master = me or l.wanted = me);
  select l.master, (count(*) - mine) / 2 into rich, n from poll l where l.project = any(ours) and l.master <> me and l.wanted is distinct from me
    group by l.master order by count(*) desc, l.master limit 1;
  if n > 0 then
    update poll l set wanted = me from (select x.project from poll x where x.project = any(ours) and x.master = rich and x.wanted is null order by x.project limit n for update skip locked) w
      where l.project = w.project;
  end if;
end $$;

-- With each heartbeat of a master: what it tells of its leases, [{project, epoch, due (ms from now), asked, looked (ms ago), failures, trouble, since (ms ago)}]; those which it has been asked for and has
-- no use of just now go to who asked; those of projects that it has no more go; then poll_take. want: what it needs at once and another master has. How many other masters are alive.
create function poll_beat(me bigint, ours bigint[], told jsonb, give bigint[], want bigint[]) returns int language plpgsql as $$
declare alive bigint[] := masters_alive(); given jsonb;
begin
  update poll l set due_at = now() + t.due * interval '1 millisecond', served = t.asked, looked_at = coalesce(now() - t.looked * interval '1 millisecond', l.looked_at),
      failures = t.failures, trouble = t.trouble, trouble_at = now() - t.since * interval '1 millisecond'
    from jsonb_to_recordset(told) as t(project bigint, epoch bigint, due bigint, asked bigint, looked bigint, failures int, trouble text, since bigint)
    where l.project = t.project and l.master = me and l.epoch = t.epoch;
  if cardinality(give) > 0 then
    with g as (update poll l set master = l.wanted, epoch = l.epoch + 1, wanted = null where l.project = any(give) and l.master = me and l.wanted = any(alive) returning l.project, l.epoch, l.master)
      select jsonb_object_agg(g.master, g.epochs) into given from (select x.master, jsonb_object_agg(p.name, x.epoch) as epochs from g x join project p on p.id = x.project group by x.master) g;
    insert into outbox (type, object, body) select 'poll.taken', 'master/' || k, jsonb_build_object('epochs', e, 'from', me) from jsonb_each(given) as j(k, e);
    update poll l set wanted = null where l.project = any(give) and l.master = me and l.wanted <> all(alive);
  end if;
  if exists (select from poll l where l.master = me and l.project <> all(ours)) then
    update poll l set master = null, wanted = null where l.master = me and l.project <> all(ours);
  end if;
  if cardinality(want) > 0 then
    update poll l set wanted = me where l.project in (select x.project from poll x where x.project = any(want) and x.master <> me and (x.wanted is null or x.wanted <> all(alive)) for update skip locked);
  end if;
  perform poll_take(me, ours, alive);
  return cardinality(alive) - 1;
end $$;
