-- Schema, step 35: builders that builds report (DROVER_REPORT, nodes.yml). They join the buildset of the build that reported them, and are no builders of the pipeline.

-- base: what was reported, by builds of `reporter`, on top of a pipeline; body is the nodes.yml then, and the whole is what base has and this.
alter table pipeline add column base bigint references pipeline, add column reporter text;
alter table step add column nodes jsonb;                                      -- what it has reported: {pipeline, builders: as for buildset_add}; null: nothing
alter table build_request
  add column pipeline bigint references pipeline,                             -- where its builder is; null: in that of its buildset
  add column reported_by bigint;                                              -- the build that has reported its builder; null: it is the pipeline's
alter table builder add column reported boolean not null default false;       -- no pipeline has had it

-- Builders that all builds of one buildset may report.
create function nodes_max() returns int language sql immutable as $$ select 500 $$;

-- A builder that is in no pipeline is one of the project's while it is built, and for a week after.
create function builder_listed(u builder) returns boolean language sql stable as $$
  select not u.reported or coalesce((select b.finished is null or b.finished > now() - interval '7 days' from build b where b.builder = u.id order by b.number desc limit 1), false) $$;

-- Requests of the new builders of buildset s, whose `open` counts them already; builders as for buildset_add, with what is reported as {…, pipeline, reported_by}. by_name: {name: request} of what is there.
create function requests_add(s bigint, p bigint, builders jsonb, by_name jsonb) returns bigint[] language plpgsql as $$
declare u jsonb; x record; r bigint; n int; made bigint[] := '{}'; bad bigint[] := '{}'; project_name text := (select y.name from project y where y.id = p);
begin
  for u in select * from jsonb_array_elements(builders) loop
    select y.id, y.reported into x from builder y where y.project = p and y.name = u->>'name';
    if x.id is null then
      insert into builder (project, name, reported) values (p, u->>'name', u ? 'pipeline') on conflict (project, name) do update set name = excluded.name returning builder.id, builder.reported into x;
    end if;
    if x.reported and not u ? 'pipeline' then
      update builder y set reported = false where y.id = x.id;
    end if;
    insert into build_request (buildset, project, builder, tags, wants, priority, locks, pipeline, reported_by)
      values (s, p, x.id, array(select jsonb_array_elements_text(u->'tags')), array(select jsonb_array_elements_text(u->'wants')), coalesce((u->>'priority')::int, 50), nullif(u->'locks', 'null'), (u->>'pipeline')::bigint, (u->>'reported_by')::bigint)
      returning build_request.id into r;
    made := made || r;
    by_name := by_name || jsonb_build_object(u->>'name', r);
    insert into outbox (type, object, body) values ('request.new', 'r' || r, jsonb_build_object('buildset', 's' || s, 'builder', project_name || '/' || (u->>'name')));
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
  return made;
end $$;

-- As in step 27, by requests_add.
create or replace function buildset_add(p bigint, repo text, br text, rev text, sched text, why text, chg bigint[], props jsonb, by_whom text, conf bigint, pipe bigint, rerun bigint, builders jsonb,
                             out id bigint, out requests bigint[]) language plpgsql as $$
declare stamp bigint; newest bigint := (select max(z) from unnest(chg) z); by_name jsonb := '{}'; what jsonb := builders;
  cb text; list jsonb; whole bigint;
begin
  if jsonb_typeof(what) = 'object' then builders := what->'builders'; else what := '{}'; end if;
  if br = '' and newest is not null and vcs_of(p, repo) = 'svn' then -- see above: the folder says which
    br := (select own_branch(c) from change c where c.id = newest);
  end if;
  select y.main into cb from project y where y.id = p;
  if cb <> '' or what ? 'stamps' then
    cb := coalesce(what->>'codebase', (select c.codebase from change c where c.id = newest), cb);
    list := coalesce(what->'stamps', case when newest is not null then stamps_of_changes(chg) else stamps_compose(p, cb, br, br, rev, case when sched is null then 'asked for' else 'tip of ' || br end, '{}') end);
  end if;
  if list is null or list = '[]' then
    stamp := stamp_put(p, '', repo, br, rev, what->>'patch');
    list := null;
  else
    select x.id, x.stamp into whole, stamp from stamp_set_put(p, list, cb, what->>'patch') x;
    if stamp is null then -- it was never seen, and nobody says where it is: the first of the others stands for it
      stamp := (select y.sourcestamp from stamp_set_stamp y where y.stamp_set = whole order by y.codebase limit 1);
    end if;
  end if;
  if jsonb_path_exists(builders, '$[*].needed') then
    select x.todo, x.had into builders, by_name from builders_to_build(p, repo, br, rev, what->>'patch', pipe, props, builders, list, cb) x;
  end if;
  insert into buildset (sourcestamp, stamp_set, stamps_why, config, pipeline, scheduler, reason, changes, properties, who, rerun_of, open, fail_fast, next)
    values (stamp, whole, case when list is null then '{}' else (select jsonb_object_agg(e->>'codebase', e->'why') from jsonb_array_elements(list) e) end,
      conf, pipe, sched, why, chg, props, by_whom, rerun, jsonb_array_length(builders), coalesce((what->>'fail_fast')::boolean, false), what->'next') returning buildset.id into id;
  requests := requests_add(id, p, builders, by_name);
  if sched is not null and rerun is null then
    update verdict v set verdict = 'builds', rule = null, until = null, at = now(), buildset = buildset_add.id, why = case when v.change = newest then v.why else 'superseded by c' || newest end
      where v.change = any(chg) and v.scheduler = sched and v.verdict <> 'no' and v.buildset is null;
  end if;
