-- Schema, step 39: requests that wait are collapsed into a newer change's (`collapse` of a scheduler): one build stands for several requests, each of which ends as it does.

-- Of a request that waits for another one's end, and ends as that does; since when. It is in state `waiting` till then, and has no builds of its own.
alter table build_request add column collapsed_into bigint, add column collapsed_at timestamptz,
  add column place bigint; -- in the queue, of equal priority: that of the oldest that it stands for; null: its id
create index build_request_collapsed on build_request (collapsed_into) where collapsed_into is not null;
drop index build_request_pending, build_request_of_project, build_request_with_locks;
create index build_request_pending on build_request (priority desc, coalesce(place, id)) where state = 'pending';
create index build_request_of_project on build_request (project, priority desc, coalesce(place, id)) where state = 'pending';
create index build_request_with_locks on build_request (priority desc, coalesce(place, id)) where state = 'pending' and locks is not null;

-- Which stamps go with a buildset's: two of which only revisions differ may be put together.
create function stamps_kind(b buildset) returns jsonb language sql stable as $$
  select coalesce((select jsonb_agg(jsonb_build_array(y.codebase, s.repository, s.branch) order by y.codebase) from stamp_set_stamp y join sourcestamp s on s.id = y.sourcestamp where y.stamp_set = b.stamp_set),
    (select jsonb_build_array(s.repository, s.branch) from sourcestamp s where s.id = b.sourcestamp)) $$;

-- Nodes of a graph stay as they are: what needs them wants them at this revision.
create function request_alone(r bigint) returns boolean language sql stable as $$
  select not exists (select from request_need n where n.request = r or n.needs = r) and not exists (select from request_ask a where a.request = r) $$;

-- What the scheduler made for change c stands from now on for what it made for older ones of the branch and that has not begun, most requests for each build. Rows that others have locked are left out: they are about to be
-- claimed or cancelled. So nobody waits here, and ids need no order. Whoever a request stood for it takes along: nobody ever follows one that follows.
create function collapse(sched text, c bigint, most int) returns void language plpgsql as $$
declare x change%rowtype; n record; o record; held int; them bigint[];
begin
  select z.* into x from change z where z.id = c;
  for n in select r.id, r.builder, b as set from verdict v join buildset b on b.id = v.buildset join sourcestamp s on s.id = b.sourcestamp join build_request r on r.buildset = b.id
      where v.change = c and v.scheduler = sched and b.rerun_of is null and s.patch is null and r.state = 'pending' and r.attempts = 0 and request_alone(r.id) order by r.id loop
    held := 1;
    for o in select q.id, q.priority, coalesce(q.place, q.id) as place from build_request q join buildset b on b.id = q.buildset join sourcestamp s on s.id = b.sourcestamp join change k on k.id = (select max(z) from unnest(b.changes) z)
        where q.builder = n.builder and q.state = 'pending' and q.attempts = 0 and q.id < n.id and b.scheduler = sched and b.rerun_of is null and b.parent_build is null and s.patch is null
          and b.properties = (n.set).properties and change_follows(x, k) and k.id < c and stamps_kind(b) = stamps_kind(n.set) and request_alone(q.id)
        order by q.id desc for update of q skip locked loop
      them := array(select z.id from build_request z where z.collapsed_into = o.id and z.state = 'waiting' for update skip locked);
      continue when cardinality(them) < (select count(*) from build_request z where z.collapsed_into = o.id and z.state = 'waiting');
      exit when held + 1 + cardinality(them) > most;
      held := held + 1 + cardinality(them);
      them := them || o.id;
      update build_request q set state = 'waiting', collapsed_into = n.id, collapsed_at = coalesce(q.collapsed_at, now()) where q.id = any(them);
      update build_request q set place = least(coalesce(q.place, q.id), o.place), priority = greatest(q.priority, o.priority) where q.id = n.id;
      insert into outbox (type, object, body) select 'request.collapsed', 'r' || y, jsonb_build_object('into', 'r' || n.id) from unnest(them) y order by y;
    end loop;
  end loop;
end $$;

-- As in step 8, and whoever was collapsed into it ends as it does. What follows the buildset of one that was is made for the newer change, which has been built.
create or replace function request_finish(r bigint, res smallint, reason text) returns void language plpgsql as $$
declare s bigint; st text; w smallint; followed boolean; goes_on boolean; them bigint[];
begin
  them := array(select q.id from build_request q where q.collapsed_into = r and q.state <> 'done' order by q.id for update); -- before r itself: ids in order
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
    if goes_on and w in (0, 1) and not exists (select from build_request q where q.buildset = s and q.collapsed_into is not null) then -- the newer change's goes on
      perform buildset_next(s);
    end if;
  else
    insert into outbox (type, object, body) values ('request.done', 'r' || r, jsonb_build_object('result', res, 'buildset', 's' || s));
  end if;
  if followed then
    perform request_over(r, res);
  end if;
  for s in select unnest(them) loop
    perform request_finish(s, res, 'as r' || r || ', into which it was collapsed' || coalesce(': ' || reason, ''));
  end loop;
