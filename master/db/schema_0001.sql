-- Schema, step 1. Every state column has one writer function in the master and a table of allowed moves (master/*/…_states).
-- Ids that travel (commands, build epochs) carry the cluster's incarnation, so that a restored backup confuses nobody.

create table cluster (
  one boolean primary key default true check (one),
  uuid text not null,
  incarnation bigint not null default 1,
  system_id text not null,          -- of the PostgreSQL cluster; another one means: restored or copied
  link_key bytea,                   -- worker-link key (PEM), one a cluster
  created timestamptz not null default now());

create table master (
  id bigint generated always as identity primary key,
  host text not null, pid int not null,
  started timestamptz not null default now(),
  heartbeat timestamptz not null default now(),
  stopped timestamptz);

create table config_version (
  id bigint generated always as identity primary key,
  hash text not null unique, body text not null,
  created timestamptz not null default now(), activated timestamptz);

create table pipeline (           -- a .drover.yml as it was at some revision, once for each content
  id bigint generated always as identity primary key,
  hash text not null unique, body bytea not null,
  created timestamptz not null default now());

create table project (
  id bigint generated always as identity primary key,
  name text not null unique, created timestamptz not null default now());

create table builder (
  id bigint generated always as identity primary key,
  project bigint not null references project, name text not null,
  next_number bigint not null default 1,
  unique (project, name));

create table worker (
  id bigint generated always as identity primary key,
  name text not null unique,
  secret_hash bytea,                -- SHA-256; null: no token yet
  slots int not null default 1, tags text[] not null default '{}',
  from_config boolean not null default false,
  facts jsonb not null default '{}',
  created timestamptz not null default now(), removed timestamptz);

-- One row a worker: who is it, on which connection. Whoever takes over raises number; every claim locks the row at its number.
create table worker_session (
  worker bigint primary key references worker,
  number bigint not null default 1,
  instance text not null, boot text not null, conn bigint not null,
  master bigint not null references master,
  connected boolean not null, since timestamptz not null default now(),
  lost_at timestamptz, peer text);

create table change (
  id bigint generated always as identity primary key,
  project bigint not null references project,
  codebase text not null default '', repository text not null, branch text not null, revision text not null,
  previous text,                    -- the revision the branch had before
  author text not null default '', author_at timestamptz, message text not null default '',
  files jsonb not null default '[]', properties jsonb not null default '{}', revlink text,
  told_by text not null,            -- git poller, change send, …
  state text not null default 'reading', -- reading, decided, failed
  attempts int not null default 0, due_at timestamptz not null default now(), error text,
  pipeline bigint references pipeline,
  created timestamptz not null default now());
create index change_by_revision on change (project, codebase, branch, revision, id desc);
create index change_reading on change (due_at) where state = 'reading';

-- What the poller saw last of each branch; moved in the transaction that makes the change.
create table branch_head (
  project bigint not null references project, branch text not null,
  revision text not null, seen timestamptz not null default now(),
  since bigint not null default 0,  -- highest change of the branch when the head moved here
  primary key (project, branch));

create table sourcestamp (        -- content-addressed
  id bigint generated always as identity primary key,
  hash text not null unique,
  project bigint not null references project, codebase text not null default '',
  repository text not null, branch text not null, revision text not null, -- revision '' : the tip when it is checked out
  patch bytea);

-- A scheduler's pending changes and its due time (stable timer), one row a (scheduler, branch).
create table scheduler_state (
  project bigint not null references project, name text not null, branch text not null,
  due_at timestamptz, changes bigint[] not null default '{}', last_note text, noted timestamptz,
  primary key (project, name, branch));
create index scheduler_due on scheduler_state (due_at) where due_at is not null;

-- From here on no foreign keys: each costs a query and a shared lock on the parent's row (fifteen for the smallest build). These rows are made only by the
-- functions and statements that have just read or made their parents, and are never deleted one by one.
create table buildset (
  id bigint generated always as identity primary key,
  sourcestamp bigint not null,
  config bigint, pipeline bigint,
  scheduler text, reason text not null, changes bigint[] not null default '{}',
  properties jsonb not null default '{}', who text, rerun_of bigint,
  state text not null default 'open',  -- open, done
  open int not null default 0, worst smallint, -- of its requests: how many are open, the worst result so far
  result smallint, created timestamptz not null default now(), finished timestamptz);

create index buildset_of_change on buildset using gin (changes);

create table build_request (
  id bigint generated always as identity primary key,
  buildset bigint not null, builder bigint not null,
  tags text[] not null default '{}',   -- what a worker must have
  priority int not null default 50,
  state text not null default 'pending', -- pending, claimed, done
  attempts int not null default 0,
  result smallint, why text,           -- why it ended so, where the result alone doesn't tell
  created timestamptz not null default now(), claimed timestamptz, finished timestamptz);
create index build_request_pending on build_request (priority desc, id) where state = 'pending';
create index build_request_of_set on build_request (buildset);

create table build (
  id bigint generated always as identity primary key,
  request bigint not null, builder bigint not null,
  number bigint not null, attempt int not null default 1,
  epoch_inc bigint not null, epoch bigint not null default 1,
  worker bigint not null, slot int not null, master bigint,
  state text not null default 'running', -- running, cancelling, done
  result smallint, why text, properties jsonb not null default '{}',
  started timestamptz not null default now(), finished timestamptz,
  unique (builder, number));
create unique index build_slot on build (worker, slot) where state <> 'done';
create index build_of_request on build (request);
create unique index build_live on build (request) where state <> 'done';

create table step (
  id bigint generated always as identity primary key,
  build bigint not null, number int not null, name text not null, kind text not null,
  state text not null,                 -- of its machine: the name of the command whose answer it waits for
  vars jsonb not null default '{}',    -- what its machine must know beside the state; trail: the states it has left, for people
  result smallint, summary text, -- result null: still running
  started timestamptz not null default now(), finished timestamptz,
  unique (build, number));

create sequence command_number;
create table command (
  id bigint primary key,               -- from command_number; on the wire <inc>-<id>
  inc bigint not null,
  build bigint not null, step bigint not null,
  name text not null,                  -- state of the step's machine that it belongs to
  spec bytea not null,                 -- records as sent with run
  instance text not null, boot text not null, -- for which worker instance and boot it was meant
  state text not null default 'open',  -- open, done, lost
  how text, code int, reason text, detail text, wall_ms bigint, user_ms bigint, sys_ms bigint, maxrss_kib bigint,
  started timestamptz not null default now(), finished timestamptz);
create index command_of_step on command (step);

create table log (
  id bigint generated always as identity primary key,
  command bigint not null, step bigint not null, build bigint not null,
  stream int not null default 0, name text not null,
  epoch_inc bigint not null, epoch bigint not null,
  length bigint not null default 0, stored bigint not null default 0, lines bigint not null default 0,
  crc bigint not null default 0, complete boolean not null default false,
  unique (command, stream));
create index log_of_step on log (step);

create table log_chunk (
  log bigint not null, off bigint not null,
  raw int not null, lines int not null, line_no bigint not null, crc bigint not null,
  spans bytea not null, z bytea not null,
  primary key (log, off)) partition by range (log);
alter table log_chunk alter column z set storage external;
alter table log_chunk alter column spans set storage external;

-- A transaction writes its events un-numbered; one statement moves them to event with dense numbers under the cursor's row lock.
create table outbox (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(), type text not null, object text not null, body jsonb not null default '{}');
create table event (
  number bigint primary key, at timestamptz not null, type text not null, object text not null, body jsonb not null);
create table event_cursor (one boolean primary key default true check (one), last bigint not null default 0);
insert into event_cursor default values;
create table reader (name text primary key, event bigint not null default 0);

-- log_chunk's partitions, by range of log id, made ahead. A new one is begun (the id sequence jumps to its start) when the open one is a day old or 10 GiB large; the next one is always there.
create table log_partition (
  n bigint primary key, opened timestamptz, created timestamptz not null default now());

create function log_partition_make(p bigint) returns void language plpgsql as $$
begin
  insert into log_partition (n) values (p) on conflict do nothing;
  execute format('create table if not exists log_chunk_%s partition of log_chunk for values from (%s) to (%s)', p, p << 24, (p + 1) << 24);
  execute format('alter table log_chunk_%s set (autovacuum_enabled = true, toast_tuple_target = 128)', p);
end $$;

create function log_roll(max_age interval, max_bytes bigint) returns bigint language plpgsql as $$
declare cur bigint; since timestamptz;
begin
  perform pg_advisory_xact_lock(7421001);
  select n, opened into cur, since from log_partition where opened is not null order by n desc limit 1;
  if cur is null then
    perform log_partition_make(0);
    update log_partition set opened = now() where n = 0;
    perform log_partition_make(1);
    return 0;
  end if;
  if since < now() - max_age or pg_total_relation_size(('log_chunk_' || cur)::regclass) > max_bytes then
    cur := cur + 1;
    perform log_partition_make(cur);
    update log_partition set opened = now() where n = cur;
    perform setval(pg_get_serial_sequence('log', 'id'), greatest(cur << 24, (select last_value + 1 from log_id_seq)));
  end if;
  perform log_partition_make(cur + 1);
  return cur;
end $$;
select log_roll('1 day', 10::bigint << 30);

-- Results from mild to worst; their numbers are not in that order.
create function severity(r smallint) returns int language sql immutable as $$
  select array_position(array[3, 0, 1, 2, 4, 5, 6]::smallint[], r) $$;

-- Ends a request (once) and, with its last one, the buildset. Nothing to do where it has ended already.
create function request_finish(r bigint, res smallint, reason text) returns void language plpgsql as $$
declare s bigint; st text; w smallint;
begin
  update build_request set state = 'done', result = res, why = reason, finished = now() where id = r and state <> 'done' returning buildset into s;
  if not found then return; end if;
  update buildset set open = open - 1, worst = case when worst is null or severity(res) > severity(worst) then res else worst end,
      state = case when open = 1 then 'done' else state end, finished = case when open = 1 then now() end
    where id = s returning state, worst into st, w;
  if st = 'done' then
    update buildset set result = worst where id = s;
    insert into outbox (type, object, body) values
      ('request.done', 'r' || r, jsonb_build_object('result', res, 'buildset', 's' || s)),
      ('buildset.done', 's' || s, jsonb_build_object('result', w));
  else
    insert into outbox (type, object, body) values ('request.done', 'r' || r, jsonb_build_object('result', res, 'buildset', 's' || s));
  end if;
end $$;

-- Ends a build. again: its request waits for another attempt instead of ending (the master decides which). name: project/builder/number, looked up where it is null.
create function build_finish(b bigint, res smallint, reason text, again boolean, request_res smallint, name text) returns void language plpgsql as $$
declare r bigint; a int;
begin
  update build set state = 'done', result = res, why = reason, finished = now() where id = b and state <> 'done' returning request, attempt into r, a;
  if not found then return; end if;
  if name is null then
    select p.name || '/' || u.name || '/' || x.number into build_finish.name from build x join builder u on u.id = x.builder join project p on p.id = u.project where x.id = b;
  end if;
  insert into outbox (type, object, body) values ('build.done', name, jsonb_build_object('result', res, 'request', 'r' || r, 'attempt', a, 'build', b));
  if again then
    update build_request set state = 'pending', why = reason where id = r and state = 'claimed';
  else
    perform request_finish(r, request_res, reason);
  end if;
end $$;

-- One change for each (codebase, branch, revision), whoever told first; a second one only if the branch had left that revision in between.
create function change_add(p bigint, repo text, br text, rev text, prev text, who text, who_at timestamptz, msg text, file_list jsonb, props jsonb, told text,
                           out id bigint, out fresh boolean) language plpgsql as $$
declare head branch_head%rowtype;
begin
  perform pg_advisory_xact_lock(hashtextextended(p || '/' || br, 7421002));
  select * into head from branch_head h where h.project = p and h.branch = br;
  select c.id into id from change c where c.project = p and c.codebase = '' and c.branch = br and c.revision = rev order by c.id desc limit 1;
  if id is not null and (head.project is null or id > head.since or head.revision = rev) then
    fresh := false;
    update change c set author = case when c.author = '' then who else c.author end, message = case when c.message = '' then msg else c.message end,
        files = case when c.files = '[]' then file_list else c.files end, properties = props || c.properties
      where c.id = change_add.id;
    return;
  end if;
  fresh := true;
  insert into change (project, repository, branch, revision, previous, author, author_at, message, files, properties, told_by)
    values (p, repo, br, rev, prev, who, who_at, msg, file_list, props, told) returning change.id into id;
  insert into outbox (type, object, body) values ('change.new', 'c' || id, jsonb_build_object('project', (select name from project where project.id = p), 'branch', br, 'revision', rev));
end $$;

-- A buildset with one request a builder, for one stamp (content-addressed). builders: [{"name": …, "tags": […]}].
create function buildset_add(p bigint, repo text, br text, rev text, sched text, why text, chg bigint[], props jsonb, by_whom text, conf bigint, pipe bigint, rerun bigint, builders jsonb,
                             out id bigint, out requests bigint[]) language plpgsql as $$
declare stamp bigint; h text; u jsonb; ub bigint; r bigint;
begin
  h := encode(sha256(convert_to(jsonb_build_array(p, '', repo, br, rev)::text, 'UTF8')), 'hex');
  insert into sourcestamp (hash, project, repository, branch, revision) values (h, p, repo, br, rev) on conflict (hash) do nothing;
  select s.id into stamp from sourcestamp s where s.hash = h;
  insert into buildset (sourcestamp, config, pipeline, scheduler, reason, changes, properties, who, rerun_of, open)
    values (stamp, conf, pipe, sched, why, chg, props, by_whom, rerun, jsonb_array_length(builders)) returning buildset.id into id;
  for u in select * from jsonb_array_elements(builders) loop
    select x.id into ub from builder x where x.project = p and x.name = u->>'name';
    if ub is null then
      insert into builder (project, name) values (p, u->>'name') on conflict (project, name) do update set name = excluded.name returning builder.id into ub;
    end if;
    insert into build_request (buildset, builder, tags) values (id, ub, array(select jsonb_array_elements_text(u->'tags'))) returning build_request.id into r;
    requests := requests || r;
    insert into outbox (type, object, body) values ('request.new', 'r' || r, jsonb_build_object('buildset', 's' || id, 'builder', (select name from project where project.id = p) || '/' || (u->>'name')));
  end loop;
end $$;