end $$;

-- What the step n of build b has reported, of the builder `by`: a text on top of the build's pipeline with what its steps before have reported, and its builders, {reported} those of any such text.
create function step_nodes(b bigint, n int, by text, content bytea, builders jsonb) returns void language plpgsql as $$
declare under bigint; p bigint;
begin
  select coalesce((select (k.nodes->>'pipeline')::bigint from step k where k.build = b and k.nodes is not null order by k.number desc limit 1), r.pipeline, s.pipeline) into under
    from build d join build_request r on r.id = d.request join buildset s on s.id = r.buildset where d.id = b;
  insert into pipeline (hash, body, base, reporter) values (encode(sha256(convert_to('nodes ' || under || ' ' || by || ' ', 'UTF8') || content), 'hex'), content, under, by)
    on conflict (hash) do update set hash = excluded.hash returning id into p;
  update step k set nodes = jsonb_build_object('pipeline', p, 'builders', builders),
      report = coalesce(k.report, '{}') || jsonb_build_object('nodes', (select jsonb_agg(e->'name' order by i) from jsonb_array_elements(builders) with ordinality as l(e, i) where not e ? 'needed'))
    where k.build = b and k.number = n;
end $$;

-- Build b is about to end well, and its request is not over: what its steps have reported is added to the buildset, behind it, with what that needs of the pipeline and is not there. Returns why it can't be, and nothing is
-- done; null: it is done, or there is no use for it any more. Rows of requests in the order of ids, then that of the buildset, as in request_finish. Whoever ends a whole buildset has the rows of its builds before it looks
-- which requests there are (requests_open), and whoever is to stop one has its row: so nothing is added behind their backs.
create function nodes_add(b bigint) returns text language plpgsql as $$
declare q build_request%rowtype; s record; k record; names text[]; by_name jsonb; todo jsonb; had jsonb; twice text; mine text;
begin
  select r.* into q from build d join build_request r on r.id = d.request where d.id = b;
  perform from build_request z where z.id = q.id or (z.buildset = q.buildset and z.state <> 'done') or z.id in (select requests_waiting_for(array[q.id])) order by z.id for update;
  select y.*, z.project, z.repository, z.branch, z.revision, z.patch, z.codebase into s from buildset y join sourcestamp z on z.id = y.sourcestamp where y.id = q.buildset for no key update of y;
  select r.* into q from build_request r where r.id = q.id;
  if q.state <> 'claimed' or s.stop_for is not null then return null; end if;
  select jsonb_object_agg(u.name, r.id) into by_name from build_request r join builder u on u.id = r.builder where r.buildset = s.id;
  names := array(select e->>'name' from step t cross join jsonb_array_elements(t.nodes->'builders') e where t.build = b and not e ? 'needed');
  select n into twice from unnest(names) n where by_name ? n limit 1;
  if twice is not null then
    select ' by ' || p.name || '/' || u.name || '/' || z.number into mine from build_request r join build z on z.id = r.reported_by join builder u on u.id = z.builder join project p on p.id = u.project where r.id = (by_name->>twice)::bigint;
    return 'it reports a builder "' || twice || '", which was reported' || coalesce(mine, '') || ' before; names of builders are for one report each';
  end if;
  if cardinality(names) + (select count(*) from build_request r where r.buildset = s.id and r.reported_by is not null) > nodes_max() then
    return 'it reports ' || cardinality(names) || ' builders, and with these the buildset would have more than ' || nodes_max() || ' that were reported';
  end if;
  for k in select t.nodes from step t where t.build = b and t.nodes is not null order by t.number loop
    select x.todo, x.had into todo, had from builders_to_build(s.project, s.repository, s.branch, s.revision, s.patch, s.pipeline, s.properties,
      (select jsonb_agg(e order by i) from jsonb_array_elements(k.nodes->'builders') with ordinality as l(e, i) where not by_name ? (e->>'name')), stamps_of_buildset(s.id), s.codebase) x;
    select jsonb_agg(e || jsonb_build_object('priority', q.priority) || case when e ? 'reported' then jsonb_build_object('pipeline', k.nodes->'pipeline', 'reported_by', b) else '{}' end order by i) into todo
      from jsonb_array_elements(todo) with ordinality as l(e, i);
    update buildset y set open = y.open + jsonb_array_length(todo) where y.id = s.id;
    perform requests_add(s.id, s.project, todo, by_name || had);
    select jsonb_object_agg(u.name, r.id) into by_name from build_request r join builder u on u.id = r.builder where r.buildset = s.id;
  end loop;
  return null;
