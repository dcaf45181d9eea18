-- Schema, step 38: what a worker's agent is told to do: start anew, become the program that the master hands out, stop; at once, or when its builds are over (drain: no new ones begin, by a pause).

-- The last order of each worker. `wanted` ─▶ `sent` (it is being done: the worker was told, or is about to be) ─▶ `done`, `failed`; a new one takes the place of an old one in any state.
create sequence worker_order_number;
create table worker_order (
  worker bigint primary key references worker (id) on delete cascade,
  number bigint not null default nextval('worker_order_number'),
  kind text not null check (kind in ('restart', 'upgrade', 'stop')),
  state text not null default 'wanted' check (state in ('wanted', 'sent', 'done', 'failed')),
  drain boolean not null, downgrade boolean not null,
  who text not null, at timestamptz not null default now(),
  mark text,                       -- of what was sent: the program's SHA-256; of restart and stop: when that agent had started, its word
  was text,                        -- its version when it was sent
  tries int not null default 0,    -- how often the worker was told
  why text, ended timestamptz);    -- why it failed, or what came of it

-- what: set, unknown, removed. object: the worker's name.
create function order_set(called text, what_kind text, draining boolean, may_downgrade boolean, by_whom text, out what text, out id bigint, out online boolean, out order_number bigint) language plpgsql as $$
declare w worker%rowtype;
begin
  select y.* into w from worker y where y.name = called for update;
  what := case when w.id is null then 'unknown' when w.removed is not null then 'removed' else 'set' end;
  if what <> 'set' then return; end if;
  id := w.id;
  online := coalesce((select s.connected from worker_session s where s.worker = w.id), false);
  insert into worker_order (worker, kind, drain, downgrade, who) values (w.id, what_kind, draining, may_downgrade, by_whom)
    on conflict (worker) do update set number = nextval('worker_order_number'), kind = excluded.kind, state = 'wanted', drain = excluded.drain, downgrade = excluded.downgrade, who = excluded.who,
      at = now(), mark = null, was = null, tries = 0, why = null, ended = null
    returning number into order_number;
  if draining and not exists (select from pause z where z.object = 'worker/' || called) then
    insert into pause (object, who, why) values ('worker/' || called, by_whom, 'drain');
    insert into outbox (type, object, body) values ('paused', 'worker/' || called, jsonb_build_object('who', by_whom, 'reason', 'drain'));
  end if;
  insert into outbox (type, object, body) values ('worker.ordered', 'worker/' || called, jsonb_build_object('who', by_whom, 'what', what_kind, 'drain', draining));
end $$;

-- It is over. A drain that the worker comes back from ends with it: the pause goes, unless somebody has given it another reason.
create function order_end(w bigint, order_number bigint, good boolean, what_came text, version text) returns void language plpgsql as $$
declare o worker_order%rowtype; n text;
begin
  update worker_order y set state = case when good then 'done' else 'failed' end, why = what_came, ended = now()
    where y.worker = w and y.number = order_number and y.state in ('wanted', 'sent') returning y.* into o;
  if not found then return; end if;
  select y.name into n from worker y where y.id = w;
  if o.drain and o.kind <> 'stop' then
    delete from pause z where z.object = 'worker/' || n and z.why = 'drain';
    if found then insert into outbox (type, object, body) values ('resumed', 'worker/' || n, jsonb_build_object('who', o.who)); end if;
  end if;
  if good and what_came is not null then return; end if; -- there was nothing to do
  insert into outbox (type, object, body) values (
    case when not good then 'worker.order_failed' when o.kind = 'upgrade' then 'worker.upgraded' when o.kind = 'restart' then 'worker.restarted' else 'worker.stopped' end, 'worker/' || n,
    jsonb_strip_nulls(jsonb_build_object('who', o.who, 'what', o.kind, 'why', what_came, 'from', o.was, 'to', version)));
end $$;

-- What its tools say of their versions, as far as somebody has asked: {name: line, or null: there is none}.
alter table worker add column tools jsonb not null default '{}', add column tools_at timestamptz;

-- A member of a pool that is forgotten: nothing of it is the next one's who has its name.
create function order_forget() returns trigger language plpgsql as $$
begin
  delete from worker_order o where o.worker = new.id;
  update worker w set tools = '{}', tools_at = null where w.id = new.id;
  return null;
end $$;
create trigger worker_order_forget after update of instance on worker for each row when (old.instance is not null and new.instance is null) execute function order_forget();

-- As in step 26; and who resumes a worker that drains has changed their mind.
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
    perform order_end(w.id, o.number, false, 'it was resumed by ' || by_whom, null) from worker w join worker_order o on o.worker = w.id where 'worker/' || w.name = found_ones[1] and o.drain and o.state = 'wanted';
  end if;
  if what <> 'was' then
    insert into outbox (type, object, body) values (case when pausing then 'paused' else 'resumed' end, found_ones[1], jsonb_strip_nulls(jsonb_build_object('who', by_whom, 'reason', reason, 'for', for_ms)));
  end if;
end $$;
