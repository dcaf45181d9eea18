-- Schema, step 3. Work folders of workers, and how full their disks are.

-- One row for each folder <project>/<builder>/<slot> that a build was ever given on a worker, until it is removed there. A build and a removal exclude each other: a claim
-- writes the row unless it is in state `cleaning`; a removal begins with the worker_session row locked (as a claim does) and takes only a row whose build is over.
create table work_folder (
  worker bigint not null,
  path text not null,               -- below the worker's work folder, as it was given
  builder bigint not null, slot int not null,
  state text not null default 'kept', -- kept, cleaning
  build bigint not null,            -- the last one in it
  last_used timestamptz not null default now(), -- that build's start; its end counts where it is later
  bytes bigint, complete boolean, measured_at timestamptz, -- complete false: at least so much
  wanted_at timestamptz, wanted_by text, -- somebody wants it gone
  error text, tries int not null default 0, due_at timestamptz not null default now(), -- of removals that failed; not tried again before
  primary key (worker, path));

insert into work_folder (worker, path, builder, slot, build, last_used)
  select distinct on (b.worker, b.builder, b.slot) b.worker, p.name || '/' || u.name || '/' || b.slot, b.builder, b.slot, b.id, coalesce(b.finished, b.started)
    from build b join builder u on u.id = b.builder join project p on p.id = u.project order by b.worker, b.builder, b.slot, b.id desc;

-- Of the file system that holds the worker's work folder, in bytes; as it was at disk_at.
alter table worker_session add disk_free bigint, add disk_total bigint, add disk_at timestamptz;