end $$;

-- As in step 21; what it has reported is added to its buildset, where it ends well. Where that can't be it is an exception: a buildset that ends well without it would say of what was never built that it is good.
create or replace function build_finish(b bigint, res smallint, reason text, again boolean, request_res smallint, name text) returns void language plpgsql as $$
declare r bigint; a int; left_over bigint[]; refused text;
begin
  if request_res in (0, 1) and not again and exists (select from step t where t.build = b and t.nodes is not null) and exists (select from build z where z.id = b and z.state <> 'done') then
    refused := nodes_add(b);
    if refused is not null then
      res := 4; request_res := 4; reason := refused;
    end if;
  end if;
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

-- Requests of these buildsets that are not over. A build that ends may be about to add some (nodes_add): it holds its row.
create function requests_open(sets bigint[]) returns bigint[] language plpgsql as $$
begin
  perform from build z where z.state <> 'done' and z.request in (select q.id from build_request q where q.buildset = any(sets)) order by z.id for no key update;
  return array(select q.id from build_request q where q.buildset = any(sets) and q.state <> 'done' order by q.id);
end $$;

-- As in step 10, by requests_open.
create or replace function supersede(sched text, c bigint) returns void language plpgsql as $$
declare x change%rowtype; todo bigint[]; waited bigint[]; w text := 'superseded by c' || c;
begin
  select z.* into x from change z where z.id = c;
  todo := requests_open(array(select s.id from buildset s join change o on o.id = (select max(z) from unnest(s.changes) z)
    where s.scheduler = sched and s.state = 'open' and s.rerun_of is null and o.id < c and change_follows(x, o) order by s.id));
  waited := array(select o.id from scheduler_state y cross join unnest(y.changes) z join change o on o.id = z where y.project = x.project and y.name = sched and o.id < c and change_follows(x, o));
  if waited <> '{}' then
    update scheduler_state y set changes = array(select z from unnest(y.changes) z where z <> all(waited)), due_at = case when y.changes <@ waited then null else y.due_at end
      where y.project = x.project and y.name = sched and y.changes && waited;
    update verdict v set verdict = 'no', rule = 'supersede', until = null, at = now(), why = w where v.change = any(waited) and v.scheduler = sched and v.verdict = 'waits';
  end if;
  perform requests_cancel(todo, w);
end $$;

-- As in step 8, by requests_open.
create or replace function buildsets_stop(out request bigint, out was text, out build bigint) returns setof record language sql as $$
  select x.request, x.was, x.build from buildset b join build_request q on q.id = b.stop_for join builder u on u.id = q.builder
    cross join lateral requests_cancel(requests_open(array[b.id]), u.name || ' ended badly (r' || q.id || '), and the first that does ends all (fail_fast)') x
    where b.stop_for is not null and b.state = 'open' $$;

-- As in step 22. What was reported goes as it was, with who reported it; but where who reported it is built again too, that one reports anew.
create or replace function builders_again(r bigint, alone boolean) returns jsonb language sql stable as $$
  with recursive f(id) as (select r union select n.request from f join request_need n on n.needs = f.id join build_request q on q.id = n.request
      where not alone and q.buildset = (select x.buildset from build_request x where x.id = r)),
    s(id) as (select f.id from f join build_request q on q.id = f.id where f.id = r or not exists (select from build z where z.id = q.reported_by and z.request in (select f.id from f)))
    select jsonb_agg(jsonb_build_object('name', u.name, 'tags', to_jsonb(q.tags), 'wants', to_jsonb(q.wants), 'priority', q.priority, 'locks', q.locks, 'needs',
        (select coalesce(jsonb_agg(jsonb_build_object('soft', n.soft) || case when n.needs in (select s.id from s) then jsonb_build_object('name', v.name)
            when v.project <> u.project and x.state = 'done' and x.result not in (0, 1) then jsonb_build_object('name', p.name || '/' || v.name, 'outside', true) else jsonb_build_object('request', n.needs) end), '[]')
          from request_need n join build_request x on x.id = n.needs join builder v on v.id = x.builder join project p on p.id = v.project where n.request = q.id)
        || (select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'outside', true, 'soft', a.soft)), '[]') from request_ask a where a.request = q.id)) || case when q.reported_by is not null then jsonb_build_object('pipeline', q.pipeline, 'reported_by', q.reported_by) else '{}' end order by q.id)
      from s join build_request q on q.id = s.id join builder u on u.id = q.builder $$;

