-- Schema, step 41: workers that a master dials by ssh.

alter table cluster add column ssh_key text; -- the private key (PEM, ed25519) by which masters log in to their hosts, one a cluster

-- One row for each such worker: which master dials it, how that went, and whose word its host is believed on.
create table dial (
  worker bigint primary key references worker,
  master bigint,                   -- the one that dials it, as long as its heart beats; null: none
  address text not null default '', -- as its configuration has it
  up boolean not null default false, -- its worker was welcomed, and the connection stands
  failures int not null default 0, -- in a row
  trouble text, why text,          -- what came of the last try, a word and a sentence; null: nothing is wrong
  since timestamptz,               -- it has been so since then
  mark text,                       -- fingerprint that the host showed, where it is not one that is trusted
  trusted text, trusted_by text, trusted_at timestamptz); -- fingerprint that a person trusts; counts where the configuration has none

-- With a heartbeat: what this master's configuration has it dial. It gets those that nobody dials, or whose master is dead, and lets go of those that are not its any more. stopped: the worker was drained and told to
-- stop, and is still paused: it is not to be started again by our coming.
create function dial_beat(me bigint, names text[]) returns table (name text, worker bigint, trusted text, stopped boolean) language plpgsql as $$
#variable_conflict use_column
declare alive bigint[] := masters_alive();
begin
  update dial d set master = null, up = false where d.master = me and not exists (select from worker w where w.id = d.worker and w.name = any(names) and w.removed is null);
  insert into dial (worker) select w.id from worker w where w.name = any(names) and w.removed is null and not exists (select from dial d where d.worker = w.id) on conflict do nothing;
  update dial d set master = me, up = false from (
      select x.worker from dial x join worker w on w.id = x.worker where w.name = any(names) and w.removed is null and (x.master is null or x.master <> all(alive)) order by x.worker for update of x skip locked) f
    where d.worker = f.worker;
  return query select w.name, w.id, d.trusted, exists (select from worker_order o join pause z on z.object = 'worker/' || w.name where o.worker = w.id and o.kind = 'stop' and o.state = 'done' and z.since <= o.ended)
    from dial d join worker w on w.id = d.worker where d.master = me;
end $$;

-- How it stands, by the master that dials it; another one's word is void.
create function dial_told(w bigint, me bigint, address text, up boolean, failures int, trouble text, why text, mark text) returns void language plpgsql as $$
#variable_conflict use_variable
declare was dial%rowtype;
begin
  select d.* into was from dial d where d.worker = w and d.master = me for update;
  if not found then return; end if;
  update dial d set address = dial_told.address, up = dial_told.up, failures = dial_told.failures, trouble = dial_told.trouble, why = dial_told.why, mark = dial_told.mark,
      since = case when dial_told.trouble is null then null when dial_told.trouble is distinct from was.trouble then now() else was.since end
    where d.worker = w;
  if trouble is distinct from was.trouble then
    insert into outbox (type, object, body) select case when trouble is null then 'worker.reached' else 'worker.unreached' end, 'worker/' || x.name, jsonb_strip_nulls(jsonb_build_object('trouble', trouble, 'why', why))
      from worker x where x.id = w;
  end if;
end $$;

-- A person has compared the fingerprint. what: trusted, unknown (no such worker), removed, none (not dialled by ssh).
create function dial_trust(called text, fingerprint text, by_whom text, out what text) language plpgsql as $$
declare w worker%rowtype;
begin
  select y.* into w from worker y where y.name = called;
  what := case when w.id is null then 'unknown' when w.removed is not null then 'removed' end;
  if what is not null then return; end if;
  update dial set trusted = fingerprint, trusted_by = by_whom, trusted_at = now(), mark = null where worker = w.id;
  what := case when found then 'trusted' else 'none' end;
  if what = 'trusted' then
    insert into outbox (type, object, body) values ('worker.trusted', 'worker/' || called, jsonb_build_object('who', by_whom, 'host_key', fingerprint));
  end if;
end $$;
