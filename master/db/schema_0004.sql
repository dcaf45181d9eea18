-- Schema, step 4: changes that forges tell (webhooks).

alter table change
  add column kind text not null default 'branch', -- branch; tag (branch: its name), pull_request (branch: what it goes into), comment: no scheduler takes these three yet
  add column number bigint not null default 0,    -- of the pull request; 0: none
  add column external text not null default '',   -- of a comment: its id at the forge
  add column gone boolean not null default false; -- the branch's head was here and has left, the tag was moved or deleted: told again it is another change
alter table branch_head drop column since;
create index change_of_revision on change (project, revision);

-- A delivery that was taken, once for each id that the forge gave it, with what it made: sent again, it is answered from here.
create table hook_delivery (
  project bigint not null, dialect text not null, delivery text not null,
  at timestamptz not null default now(), event text not null, outcome jsonb not null default '{}',
  primary key (project, dialect, delivery));
create index hook_delivery_age on hook_delivery (at);

drop function change_add(bigint, text, text, text, text, text, timestamptz, text, jsonb, jsonb, text);

-- One change for each (kind, number, external, branch, revision), whoever told first; later tellers add what is missing. again: the one that is known is over where it is
-- `gone`. may_be_new: false: only add. c: {revision, previous, author, at (ms since 1970), message, files, properties, url}. The caller holds the lock of the branch.
create function change_put(p bigint, k text, br text, num bigint, ext text, repo text, c jsonb, told text, again boolean, may_be_new boolean,
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
      coalesce(c->'properties', '{}'), c->>'url', told, case k when 'branch' then 'reading' else 'decided' end,
      case k when 'tag' then 'tags are not built yet' when 'pull_request' then 'pull requests are not built yet' when 'comment' then 'comments start nothing yet' end)
    returning change.id into id;
  insert into outbox (type, object, body) values ('change.new', 'c' || id,
    jsonb_build_object('project', (select name from project where project.id = p), 'kind', k, 'branch', br, 'revision', c->>'revision'));
end $$;

create function branch_lock(p bigint, br text) returns void language sql as $$
  select pg_advisory_xact_lock(hashtextextended(p || '/' || br, 7421002)) $$;

-- Somebody says that there is this revision (drover change send).
create function change_add(p bigint, repo text, br text, c jsonb, told text, out id bigint, out fresh boolean) language plpgsql as $$
begin
  perform branch_lock(p, br);
  select x.id, x.fresh into id, fresh from change_put(p, 'branch', br, 0, '', repo, c, told, true, true) x;
end $$;

-- A change is decided, once (false: somebody else was first). plan: what its pipeline's schedulers want, [{scheduler, stable (ms), builders}] (schedulers/decide.h): a buildset at
-- once, or with others when the branch has been quiet.
create function change_decide(c bigint, st text, err text, pipe bigint, conf bigint, plan jsonb) returns boolean language plpgsql as $$
declare x change%rowtype; s jsonb;
begin
  update change z set state = st, error = err, pipeline = pipe where z.id = c and z.state = 'reading' returning z.* into x;
  if not found then return false; end if;
  for s in select e from jsonb_array_elements(plan) with ordinality as l(e, n) order by n loop
    if (s->>'stable')::bigint > 0 then
      insert into scheduler_state (project, name, branch, due_at, changes)
        values (x.project, s->>'scheduler', x.branch, now() + (s->>'stable')::bigint * interval '1 millisecond', array[c])
        on conflict (project, name, branch) do update set due_at = excluded.due_at, changes = scheduler_state.changes || excluded.changes;
    else
      perform buildset_add(x.project, x.repository, x.branch, x.revision, s->>'scheduler', 'scheduler ' || (s->>'scheduler') || ' saw c' || c, array[c], '{}', null, conf, pipe, null,
        s->'builders');
    end if;
  end loop;
  insert into outbox (type, object, body) values ('change.' || st, 'c' || c, jsonb_build_object('error', err));
  return true;
end $$;

-- A branch went from prev (null: it is new) to rev (null: it was deleted), told with its commits, oldest first, the last is rev. The poller (poller: true) and forges tell it in
-- any order, late, or twice. The head moves only where it is at prev and the list is whole; else what is told counts, and a look at the repository has to settle the rest ('apart').
-- plan: where the pipeline is known already, {plan, pipeline, config} for change_decide: what is new is decided in the same transaction; else null.
--   moved   the head was at prev: now it is at rev
--   there   it is at rev already: only what was missing is added, unless the revision itself was never told
--   apart   it is elsewhere: a forge's revision is taken where it is not known at all; the poller's look is void, it looks again
create function branch_told(p bigint, repo text, br text, prev text, rev text, commits jsonb, whole boolean, told text, poller boolean, plan jsonb, out how text, out made jsonb) language plpgsql as $$
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
      if x.fresh and plan is not null then
        perform change_decide(x.id, 'decided', null, (plan->>'pipeline')::bigint, (plan->>'config')::bigint, plan->'plan');
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

-- A tag, a pull request or a comment: its change, or null where it only went away.
create function forge_told(p bigint, repo text, e jsonb, told text, out made jsonb) language plpgsql as $$
declare k text := e->>'kind'; br text := coalesce(e->>'branch', ''); num bigint := coalesce((e->>'number')::bigint, 0); x record;
begin
  perform branch_lock(p, k || '/' || num || '/' || br);
  if k = 'tag' then -- at another revision it is another change, also where it was there before
    update change z set gone = true where z.project = p and z.codebase = '' and z.branch = br and z.kind = k and not z.gone and z.revision is distinct from e->>'revision';
    if e->>'revision' is null then return; end if;
  end if;
  select y.id, y.fresh into x from change_put(p, k, br, num, coalesce(e->>'external', ''), repo, e, told, k = 'tag', true) y;
  made := jsonb_strip_nulls(jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', k, 'branch', br, 'revision', e->>'revision', 'number', nullif(num, 0)));
end $$;

-- A delivery, once. events: the list that hook_json writes. plans: by branch, where the pipeline is known already. outcome: {"changes": […], "ignored": [why…], "look": true where the repository must be looked at}.
create function hook_told(p bigint, dia text, del text, ev text, repo text, events jsonb, told text, plans jsonb, out replay boolean, out outcome jsonb) language plpgsql as $$
declare e jsonb; b record; changes jsonb := '[]'; ignored jsonb := '[]'; look boolean := false; m jsonb;
begin
  insert into hook_delivery (project, dialect, delivery, event) values (p, dia, del, ev) on conflict do nothing;
  replay := not found;
  if replay then
    select h.outcome into outcome from hook_delivery h where h.project = p and h.dialect = dia and h.delivery = del;
    return;
  end if;
  -- In the order in which the poller takes its locks.
  for e in select l.e from jsonb_array_elements(events) with ordinality as l(e, n) order by l.e->>'branch' collate "C" nulls first, l.n loop
    case e->>'kind'
      when 'ignored' then
        ignored := ignored || jsonb_build_array(e->'why');
      when 'branch' then
        select t.how, t.made into b from branch_told(p, repo, e->>'branch', e->>'previous', e->>'revision', e->'commits', (e->>'whole')::boolean, told, false, plans->(e->>'branch')) t;
        changes := changes || b.made;
        look := look or b.how = 'apart';
      else
        m := forge_told(p, repo, e, told);
        if m is not null then changes := changes || jsonb_build_array(m); end if;
    end case;
  end loop;
  outcome := jsonb_build_object('changes', changes, 'ignored', ignored, 'look', look);
  update hook_delivery h set outcome = hook_told.outcome where h.project = p and h.dialect = dia and h.delivery = del;
end $$;