-- As in step 30; what was reported was led to by who reported it.
create or replace function build_lineage(b bigint) returns setof bigint language sql stable as $$
  with recursive up(id) as (select z.request from build z where z.id = b
    union select l.id from up join build_request q on q.id = up.id join buildset s on s.id = q.buildset left join build y on y.id = s.parent_build left join build z on z.id = q.reported_by
      cross join lateral (values (coalesce(y.request, s.asked_for)), (z.request)) l(id) where l.id is not null)
    select up.id from up $$;

-- A builder of the sets (as of step_trigger) that has led to build b, where something that was reported is on the way: of what builds report no pipeline can say before that it runs in a ring. null: none.
create function trigger_ring(b bigint, sets jsonb) returns text language sql stable as $$
  with l as (select q.reported_by, u.name, u.project from build_lineage(b) i join build_request q on q.id = i join builder u on u.id = q.builder)
    select l.name from l where exists (select from l where reported_by is not null) and l.project = (select u.project from build z join builder u on u.id = z.builder where z.id = b)
      and l.name in (select n #>> '{}' from jsonb_path_query(sets, 'strict $.**.name') n) limit 1 $$;

-- As in step 32, but that builders which were reported lead to no ring.
create or replace function step_trigger(b bigint, n int, what jsonb) returns void language plpgsql as $$
declare x record; t bigint; e jsonb; s bigint; y scheduler%rowtype; at_branch text; at_revision text; off jsonb := '[]'; ring text;
begin
  select r.priority, bs.id as buildset, bs.config, bs.pipeline, bs.changes, z.project, z.codebase, z.repository, z.branch, z.revision, z.patch, nullif(d.properties->>'got_revision', '') as got,
      p.name || '/' || u.name || '/' || d.number as name into x
    from build d join build_request r on r.id = d.request join buildset bs on bs.id = r.buildset join sourcestamp z on z.id = bs.sourcestamp join builder u on u.id = d.builder join project p on p.id = u.project
    where d.id = b;
  select k.id into t from step k where k.build = b and k.number = n;
  ring := trigger_ring(b, what->'sets');
  if ring is not null then
    insert into trigger_ask (step, number, build, project, builders, properties, reason, waited, unimportant)
      select t, 0, b, o.name, array[ring], '{}', what->>'reason', coalesce((what->>'wait')::boolean, false), false from project o where o.id = x.project;
    perform trigger_refuse(t, 0, ring || ' would trigger itself, for ever: over builders that were reported it has led here');
    return;
  end if;
  at_branch := case when what ? 'revision' and not revision_wants_branch(what->>'revision') then '' else x.branch end;
  at_revision := coalesce(what->>'revision', x.got, x.revision);
  for e in select l.e from jsonb_array_elements(what->'sets') with ordinality as l(e, i) order by l.i loop
    y := null;
    if e ? 'scheduler' then
      select k.* into y from scheduler k where k.project = x.project and k.name = e->>'scheduler' for share;
    end if;
    if y.disabled_at is not null then
      perform scheduler_note(y.id, null, 'passed', x.name || ' asks, but it is ' || disabled_text(y.disabled_by, y.disabled_why), null);
      off := off || jsonb_build_array(y.name);
      continue;
    end if;
    select k.id into s from buildset_add(x.project, x.repository, at_branch, at_revision, e->>'scheduler', what->>'reason', case when what ? 'revision' or what->'stamps' ? x.codebase then '{}' else x.changes end,
      coalesce(e->'properties', '{}'), null, x.config, x.pipeline, null, triggered_builders(case when what ? 'stamps' then with_stamps_by(x.buildset, e->'builders', what->'stamps') else with_stamps_at(x.buildset, e->'builders', what->>'revision') end, x.priority, case when not what ? 'revision' then x.patch end)) k;
    update buildset set parent_build = b, parent_step = t, waited = coalesce((what->>'wait')::boolean, false),
        unimportant = array(select jsonb_array_elements_text(coalesce(e->'unimportant', '[]'))) where id = s;
    if y.id is not null then
      perform scheduler_note(y.id, null, 'built', 'for ' || x.name, s);
    end if;
  end loop;
  if off <> '[]' then
    update step set vars = vars || jsonb_build_object('disabled', off) where id = t;
  end if;
end $$;
