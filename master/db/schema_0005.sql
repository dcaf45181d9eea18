-- Schema, step 5: what a change causes and why not; tags and pull requests are built; priorities; newer changes that supersede older ones.

-- What each scheduler of the change's pipeline says about it, in the pipeline's order. Written by change_decide() with the change's end; `waits` becomes one of the others when the
-- quiet time is over: buildset_add() by the scheduler's name, verdict_dropped() where the scheduler has gone.
create table verdict (
  change bigint not null, number int not null, -- from 1
  project bigint not null, scheduler text not null,
  at timestamptz not null default now(),
  verdict text not null,            -- builds, waits, no
  rule text,                        -- no: the key that said so (branches, tag, kind, forks, skip, if, only, not_only, supersede, gone), or disabled
  why text,                         -- sentence
  until timestamptz,                -- waits: of the quiet time; moves on with each change that comes in it
  buildset bigint,                  -- builds
  primary key (change, scheduler));

create index verdict_of_scheduler on verdict (project, scheduler, change desc);
create index buildset_open on buildset (scheduler) where state = 'open';

-- Tags as last seen by the poller, as branch_head has branches; the first look only notes them.
create table tag_head (
  project bigint not null references project, tag text not null,
  revision text not null, seen timestamptz not null default now(), -- revision: the commit's
  primary key (project, tag));
alter table project add column tags_at timestamptz; -- first look at its tags since they are looked at; null: they are not

-- As in step 1, with a priority for each builder, and the verdicts of those changes that the scheduler is to build.
create or replace function buildset_add(p bigint, repo text, br text, rev text, sched text, why text, chg bigint[], props jsonb, by_whom text, conf bigint, pipe bigint, rerun bigint, builders jsonb,
                             out id bigint, out requests bigint[]) language plpgsql as $$
declare stamp bigint; h text; u jsonb; ub bigint; r bigint; newest bigint := (select max(z) from unnest(chg) z);
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
    insert into build_request (buildset, builder, tags, priority) values (id, ub, array(select jsonb_array_elements_text(u->'tags')), coalesce((u->>'priority')::int, 50))
      returning build_request.id into r;
    requests := requests || r;
    insert into outbox (type, object, body) values ('request.new', 'r' || r, jsonb_build_object('buildset', 's' || id, 'builder', (select name from project where project.id = p) || '/' || (u->>'name')));
  end loop;
  if sched is not null and rerun is null then
    update verdict v set verdict = 'builds', rule = null, until = null, at = now(), buildset = buildset_add.id, why = case when v.change = newest then v.why else 'superseded by c' || newest end
      where v.change = any(chg) and v.scheduler = sched and v.verdict <> 'no' and v.buildset is null;
  end if;
end $$;

-- A scheduler that waited is not in the newest change's pipeline any more: what waited is not built.
create function verdict_dropped(sched text, chg bigint[]) returns void language sql as $$
  update verdict v set verdict = 'no', rule = 'gone', until = null, why = 'the pipeline of c' || (select max(z) from unnest(chg) z) || ' has no such scheduler any more'
    where v.change = any(chg) and v.scheduler = sched and v.verdict = 'waits' $$;

-- As in step 4, but tags and pull requests are read and decided too.
create or replace function change_put(p bigint, k text, br text, num bigint, ext text, repo text, c jsonb, told text, again boolean, may_be_new boolean,
                           out id bigint, out fresh boolean) language plpgsql as $$
declare over boolean; at timestamptz := to_timestamp((c->>'at')::bigint / 1000.0);
begin
  fresh := false;
  select x.id, x.gone into id, over from change x where x.project = p and x.codebase = '' and x.branch = br and x.revision = c->>'revision'
    and x.kind = k and x.number = num and x.external = ext order by x.id desc limit 1;
  if id is not null and not (again and over) then
    update change x set author = case when x.author = '' then coalesce(c->>'author', '') else x.author end, author_at = coalesce(x.author_at, at),
        message = case when x.message = '' then coalesce(c->>'message', '') else x.message end, previous = coalesce(x.previous, c->>'previous'),
        files = case when x.files = '[]' then coalesce(c->'files', '[]') else x.files end, properties = coalesce(c->'properties', '{}') || x.properties,
        revlink = coalesce(x.revlink, c->>'url')
      where x.id = change_put.id and (x.author = '' or x.author_at is null or x.message = '' or x.previous is null or x.files = '[]' or x.revlink is null
        or not x.properties @> coalesce(c->'properties', '{}'));
    return;
  end if;
  if not may_be_new then id := null; return; end if;
  fresh := true;
  insert into change (project, kind, number, external, repository, branch, revision, previous, author, author_at, message, files, properties, revlink, told_by, state, error)
    values (p, k, num, ext, repo, br, c->>'revision', c->>'previous', coalesce(c->>'author', ''), at, coalesce(c->>'message', ''), coalesce(c->'files', '[]'),
      coalesce(c->'properties', '{}'), c->>'url', told, case k when 'comment' then 'decided' else 'reading' end,
      case k when 'comment' then 'comments start nothing yet' end)
    returning change.id into id;
  insert into outbox (type, object, body) values ('change.new', 'c' || id,
    jsonb_build_object('project', (select name from project where project.id = p), 'kind', k, 'branch', br, 'revision', c->>'revision'));
