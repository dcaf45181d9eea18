-- Schema, step 42: what works through any master.

alter table master add column address text; -- what others seal for it, and nobody else can read then (core/envelope.h); null: of an older version

alter table worker_session add column machine text not null default ''; -- on which its instance was first seen, its word; '': it told none. Of members of pools worker.machine has it

-- A rotation of the key by which masters log in to hosts of workers: there are two, and hosts let in by the new one or still by the old one, until the old one is dropped.
alter table cluster add column ssh_key_old text,             -- null: no rotation is under way
  add column ssh_key_version bigint not null default 0;     -- rises with each change: heartbeats bring it to all masters
alter table dial add column old_key boolean not null default false; -- the new one has not been seen to let us in there

-- what: rotated; or why not: busy (a rotation is under way).
create function ssh_key_rotate(new text, by_whom text, out what text) language plpgsql as $$
begin
  update cluster set ssh_key_old = ssh_key, ssh_key = new, ssh_key_version = ssh_key_version + 1 where ssh_key_old is null;
  what := case when found then 'rotated' else 'busy' end;
  if what = 'busy' then return; end if;
  update dial set old_key = true where master is not null;
  insert into outbox (type, object, body) values ('ssh_key.rotated', 'site', jsonb_build_object('who', by_whom));
end $$;

-- what: dropped; or why not: none (no rotation is under way), used (hosts has which workers' hosts the new one was not seen to let us in at).
create function ssh_key_drop(anyway boolean, by_whom text, out what text, out hosts text[]) language plpgsql as $$
begin
  perform from cluster where ssh_key_old is not null for update;
  if not found then what := 'none'; return; end if;
  select coalesce(array_agg(w.name order by w.name), '{}') into hosts from dial d join worker w on w.id = d.worker where d.old_key and d.master is not null and w.removed is null;
  if hosts <> '{}' and not anyway then what := 'used'; return; end if;
  update cluster set ssh_key_old = null, ssh_key_version = ssh_key_version + 1;
  update dial set old_key = false where old_key;
  what := 'dropped';
  insert into outbox (type, object, body) values ('ssh_key.dropped', 'site', jsonb_build_object('who', by_whom, 'hosts', to_jsonb(hosts)));
end $$;
