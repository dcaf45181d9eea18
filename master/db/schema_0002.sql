-- Schema, step 2. Backups that were made, and what a restored one leaves out.

create table backup (
  id bigint generated always as identity primary key,
  made timestamptz not null,        -- of its snapshot
  host text not null, place text not null,
  bytes bigint not null, logs boolean not null);

alter table cluster add column restored timestamptz; -- when this database was last put back from a backup
alter table log add column gone text;                -- why its chunks below length are not here, for people

-- As before, but attached: `create table … partition of` locks log_chunk against everybody and so waits for a backup that reads it, with all output queued behind.
create or replace function log_partition_make(p bigint) returns void language plpgsql as $$
declare part text := 'log_chunk_' || p;
begin
  insert into log_partition (n) values (p) on conflict do nothing;
  if to_regclass(part) is not null then return; end if;
  execute format('create table %I (like log_chunk including all)', part);
  execute format('alter table %I set (autovacuum_enabled = true, toast_tuple_target = 128)', part);
  execute format('alter table log_chunk attach partition %I for values from (%s) to (%s)', part, p << 24, (p + 1) << 24);
end $$;