end $$;

-- Whether b's builds are those that a's make needless: the same branch, or the same pull request.
create function change_follows(a change, b change) returns boolean language sql immutable as $$
  select a.project = b.project and a.codebase = b.codebase and a.kind = b.kind and case a.kind when 'branch' then a.branch = b.branch when 'pull_request' then a.number = b.number else false end $$;

-- The newer change that the scheduler has made builds for, or null. The caller holds the lock of the branch or pull request.
create function superseded_by(sched text, x change) returns bigint language sql stable as $$
  select max(o.id) from verdict v join change o on o.id = v.change
    where o.project = x.project and o.id > x.id and v.scheduler = sched and v.buildset is not null and change_follows(o, x) $$;

-- What the scheduler's builds for older changes still do is cancelled: requests are over at once, builds when their workers say so. Rows of builds and requests in id order.
create function supersede(sched text, c bigint) returns void language plpgsql as $$
declare x change%rowtype; todo bigint[]; r bigint; b bigint; w text := 'superseded by c' || c;
begin
  select z.* into x from change z where z.id = c;
  todo := array(select q.id from buildset s join build_request q on q.buildset = s.id join change o on o.id = (select max(z) from unnest(s.changes) z)
    where s.scheduler = sched and s.state = 'open' and s.rerun_of is null and q.state <> 'done' and o.id < c and change_follows(x, o) order by q.id);
  if todo = '{}' then return; end if;
  perform from build z where z.request = any(todo) and z.state <> 'done' order by z.id for no key update;
  perform from build_request z where z.id = any(todo) order by z.id for update;
  foreach r in array todo loop
    update build z set state = 'cancelling', why = w where z.request = r and z.state = 'running' returning z.id into b;
    if found then
      insert into outbox (type, object, body) values ('build.cancelling', 'r' || r, jsonb_build_object('build', b));
    end if;
    perform request_finish(r, 6::smallint, w);
  end loop;
end $$;

create function change_lock(x change) returns void language sql as $$
  select branch_lock(x.project, case x.kind when 'branch' then x.branch else x.kind || '/' || x.number end) $$;

-- A change is decided, once (false: somebody else was first). plan: what its pipeline's schedulers say of it, [{scheduler, verdict, rule, why, stable (ms), rides, builders, supersede}]
-- (schedulers/decide.h). builds: a buildset now. waits: with others, when the branch has been quiet. no, but rides: it waits too where one of the branch's changes does.
create or replace function change_decide(c bigint, st text, err text, pipe bigint, conf bigint, plan jsonb) returns boolean language plpgsql as $$
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
    elsif v = 'builds' and s->'supersede' = 'true' then
      newer := superseded_by(s->>'scheduler', x);
      if newer is not null then
        v := 'no'; ru := 'supersede'; w := 'superseded by c' || newer;
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