end $$;

-- As in step 19, and those that were collapsed into them.
create or replace function requests_cancel(todo bigint[], reason text, out request bigint, out was text, out build bigint) returns setof record language plpgsql as $$
declare own bigint[] := todo; more bigint[];
begin
  loop -- a build that is about to trigger holds its row: what it asked for is seen after that
    perform from build z where z.request = any(todo) and z.state <> 'done' order by z.id for no key update;
    more := array(select x from requests_triggered(own) x where x <> all(todo) order by x);
    exit when more = '{}';
    todo := todo || more;
  end loop;
  perform from build_request q where q.id = any(todo) or q.collapsed_into = any(todo) or q.id in (select requests_waiting_for(todo)) order by q.id for update;
  for request, was in select q.id, q.state from build_request q where q.id = any(todo) order by q.id desc loop
    update build z set state = 'cancelling', why = reason where z.request = requests_cancel.request and z.state = 'running' returning z.id into build;
    if found then
      insert into outbox (type, object, body) values ('build.cancelling', 'r' || request, jsonb_build_object('build', build));
    end if;
    perform request_finish(request, 6::smallint, reason);
    return next;
  end loop;
end $$;

-- As requests_cancel, but that nothing is done where others than these would go with them, unless that is said: then one row without a request that names them.
create function requests_cancel_asked(todo bigint[], reason text, with_others boolean, out request bigint, out was text, out build bigint, out others text) returns setof record language plpgsql as $$
begin
  perform from build z where z.request = any(todo) and z.state <> 'done' order by z.id for no key update; -- builds before requests, as there
  perform from build_request q where q.id = any(todo) or q.collapsed_into = any(todo) order by q.id for update;
  if not with_others then
    select string_agg('r' || q.id || coalesce(' (c' || (select max(z) from unnest(b.changes) z) || ')', ''), ', ' order by q.id) into others
      from build_request q join buildset b on b.id = q.buildset where q.collapsed_into = any(todo) and q.state <> 'done' and q.id <> all(todo);
    if others is not null then
      return next;
      return;
    end if;
  end if;
  return query select x.request, x.was, x.build, null::text from requests_cancel(todo, reason) x;
end $$;

-- As in step 35, with the rows of those that were collapsed into it.
create or replace function nodes_add(b bigint) returns text language plpgsql as $$
declare q build_request%rowtype; s record; k record; names text[]; by_name jsonb; todo jsonb; had jsonb; twice text; mine text;
begin
  select r.* into q from build d join build_request r on r.id = d.request where d.id = b;
  perform from build_request z where z.id = q.id or z.collapsed_into = q.id or (z.buildset = q.buildset and z.state <> 'done') or z.id in (select requests_waiting_for(array[q.id])) order by z.id for update;
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

