-- Schema, step 10: with `supersede` no older change waits for a quiet time once a newer one was built; what was built of a branch alone is good for nothing later.

-- As in step 8; what older changes wait for in a quiet time goes too (the scheduler has lost its `stable` since).
create or replace function supersede(sched text, c bigint) returns void language plpgsql as $$
declare x change%rowtype; todo bigint[]; waited bigint[]; w text := 'superseded by c' || c;
begin
  select z.* into x from change z where z.id = c;
  todo := array(select q.id from buildset s join build_request q on q.buildset = s.id join change o on o.id = (select max(z) from unnest(s.changes) z)
    where s.scheduler = sched and s.state = 'open' and s.rerun_of is null and q.state <> 'done' and o.id < c and change_follows(x, o) order by q.id);
  waited := array(select o.id from scheduler_state y cross join unnest(y.changes) z join change o on o.id = z where y.project = x.project and y.name = sched and o.id < c and change_follows(x, o));
  if waited <> '{}' then
    update scheduler_state y set changes = array(select z from unnest(y.changes) z where z <> all(waited)), due_at = case when y.changes <@ waited then null else y.due_at end
      where y.project = x.project and y.name = sched and y.changes && waited;
    update verdict v set verdict = 'no', rule = 'supersede', until = null, at = now(), why = w where v.change = any(waited) and v.scheduler = sched and v.verdict = 'waits';
  end if;
  perform requests_cancel(todo, w);
end $$;

-- As in step 5; that a newer change was built counts for one that would wait as well as for one that would be built.
create or replace function change_decide_plan(c bigint, st text, err text, pipe bigint, conf bigint, plan jsonb) returns boolean language plpgsql as $$
declare x change%rowtype; s jsonb; n int; v text; w text; ru text; due timestamptz; quiet interval; waiting bigint[]; newer bigint; saw text;
begin
  if jsonb_path_exists(plan, '$[*].supersede') then -- before any row: others lock in this order too
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
      insert into scheduler_state as y (project, name, branch, due_at, changes) values (x.project, s->>'scheduler', x.branch, now() + quiet, array[c])
        on conflict (project, name, branch) do update set due_at = excluded.due_at, changes = y.changes || excluded.changes returning y.due_at, y.changes into due, waiting;
    elsif s->'rides' = 'true' then
      update scheduler_state y set due_at = now() + quiet, changes = y.changes || c where y.project = x.project and y.name = s->>'scheduler' and y.branch = x.branch and y.due_at is not null
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
    end if;
  end loop;
  insert into outbox (type, object, body) values ('change.' || st, 'c' || c, jsonb_build_object('error', err));
  return true;
end $$;

-- As in step 8; without a revision (the newest of a branch, whatever that was by then) nothing says that it would be the same.
create or replace function request_good(p bigint, builder text, repo text, rev text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  select max(r.id) from sourcestamp s join buildset b on b.sourcestamp = s.id join build_request r on r.buildset = b.id join builder u on u.id = r.builder
    where rev <> '' and s.project = p and s.revision = rev and s.repository = repo and s.patch is not distinct from pat and b.pipeline = pipe and b.properties = props and u.name = request_good.builder and r.state = 'done' and r.result in (0, 1) $$;