-- As in step 4, but each revision has a plan of its own: plan {plans: {revision: plan}, pipeline, config}; without one the change is read first.
create or replace function branch_told(p bigint, repo text, br text, prev text, rev text, commits jsonb, whole boolean, told text, poller boolean, plan jsonb, out how text, out made jsonb) language plpgsql as $$
declare head text; fits boolean; c jsonb; tip boolean; x record;
begin
  perform branch_lock(p, br);
  select h.revision into head from branch_head h where h.project = p and h.branch = br;
  -- Heads begin with the poller's first look: had a hook put one there before it, all other branches would look new to it.
  fits := head is not distinct from prev and (poller or head is not null or exists (select from branch_head h where h.project = p));
  how := case when head is not distinct from rev then 'there' when fits and whole then 'moved' else 'apart' end;
  made := '[]';
  if not (poller and how = 'apart') then
    for c in select e from jsonb_array_elements(commits) with ordinality as l(e, n) order by n loop
      tip := c->>'revision' = rev;
      select y.id, y.fresh into x from change_put(p, 'branch', br, 0, '', repo, c, told, tip and (fits or how = 'there'),
        case when poller then how = 'moved' when tip then true
          else not exists (select from change z where z.project = p and z.revision = c->>'revision' and z.kind = 'branch') end) y;
      if x.fresh and plan->'plans' ? (c->>'revision') then
        perform change_decide(x.id, 'decided', null, (plan->>'pipeline')::bigint, (plan->>'config')::bigint, plan->'plans'->(c->>'revision'));
      end if;
      if x.id is not null then
        made := made || jsonb_build_array(jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', 'branch', 'branch', br, 'revision', c->>'revision'));
      end if;
    end loop;
  end if;
  if how = 'moved' then
    update change z set gone = true where z.id = (select y.id from change y where y.project = p and y.codebase = '' and y.branch = br and y.revision = head and y.kind = 'branch'
      order by y.id desc limit 1);
    if rev is null then
      delete from branch_head h where h.project = p and h.branch = br;
    else
      insert into branch_head (project, branch, revision) values (p, br, rev) on conflict (project, branch) do update set revision = excluded.revision, seen = now();
    end if;
  end if;
end $$;

-- A tag went from prev (null: it is new) to e's revision (null: it was deleted); the same rules as for branches, with one commit. e: as hook_json writes it. Where the poller does
-- not look at tags nobody knows where they are, and what a forge tells is so.
create function tag_told(p bigint, repo text, tg text, prev text, e jsonb, told text, poller boolean, out how text, out made jsonb) language plpgsql as $$
declare head text; rev text := e->>'revision'; looked boolean; x record;
begin
  perform branch_lock(p, 'tag/0/' || tg);
  select z.tags_at is not null into looked from project z where z.id = p;
  select h.revision into head from tag_head h where h.project = p and h.tag = tg;
  how := case when not looked and not poller then 'moved' when head is not distinct from rev then 'there' when head is not distinct from prev then 'moved' else 'apart' end;
  if how = 'moved' then -- at another revision it is another change, also where it was there before
    update change z set gone = true where z.project = p and z.codebase = '' and z.branch = tg and z.kind = 'tag' and not z.gone and z.revision is distinct from rev;
  end if;
  if rev is not null and not (poller and how = 'apart') then
    select y.id, y.fresh into x from change_put(p, 'tag', tg, 0, '', repo, e, told, how <> 'apart', not poller or how = 'moved') y;
    if x.id is not null then
      made := jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', 'tag', 'branch', tg, 'revision', rev);
    end if;
  end if;
  if how <> 'moved' or not looked then
    return;
  elsif rev is null then
    delete from tag_head h where h.project = p and h.tag = tg;
  else
    insert into tag_head as h (project, tag, revision) values (p, tg, rev) on conflict (project, tag) do update set revision = excluded.revision, seen = now();
  end if;
end $$;

-- The first look at a project's tags: they are noted. tags: [{tag, revision}].
create function tags_noted(p bigint, tags jsonb) returns void language plpgsql as $$
begin
  update project z set tags_at = now() where z.id = p and z.tags_at is null;
  if not found then return; end if; -- another master did
  insert into tag_head (project, tag, revision) select p, t->>'tag', t->>'revision' from jsonb_array_elements(tags) t on conflict do nothing;
end $$;

-- Nobody looks at its tags any more; what is known of them grows old.
create function tags_forgotten(p bigint) returns void language sql as $$
  delete from tag_head h where h.project = p;
  update project z set tags_at = null where z.id = p and z.tags_at is not null $$;

drop function forge_told(bigint, text, jsonb, text);

-- A pull request or a comment: its change.
create function forge_told(p bigint, repo text, e jsonb, told text, out made jsonb) language plpgsql as $$
declare k text := e->>'kind'; br text := coalesce(e->>'branch', ''); num bigint := coalesce((e->>'number')::bigint, 0); x record;
begin
  perform branch_lock(p, k || '/' || num);
  select y.id, y.fresh into x from change_put(p, k, br, num, coalesce(e->>'external', ''), repo, e, told, false, true) y;
  made := jsonb_strip_nulls(jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', k, 'branch', br, 'revision', e->>'revision', 'number', nullif(num, 0)));
end $$;

-- As in step 4, with tags by their own rules.
create or replace function hook_told(p bigint, dia text, del text, ev text, repo text, events jsonb, told text, plans jsonb, out replay boolean, out outcome jsonb) language plpgsql as $$
declare e jsonb; b record; changes jsonb := '[]'; ignored jsonb := '[]'; look boolean := false; m jsonb;
begin
  insert into hook_delivery (project, dialect, delivery, event) values (p, dia, del, ev) on conflict do nothing;
  replay := not found;
  if replay then
    select h.outcome into outcome from hook_delivery h where h.project = p and h.dialect = dia and h.delivery = del;
    return;
  end if;
  -- In the order in which the poller takes its locks.
  for e in select l.e from jsonb_array_elements(events) with ordinality as l(e, n) order by l.e->>'kind' = 'tag', l.e->>'branch' collate "C" nulls first, l.n loop
    case e->>'kind'
      when 'ignored' then
        ignored := ignored || jsonb_build_array(e->'why');
      when 'branch' then
        select t.how, t.made into b from branch_told(p, repo, e->>'branch', e->>'previous', e->>'revision', e->'commits', (e->>'whole')::boolean, told, false, plans->(e->>'branch')) t;
        changes := changes || b.made;
        look := look or b.how = 'apart';
      when 'tag' then
        select t.how, t.made into b from tag_told(p, repo, e->>'branch', e->>'previous', e, told, false) t;
        if b.made is not null then changes := changes || jsonb_build_array(b.made); end if;
        look := look or b.how = 'apart';
      else
        m := forge_told(p, repo, e, told);
        if m is not null then changes := changes || jsonb_build_array(m); end if;
    end case;
  end loop;
  outcome := jsonb_build_object('changes', changes, 'ignored', ignored, 'look', look);
  update hook_delivery h set outcome = hook_told.outcome where h.project = p and h.dialect = dia and h.delivery = del;
end $$;
