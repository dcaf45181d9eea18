-- Schema, step 8: builders that need others, schedulers after each other, patches to try. A request waits in state `waiting` until what it needs is over; it holds nothing meanwhile.

-- Edges; written with the request that waits, never changed. What is needed always has the lower id, so rows of requests are locked in the order of ids.
create table request_need (
  request bigint not null,
  needs bigint not null,               -- a request of the same buildset, or of another one with the same revision
  soft boolean not null default false, -- however it ends
  primary key (request, needs));
create index request_need_of on request_need (needs);

-- What is tried on top of a revision, by its content. No NUL in it; of any encoding.
create table patch (hash text primary key, body bytea not null, level int not null, made timestamptz not null default now());
alter table sourcestamp alter column patch type text using null; -- its hash; was never used
create function patch_put(content bytea, lv int) returns text language plpgsql as $$
declare h text := encode(sha256(convert_to(lv || ' ', 'UTF8') || content), 'hex');
begin
  insert into patch (hash, body, level) values (h, content, lv) on conflict (hash) do nothing;
  return h;
end $$;

-- build_request.state: waiting, pending, claimed, done.
alter table build_request add column waits int not null default 0; -- waiting: how many of its needs are not over
-- The builder's, so that each project's next ones are found by themselves (fair share).
alter table build_request add column project bigint;
update build_request r set project = u.project from builder u where u.id = r.builder;
alter table build_request alter column project set not null;
create index build_request_of_project on build_request (project, priority desc, id) where state = 'pending';
create index build_request_waiting on build_request (id) where state = 'waiting';
-- What the scheduler said besides: next, who follows when all ends well, [{scheduler, builders: as for buildset_add}]; fail_fast, and then the request for which the others are to be cancelled.
alter table buildset add column next jsonb, add column fail_fast boolean not null default false, add column stop_for bigint;
create index buildset_to_stop on buildset (id) where stop_for is not null and state = 'open';
create index buildset_of_stamp on buildset (sourcestamp);
create index sourcestamp_of_revision on sourcestamp (project, revision);