-- As in step 23: what was collapsed was not built at its own revision.
create or replace function request_good(p bigint, builder text, repo text, br text, rev text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  select max(r.id) from sourcestamp s join buildset b on b.sourcestamp = s.id join build_request r on r.buildset = b.id join builder u on u.id = r.builder
    where rev <> '' and s.project = p and s.revision = rev and s.repository = repo and (s.branch = br or not revision_wants_branch(rev)) and s.patch is not distinct from pat and b.pipeline = pipe and b.properties = props and u.name = request_good.builder and r.state = 'done' and r.result in (0, 1) and r.collapsed_into is null $$;
create or replace function request_good_set(p bigint, builder text, list jsonb, of jsonb, cb text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  with want as (select e->>'codebase' as codebase, e->>'repository' as repository, e->>'revision' as revision, e->>'branch' as branch, case when e->>'codebase' = cb then pat end as patch
      from jsonb_array_elements(list) e where of is null or of ? (e->>'codebase') or of ? '' and e->>'codebase' = (select y.main from project y where y.id = p)),
    sets as (select x.stamp_set from want w join sourcestamp s on s.project = p and s.revision = w.revision and s.codebase = w.codebase and s.repository = w.repository and (s.branch = w.branch or not revision_wants_branch(w.revision)) and s.patch is not distinct from w.patch
      join stamp_set_stamp x on x.sourcestamp = s.id and x.codebase = w.codebase group by x.stamp_set
      having count(*) = (select count(*) from want) and (of is not null or count(*) = (select count(*) from stamp_set_stamp y where y.stamp_set = x.stamp_set)))
    select max(r.id) from sets z join buildset b on b.stamp_set = z.stamp_set join build_request r on r.buildset = b.id join builder u on u.id = r.builder
      where b.pipeline = pipe and b.properties = props and u.name = request_good_set.builder and r.state = 'done' and r.result in (0, 1) and r.collapsed_into is null $$;
-- As in step 27, and likewise.
create or replace function stamps_over() returns trigger language plpgsql as $$
begin
  if exists (select from build_request r where r.buildset = new.id and r.collapsed_into is not null) then return null; end if;
  insert into stamps_last as l (project, codebase, branch, good, buildset)
    select s.project, s.codebase, s.branch, g.good, new.id
      from stamp_set_stamp x join sourcestamp s on s.id = x.sourcestamp cross join (values (false), (true)) g(good)
      where x.stamp_set = new.stamp_set and s.branch <> '' and (new.result in (0, 1) or not g.good)
        and not exists (select from change c where c.id = any(new.changes) and c.kind <> 'branch')
      order by s.codebase, g.good -- several ends lock in one order
    on conflict (project, codebase, branch, good) do update set buildset = excluded.buildset where l.buildset < excluded.buildset;
  return null;
end $$;

-- As in step 31, and with `collapse` older requests that wait are put together with the newer ones.
create or replace function change_decide_plan(c bigint, st text, err text, pipe bigint, conf bigint, plan jsonb) returns boolean language plpgsql as $$
declare x change%rowtype; s jsonb; n int; v text; w text; ru text; due timestamptz; quiet interval; waiting bigint[]; newer bigint; saw text;
begin
  if jsonb_path_exists(plan, '$[*] ? (exists(@.supersede) || exists(@.collapse))') then -- before any row: others lock in this order too
    perform change_lock(z) from change z where z.id = c;
  end if;
  update change z set state = st, error = err, pipeline = pipe where z.id = c and z.state = 'reading' returning z.* into x;
  if not found then return false; end if;
  saw := ' saw c' || c || case x.kind when 'tag' then ' (tag ' || x.branch || ')' when 'pull_request' then ' (pull request ' || x.number || ')' else '' end;
  for s, n in select e, l.n from jsonb_array_elements(plan) with ordinality as l(e, n) order by l.n loop
    v := s->>'verdict'; w := s->>'why'; ru := s->>'rule'; due := null; waiting := '{}';
    quiet := (s->>'stable')::bigint * interval '1 millisecond';
    if v <> 'no' and s->'supersede' = 'true' then
      newer := superseded_by(s->>'scheduler', x);
      if newer is not null then
        v := 'no'; ru := 'supersede'; w := 'superseded by c' || newer;
      end if;
    end if;
    if v = 'waits' then
      insert into scheduler_state as y (project, name, branch, due_at, changes) values (x.project, s->>'scheduler', coalesce(x.line, x.branch), now() + quiet, array[c])
        on conflict (project, name, branch) do update set due_at = excluded.due_at, changes = y.changes || excluded.changes returning y.due_at, y.changes into due, waiting;
    elsif s->'rides' = 'true' then
      update scheduler_state y set due_at = now() + quiet, changes = y.changes || c where y.project = x.project and y.name = s->>'scheduler' and y.branch = coalesce(x.line, x.branch) and y.due_at is not null
        and y.changes <> '{}' returning y.due_at, y.changes into due, waiting;
      if due is not null then
        v := 'waits'; ru := null;
        w := 'in the quiet time of c' || waiting[array_length(waiting, 1) - 1] || ': ' || w;
      end if;
    end if;
    insert into verdict (change, number, project, scheduler, verdict, rule, why, until) values (c, n, x.project, s->>'scheduler', v, ru, w, due);
    if v = 'waits' then
      update verdict z set until = due where z.change = any(waiting) and z.scheduler = s->>'scheduler' and z.verdict = 'waits';
    elsif v = 'builds' then
      perform buildset_add(x.project, x.repository, case x.kind when 'branch' then x.branch else '' end, x.revision, s->>'scheduler', 'scheduler ' || (s->>'scheduler') || saw, array[c], '{}', null,
        conf, pipe, null, s->'builders');
      if s->'supersede' = 'true' then perform supersede(s->>'scheduler', c); end if;
      if s ? 'collapse' then perform collapse(s->>'scheduler', c, (s->>'collapse')::int); end if;
    end if;
  end loop;
  insert into outbox (type, object, body) values ('change.' || st, 'c' || c, jsonb_build_object('error', err));
  return true;
end $$;
