-- Schema, step 40: questions to a worker that another master has.

-- Asked by the master that somebody asked, answered by the one that has the worker's session, within seconds or not at all. Nobody misses what is lost here: whoever asked says so in time.
create unlogged table worker_question (
  id bigint generated always as identity primary key,
  asker bigint not null,      -- the master that waits for the answer
  worker bigint not null references worker (id) on delete cascade,
  kind text not null, args text not null, -- workers/questions.h; args: JSON
  until timestamptz not null, -- nobody waits any longer
  taken bigint,               -- the master that is about to answer; where the worker has gone on to another one meanwhile, that one takes it
  status int, answer text);   -- as the API says it

-- As in step 26; and how many builds it spoilt in a row, and which one last.
alter table worker add column quarantine_count int not null default 0, add column quarantine_build bigint; -- of quarantine_ms above 0
create or replace function worker_blame(b bigint, what text) returns void language sql as $$
  with w as (update worker w set quarantine_count = case when w.quarantine_ms = 0 then 1 else w.quarantine_count + 1 end, quarantine_build = b,
      quarantine_ms = least(greatest(w.quarantine_ms * 2, 10000), 3600000), quarantine_at = now(), quarantine_why = what,
      quarantine_until = now() + least(greatest(w.quarantine_ms * 2, 10000), 3600000) * interval '1 millisecond'
    from build x where x.id = b and w.id = x.worker and (w.quarantine_at is null or w.quarantine_ms = 0 or x.started > w.quarantine_at) returning w.name, w.quarantine_ms, x.request)
  insert into outbox (type, object, body) select 'worker.quarantined', 'worker/' || name, jsonb_build_object('for', quarantine_ms, 'why', what, 'request', 'r' || request) from w $$;