-- A request of the builder for the same revision, by the same pipeline with the same properties, that ended well; null: there is none. On which branch or tag it was built does not count.
create function request_good(p bigint, builder text, repo text, rev text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  select max(r.id) from sourcestamp s join buildset b on b.sourcestamp = s.id join build_request r on r.buildset = b.id join builder u on u.id = r.builder
    where s.project = p and s.revision = rev and s.repository = repo and s.patch is not distinct from pat and b.pipeline = pipe and b.properties = props and u.name = request_good.builder and r.state = 'done' and r.result in (0, 1) $$;

-- What of the builders is to be requested: all that is asked for, and what these need and is not there yet (had: {name: request}). builders: each behind what it needs.
create function builders_to_build(p bigint, repo text, rev text, pat text, pipe bigint, props jsonb, builders jsonb, out todo jsonb, out had jsonb) language plpgsql as $$
declare u jsonb; n jsonb; wanted text[] := '{}'; r bigint;
begin
  todo := '[]'; had := '{}';
  for u in select l.e from jsonb_array_elements(builders) with ordinality as l(e, i) order by l.i desc loop
    r := null;
    if u->'needed' = 'true' then
      continue when u->>'name' <> all(wanted);
      if u->'fresh' is null then r := request_good(p, u->>'name', repo, rev, pat, pipe, props); end if;
    end if;
    if r is not null then
      had := had || jsonb_build_object(u->>'name', r);
      continue;
    end if;
    todo := jsonb_build_array(u) || todo;
    for n in select e from jsonb_array_elements(coalesce(u->'needs', '[]')) e loop
      wanted := wanted || (n->>'name');
    end loop;
  end loop;
end $$;

-- The needs of a new request r: [{name | request, soft}]; by_name: {name: request}. How many of them are not over; null: one of them has ended badly, and so will r.
create function request_needs(r bigint, list jsonb, by_name jsonb) returns int language plpgsql as $$
declare n jsonb; x build_request%rowtype; open int := 0; bad boolean := false;
begin
  for n in select e from jsonb_array_elements(list) e order by coalesce((e->>'request')::bigint, (by_name->>(e->>'name'))::bigint) loop
    select q.* into x from build_request q where q.id = coalesce((n->>'request')::bigint, (by_name->>(n->>'name'))::bigint) for share; -- against its end at this moment
    insert into request_need (request, needs, soft) values (r, x.id, coalesce((n->>'soft')::boolean, false));
    if x.state <> 'done' then
      open := open + 1;
    elsif x.result not in (0, 1) and n->'soft' is distinct from 'true' then
      bad := true;
    end if;
  end loop;
  return case when not bad then open end;
end $$;

-- Why a request whose need ended badly is not built.
create function need_failed(need bigint, res smallint) returns text language sql stable as $$
  select 'it needs ' || u.name || ', which ' || case res when 2 then 'failed' when 3 then 'was skipped' when 4 then 'ended with an exception' when 6 then 'was cancelled' else 'ended badly' end || ' (r' || need || ')'
    from build_request q join builder u on u.id = q.builder where q.id = need $$;

-- As in step 5, with what the builders need: [{name, tags, priority, needs: [{name | request, soft}], needed, fresh}], each behind what it needs; or {builders: such a list, fail_fast, next, patch: hash}.
create or replace function buildset_add(p bigint, repo text, br text, rev text, sched text, why text, chg bigint[], props jsonb, by_whom text, conf bigint, pipe bigint, rerun bigint, builders jsonb,
                             out id bigint, out requests bigint[]) language plpgsql as $$
declare stamp bigint; h text; u jsonb; ub bigint; r bigint; newest bigint := (select max(z) from unnest(chg) z); by_name jsonb := '{}'; n int; bad bigint[] := '{}'; project_name text; what jsonb := builders;
begin
  if jsonb_typeof(what) = 'object' then builders := what->'builders'; else what := '{}'; end if;
  h := encode(sha256(convert_to((jsonb_build_array(p, '', repo, br, rev) || case when what ? 'patch' then jsonb_build_array(what->'patch') else '[]' end)::text, 'UTF8')), 'hex');
  insert into sourcestamp (hash, project, repository, branch, revision, patch) values (h, p, repo, br, rev, what->>'patch') on conflict (hash) do nothing;
  select s.id into stamp from sourcestamp s where s.hash = h;
  if jsonb_path_exists(builders, '$[*].needed') then
    select x.todo, x.had into builders, by_name from builders_to_build(p, repo, rev, what->>'patch', pipe, props, builders) x;
  end if;
  insert into buildset (sourcestamp, config, pipeline, scheduler, reason, changes, properties, who, rerun_of, open, fail_fast, next)
    values (stamp, conf, pipe, sched, why, chg, props, by_whom, rerun, jsonb_array_length(builders), coalesce((what->>'fail_fast')::boolean, false), what->'next') returning buildset.id into id;
  select y.name into project_name from project y where y.id = p;
  for u in select * from jsonb_array_elements(builders) loop
    select x.id into ub from builder x where x.project = p and x.name = u->>'name';
    if ub is null then
      insert into builder (project, name) values (p, u->>'name') on conflict (project, name) do update set name = excluded.name returning builder.id into ub;
    end if;
    insert into build_request (buildset, project, builder, tags, priority) values (id, p, ub, array(select jsonb_array_elements_text(u->'tags')), coalesce((u->>'priority')::int, 50))
      returning build_request.id into r;
    requests := requests || r;
    by_name := by_name || jsonb_build_object(u->>'name', r);
    insert into outbox (type, object, body) values ('request.new', 'r' || r, jsonb_build_object('buildset', 's' || id, 'builder', project_name || '/' || (u->>'name')));
    if u ? 'needs' then
      n := request_needs(r, u->'needs', by_name);
      if n is null then
        bad := bad || r;
      elsif n > 0 then
        update build_request q set state = 'waiting', waits = n where q.id = r;
      end if;
    end if;
  end loop;
  foreach r in array bad loop -- what it needs has ended badly before
    perform request_finish(r, 3::smallint, (select need_failed(q.id, q.result) from request_need e join build_request q on q.id = e.needs
      where e.request = r and not e.soft and q.state = 'done' and q.result not in (0, 1) order by q.id limit 1));
  end loop;
  if sched is not null and rerun is null then
    update verdict v set verdict = 'builds', rule = null, until = null, at = now(), buildset = buildset_add.id, why = case when v.change = newest then v.why else 'superseded by c' || newest end
      where v.change = any(chg) and v.scheduler = sched and v.verdict <> 'no' and v.buildset is null;
  end if;
end $$;

-- Whoever waits for one of these, over however many others.
create function requests_waiting_for(r bigint[]) returns setof bigint language sql stable as $$
  with recursive d(id) as (select n.request from request_need n where n.needs = any(r) union select n.request from d join request_need n on n.needs = d.id)
    select d.id from d join build_request q on q.id = d.id where q.state = 'waiting' $$;

-- r is over: who waits for it goes on, or ends too. What is cancelled takes along what needs it; what failed, or was left out, leaves it out.
create function request_over(r bigint, res smallint) returns void language plpgsql as $$
declare d record; st text;
begin
  for d in select n.request, n.soft from request_need n join build_request q on q.id = n.request where n.needs = r and q.state = 'waiting' order by n.request loop
    if d.soft or res in (0, 1) then
      update build_request q set waits = q.waits - 1, state = case when q.waits = 1 then 'pending' else q.state end where q.id = d.request and q.state = 'waiting' returning q.state into st;
      if st = 'pending' then
        insert into outbox (type, object, body) values ('request.ready', 'r' || d.request, '{}');
      end if;
    else
      perform request_finish(d.request, case res when 6 then 6 else 3 end::smallint, need_failed(r, res));
    end if;
  end loop;
end $$;

-- The buildset has ended well: the schedulers that follow.
create function buildset_next(s bigint) returns void language plpgsql as $$
declare b record; e jsonb; x scheduler%rowtype; n bigint; w text;
begin
  select y.*, z.project, z.repository, z.branch, z.revision into b from buildset y join sourcestamp z on z.id = y.sourcestamp where y.id = s;
  for e in select l.e from jsonb_array_elements(b.next) with ordinality as l(e, i) order by l.i loop
    select y.* into x from scheduler y where y.project = b.project and y.name = e->>'scheduler' for share;
    w := 's' || s || coalesce(' of ' || b.scheduler, '') || ' ended well';
    if x.disabled_at is not null then
      perform scheduler_note(x.id, null, 'passed', w || ', but it is ' || disabled_text(x.disabled_by, x.disabled_why), null);
      continue;
    end if;
    select y.id into n from buildset_add(b.project, b.repository, b.branch, b.revision, e->>'scheduler', 'scheduler ' || (e->>'scheduler') || ': ' || w, b.changes, b.properties, null, b.config, b.pipeline, null, e->'builders') y;
    if x.id is not null then
      perform scheduler_note(x.id, null, 'built', w, n);
    end if;
  end loop;
end $$;

-- As in step 1, and whoever waits for it is told. Rows of requests before that of the buildset, in the order of ids: several ends of one buildset don't block each other.
create or replace function request_finish(r bigint, res smallint, reason text) returns void language plpgsql as $$
declare s bigint; st text; w smallint; followed boolean; goes_on boolean;
begin
  update build_request set state = 'done', result = res, why = reason, finished = now() where id = r and state <> 'done' returning buildset into s;
  if not found then return; end if;
  followed := exists (select from request_need n where n.needs = r);
  if followed then
    perform from build_request q where q.id in (select requests_waiting_for(array[r])) order by q.id for update;
  end if;
  update buildset set open = open - 1, worst = case when worst is null or severity(res) > severity(worst) then res else worst end,
      state = case when open = 1 then 'done' else state end, finished = case when open = 1 then now() end,
      stop_for = case when fail_fast and stop_for is null and res in (2, 4) then r else stop_for end
    where id = s returning state, worst, next is not null into st, w, goes_on;
  if st = 'done' then
    update buildset set result = worst where id = s;
    insert into outbox (type, object, body) values
      ('request.done', 'r' || r, jsonb_build_object('result', res, 'buildset', 's' || s)),
      ('buildset.done', 's' || s, jsonb_build_object('result', w));
    if goes_on and w in (0, 1) then
      perform buildset_next(s);
    end if;
  else
    insert into outbox (type, object, body) values ('request.done', 'r' || r, jsonb_build_object('result', res, 'buildset', 's' || s));
  end if;
  if followed then
    perform request_over(r, res);
  end if;
end $$;

-- Cancelled: requests are over at once, builds when their workers say so. Rows of builds, then of requests, in the order of ids; then the last first, so that each ends for this reason
-- and not for want of what it needs. Each with its state before, and the build that is to end.
create function requests_cancel(todo bigint[], reason text, out request bigint, out was text, out build bigint) returns setof record language plpgsql as $$
begin
  perform from build z where z.request = any(todo) and z.state <> 'done' order by z.id for no key update;
  perform from build_request q where q.id = any(todo) or q.id in (select requests_waiting_for(todo)) order by q.id for update;
  for request, was in select q.id, q.state from build_request q where q.id = any(todo) order by q.id desc loop
    update build z set state = 'cancelling', why = reason where z.request = requests_cancel.request and z.state = 'running' returning z.id into build;
    if found then
      insert into outbox (type, object, body) values ('build.cancelling', 'r' || request, jsonb_build_object('build', build));
    end if;
    perform request_finish(request, 6::smallint, reason);
    return next;
  end loop;
end $$;

-- Those of which one has ended badly that was to end all: their requests, as requests_cancel tells.
create function buildsets_stop(out request bigint, out was text, out build bigint) returns setof record language sql as $$
  select x.request, x.was, x.build from buildset b join build_request q on q.id = b.stop_for join builder u on u.id = q.builder
    cross join lateral requests_cancel(array(select r.id from build_request r where r.buildset = b.id and r.state <> 'done'), u.name || ' ended badly (r' || q.id || '), and the first that does ends all (fail_fast)') x
    where b.stop_for is not null and b.state = 'open' $$;

-- As in step 5, by requests_cancel.
create or replace function supersede(sched text, c bigint) returns void language plpgsql as $$
declare x change%rowtype; todo bigint[];
begin
  select z.* into x from change z where z.id = c;
  todo := array(select q.id from buildset s join build_request q on q.buildset = s.id join change o on o.id = (select max(z) from unnest(s.changes) z)
    where s.scheduler = sched and s.state = 'open' and s.rerun_of is null and q.state <> 'done' and o.id < c and change_follows(x, o) order by q.id);
  perform requests_cancel(todo, 'superseded by c' || c);
end $$;

-- Once more what was asked for as r and, unless alone, what needs it there: builders for buildset_add. What these need besides is taken as it is.
create function builders_again(r bigint, alone boolean) returns jsonb language sql stable as $$
  with recursive s(id) as (select r union select n.request from s join request_need n on n.needs = s.id join build_request q on q.id = n.request
      where not alone and q.buildset = (select x.buildset from build_request x where x.id = r))
    select jsonb_agg(jsonb_build_object('name', u.name, 'tags', to_jsonb(q.tags), 'priority', q.priority, 'needs',
        (select coalesce(jsonb_agg(jsonb_build_object('soft', n.soft) || case when n.needs in (select s.id from s) then jsonb_build_object('name', v.name) else jsonb_build_object('request', n.needs) end), '[]')
          from request_need n join build_request x on x.id = n.needs join builder v on v.id = x.builder where n.request = q.id)) order by q.id)
      from s join build_request q on q.id = s.id join builder u on u.id = q.builder $$;
