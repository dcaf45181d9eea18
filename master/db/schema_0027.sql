-- Schema, step 27: several codebases in a project: which there are, what goes with a change in one of them (stamps), looks at each by itself.
-- A project with one repository has no row in `codebase`; everywhere its codebase is ''.

alter table project
  add column main text not null default '',        -- the codebase that has the pipeline and the schedulers' branches; '': there is just one repository
  add column stamps text[] not null default '{}';  -- the rules for the others, in the order in which they are asked
create table codebase (
  project bigint not null references project, name text not null,
  number int not null,              -- its place in the configuration
  repository text not null,
  pin text,                         -- what `pinned` means: a revision, a tag, a branch
  tags_at timestamptz,              -- as project.tags_at
  primary key (project, name));

alter table branch_head add column codebase text not null default '', drop constraint branch_head_pkey, add primary key (project, codebase, branch);
alter table tag_head add column codebase text not null default '', drop constraint tag_head_pkey, add primary key (project, codebase, tag);
alter table poll add column id bigint generated always as identity, add column codebase text not null default '', drop constraint poll_pkey, add primary key (id), add unique (project, codebase);
alter table change add column stamps jsonb;     -- of all codebases, fixed before the change is read: [{codebase, repository, branch, revision, why}]; null: there is one repository
alter table scheduler add column built_set text; -- as built, of several codebases: the set's hash

-- The newest buildset that is over of each branch of a codebase; good: that ended well. Only those that a change or a time set off count: no pull request, tag or patch, nothing that somebody asked for.
create table stamps_last (
  project bigint not null, codebase text not null, branch text not null, good boolean not null,
  buildset bigint not null,
  primary key (project, codebase, branch, good));

-- A trigger, so that whatever ends a buildset does not have to know; of one repository it is never called.
create function stamps_over() returns trigger language plpgsql as $$
begin
  insert into stamps_last as l (project, codebase, branch, good, buildset)
    select s.project, s.codebase, s.branch, g.good, new.id
      from stamp_set_stamp x join sourcestamp s on s.id = x.sourcestamp cross join (values (false), (true)) g(good)
      where x.stamp_set = new.stamp_set and s.branch <> '' and (new.result in (0, 1) or not g.good)
        and not exists (select from change c where c.id = any(new.changes) and c.kind <> 'branch')
      order by s.codebase, g.good -- several ends lock in one order
    on conflict (project, codebase, branch, good) do update set buildset = excluded.buildset where l.buildset < excluded.buildset;
  return null;
end $$;
create trigger stamps_over after update of result on buildset for each row
  when (new.stamp_set is not null and old.result is null and new.result is not null and new.scheduler is not null and new.who is null and new.rerun_of is null and new.parent_build is null) execute function stamps_over();

-- A configuration's project, and its codebases: {main, stamps, codebases: [{name, repository, pin}]}; without `main` it has one repository. A codebase that has left keeps its heads and its history.
create function project_put(n text, spec jsonb) returns bigint language plpgsql as $$
declare p bigint; m text := coalesce(spec->>'main', ''); rules text[] := array(select jsonb_array_elements_text(coalesce(spec->'stamps', '[]')));
begin
  insert into project (name) values (n) on conflict (name) do nothing;
  select x.id into p from project x where x.name = n for no key update;
  update project x set main = m, stamps = rules where x.id = p and (x.main, x.stamps) is distinct from (m, rules);
  delete from codebase c where c.project = p and not exists (select from jsonb_array_elements(coalesce(spec->'codebases', '[]')) e where e->>'name' = c.name);
  insert into codebase as c (project, name, number, repository, pin)
    select p, l.e->>'name', l.i, l.e->>'repository', l.e->>'pin' from jsonb_array_elements(coalesce(spec->'codebases', '[]')) with ordinality as l(e, i)
    on conflict (project, name) do update set number = excluded.number, repository = excluded.repository, pin = excluded.pin
      where (c.number, c.repository, c.pin) is distinct from (excluded.number, excluded.repository, excluded.pin);
  return p;
end $$;

create function poll_row(n text, cb text) returns bigint language plpgsql as $$
declare i bigint;
begin
  insert into poll (project, codebase) select x.id, cb from project x where x.name = n on conflict (project, codebase) do nothing;
  select l.id into i from poll l join project x on x.id = l.project where x.name = n and l.codebase = cb;
  return i;
end $$;

-- How a codebase is called beside others: project, or project/codebase.
create function codebase_name(project text, cb text) returns text language sql immutable as $$ select project || case cb when '' then '' else '/' || cb end $$;

-- ---- leases: as in step 13, each by the row of its repository ----

create or replace function poll_take(me bigint, ours bigint[], alive bigint[]) returns void language plpgsql as $$
declare taken jsonb; mine int; n int; rich bigint;
begin
  with free as (select l.id from poll l where l.id = any(ours) and (l.master is null or l.master <> all(alive)) for update skip locked),
    t as (update poll l set master = me, epoch = l.epoch + 1, wanted = null from free f where l.id = f.id returning l.project, l.codebase, l.epoch)
    select jsonb_object_agg(codebase_name(p.name, t.codebase), t.epoch) into taken from t join project p on p.id = t.project;
  if taken is not null then
    insert into outbox (type, object, body) values ('poll.taken', 'master/' || me, jsonb_build_object('epochs', taken));
  end if;
  if cardinality(alive) < 2 then return; end if;
  select count(*) into mine from poll l where l.id = any(ours) and (l.master = me or l.wanted = me);
  select l.master, (count(*) - mine) / 2 into rich, n from poll l where l.id = any(ours) and l.master <> me and l.wanted is distinct from me
    group by l.master order by count(*) desc, l.master limit 1;
  if n > 0 then
    update poll l set wanted = me from (select x.id from poll x where x.id = any(ours) and x.master = rich and x.wanted is null order by x.id limit n for update skip locked) w
      where l.id = w.id;
  end if;
end $$;

-- told: [{poll, …}], the rest as in step 13.
create or replace function poll_beat(me bigint, ours bigint[], told jsonb, give bigint[], want bigint[]) returns int language plpgsql as $$
declare alive bigint[] := masters_alive(); given jsonb;
begin
  update poll l set due_at = now() + t.due * interval '1 millisecond', served = t.asked, looked_at = coalesce(now() - t.looked * interval '1 millisecond', l.looked_at),
      failures = t.failures, trouble = t.trouble, trouble_at = now() - t.since * interval '1 millisecond'
    from jsonb_to_recordset(told) as t(poll bigint, epoch bigint, due bigint, asked bigint, looked bigint, failures int, trouble text, since bigint)
    where l.id = t.poll and l.master = me and l.epoch = t.epoch;
  if cardinality(give) > 0 then
    with g as (update poll l set master = l.wanted, epoch = l.epoch + 1, wanted = null where l.id = any(give) and l.master = me and l.wanted = any(alive) returning l.project, l.codebase, l.epoch, l.master)
      select jsonb_object_agg(g.master, g.epochs) into given
        from (select x.master, jsonb_object_agg(codebase_name(p.name, x.codebase), x.epoch) as epochs from g x join project p on p.id = x.project group by x.master) g;
    insert into outbox (type, object, body) select 'poll.taken', 'master/' || k, jsonb_build_object('epochs', e, 'from', me) from jsonb_each(given) as j(k, e);
    update poll l set wanted = null where l.id = any(give) and l.master = me and l.wanted <> all(alive);
  end if;
  if exists (select from poll l where l.master = me and l.id <> all(ours)) then
    update poll l set master = null, wanted = null where l.master = me and l.id <> all(ours);
  end if;
  if cardinality(want) > 0 then
    update poll l set wanted = me where l.id in (select x.id from poll x where x.id = any(want) and x.master <> me and (x.wanted is null or x.wanted <> all(alive)) for update skip locked);
  end if;
  perform poll_take(me, ours, alive);
  return cardinality(alive) - 1;
end $$;

-- ---- what is told: as before, of one codebase ----

-- The word by which a branch (tag/…, pull_request/…) of a codebase is locked; no branch has "//" in its name.
create function codebase_lock(p bigint, cb text, br text) returns void language sql as $$ select branch_lock(p, case cb when '' then br else cb || '//' || br end) $$;
create or replace function change_lock(x change) returns void language sql as $$
  select codebase_lock(x.project, x.codebase, case x.kind when 'branch' then x.branch else x.kind || '/' || x.number end) $$;

drop function change_put(bigint, text, text, bigint, text, text, jsonb, text, boolean, boolean);
-- As in step 14.
create function change_put(p bigint, k text, br text, num bigint, ext text, repo text, c jsonb, told text, again boolean, may_be_new boolean, cb text default '',
                           out id bigint, out fresh boolean) language plpgsql as $$
declare over boolean; at timestamptz := to_timestamp((c->>'at')::bigint / 1000.0); cat text := coalesce(c->>'category', c->'properties'->>'category', '');
begin
  fresh := false;
  select x.id, x.gone into id, over from change x where x.project = p and x.codebase = cb and x.branch = br and x.revision = c->>'revision'
    and x.kind = k and x.number = num and x.external = ext order by x.id desc limit 1;
  if id is not null and not (again and over) then
    update change x set author = case when x.author = '' then coalesce(c->>'author', '') else x.author end, author_at = coalesce(x.author_at, at),
        committer = case when x.committer = '' then coalesce(c->>'committer', '') else x.committer end, category = case when x.category = '' then cat else x.category end,
        message = case when x.message = '' then coalesce(c->>'message', '') else x.message end, previous = coalesce(x.previous, c->>'previous'),
        files = case when x.files = '[]' then coalesce(c->'files', '[]') else x.files end, properties = coalesce(c->'properties', '{}') || x.properties,
        revlink = coalesce(x.revlink, c->>'url')
      where x.id = change_put.id and (x.author = '' or x.committer = '' and c->>'committer' <> '' or x.category = '' and cat <> '' or x.author_at is null or x.message = '' or x.previous is null or x.files = '[]' or x.revlink is null
        or not x.properties @> coalesce(c->'properties', '{}'));
    return;
  end if;
  if not may_be_new then id := null; return; end if;
  fresh := true;
  insert into change (project, codebase, kind, number, external, repository, branch, revision, previous, author, author_at, committer, category, message, files, properties, revlink, told_by, state, error)
    values (p, cb, k, num, ext, repo, br, c->>'revision', c->>'previous', coalesce(c->>'author', ''), at, coalesce(c->>'committer', ''), cat, coalesce(c->>'message', ''), coalesce(c->'files', '[]'),
      coalesce(c->'properties', '{}'), c->>'url', told, case k when 'comment' then 'decided' else 'reading' end,
      case k when 'comment' then 'comments start nothing yet' end)
    returning change.id into id;
  insert into outbox (type, object, body) values ('change.new', 'c' || id,
    jsonb_strip_nulls(jsonb_build_object('project', (select name from project where project.id = p), 'codebase', nullif(cb, ''), 'kind', k, 'branch', br, 'revision', c->>'revision')));
end $$;

drop function change_add(bigint, text, text, jsonb, text);
create function change_add(p bigint, repo text, br text, c jsonb, told text, cb text default '', out id bigint, out fresh boolean) language plpgsql as $$
begin
  perform codebase_lock(p, cb, br);
  select x.id, x.fresh into id, fresh from change_put(p, 'branch', br, 0, '', repo, c, told, true, true, cb) x;
end $$;

drop function branch_told(bigint, text, text, text, text, jsonb, boolean, text, boolean, jsonb);
-- As in step 5.
create function branch_told(p bigint, repo text, br text, prev text, rev text, commits jsonb, whole boolean, told text, poller boolean, plan jsonb, cb text default '', out how text, out made jsonb) language plpgsql as $$
declare head text; fits boolean; c jsonb; tip boolean; x record;
begin
  perform codebase_lock(p, cb, br);
  select h.revision into head from branch_head h where h.project = p and h.codebase = cb and h.branch = br;
  -- Heads begin with the poller's first look: had a hook put one there before it, all other branches would look new to it.
  fits := head is not distinct from prev and (poller or head is not null or exists (select from branch_head h where h.project = p and h.codebase = cb));
  how := case when head is not distinct from rev then 'there' when fits and whole then 'moved' else 'apart' end;
  made := '[]';
  if not (poller and how = 'apart') then
    for c in select e from jsonb_array_elements(commits) with ordinality as l(e, n) order by n loop
      tip := c->>'revision' = rev;
      select y.id, y.fresh into x from change_put(p, 'branch', br, 0, '', repo, c, told, tip and (fits or how = 'there'),
        case when poller then how = 'moved' when tip then true
          else not exists (select from change z where z.project = p and z.codebase = cb and z.revision = c->>'revision' and z.kind = 'branch') end, cb) y;
      if x.fresh and plan->'plans' ? (c->>'revision') then
        perform change_decide(x.id, 'decided', null, (plan->>'pipeline')::bigint, (plan->>'config')::bigint, plan->'plans'->(c->>'revision'));
      end if;
      if x.id is not null then
        made := made || jsonb_build_array(jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', 'branch', 'branch', br, 'revision', c->>'revision'));
      end if;
    end loop;
  end if;
  if how = 'moved' then
    update change z set gone = true where z.id = (select y.id from change y where y.project = p and y.codebase = cb and y.branch = br and y.revision = head and y.kind = 'branch'
      order by y.id desc limit 1);
    if rev is null then
      delete from branch_head h where h.project = p and h.codebase = cb and h.branch = br;
    else
      insert into branch_head (project, codebase, branch, revision) values (p, cb, br, rev) on conflict (project, codebase, branch) do update set revision = excluded.revision, seen = now();
    end if;
  end if;
end $$;

create function tags_seen(p bigint, cb text) returns boolean language sql stable as $$
  select case cb when '' then (select z.tags_at is not null from project z where z.id = p) else coalesce((select z.tags_at is not null from codebase z where z.project = p and z.name = cb), false) end $$;

drop function tag_told(bigint, text, text, text, jsonb, text, boolean);
-- As in step 5.
create function tag_told(p bigint, repo text, tg text, prev text, e jsonb, told text, poller boolean, cb text default '', out how text, out made jsonb) language plpgsql as $$
declare head text; rev text := e->>'revision'; looked boolean; x record;
begin
  perform codebase_lock(p, cb, 'tag/0/' || tg);
  looked := tags_seen(p, cb);
  select h.revision into head from tag_head h where h.project = p and h.codebase = cb and h.tag = tg;
  how := case when not looked and not poller then 'moved' when head is not distinct from rev then 'there' when head is not distinct from prev then 'moved' else 'apart' end;
  if how = 'moved' then -- at another revision it is another change, also where it was there before
    update change z set gone = true where z.project = p and z.codebase = cb and z.branch = tg and z.kind = 'tag' and not z.gone and z.revision is distinct from rev;
  end if;
  if rev is not null and not (poller and how = 'apart') then
    select y.id, y.fresh into x from change_put(p, 'tag', tg, 0, '', repo, e, told, how <> 'apart', not poller or how = 'moved', cb) y;
    if x.id is not null then
      made := jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', 'tag', 'branch', tg, 'revision', rev);
    end if;
  end if;
  if how <> 'moved' or not looked then
    return;
  elsif rev is null then
    delete from tag_head h where h.project = p and h.codebase = cb and h.tag = tg;
  else
    insert into tag_head as h (project, codebase, tag, revision) values (p, cb, tg, rev) on conflict (project, codebase, tag) do update set revision = excluded.revision, seen = now();
  end if;
end $$;

drop function tags_noted(bigint, jsonb);
create function tags_noted(p bigint, cb text, tags jsonb) returns void language plpgsql as $$
declare n int; m int;
begin
  update project z set tags_at = now() where cb = '' and z.id = p and z.tags_at is null;
  get diagnostics n = row_count;
  update codebase z set tags_at = now() where cb <> '' and z.project = p and z.name = cb and z.tags_at is null;
  get diagnostics m = row_count;
  if n + m = 0 then return; end if; -- another master did
  insert into tag_head (project, codebase, tag, revision) select p, cb, t->>'tag', t->>'revision' from jsonb_array_elements(tags) t on conflict do nothing;
end $$;

drop function tags_forgotten(bigint);
create function tags_forgotten(p bigint, cb text) returns void language sql as $$
  delete from tag_head h where h.project = p and h.codebase = cb;
  update project z set tags_at = null where cb = '' and z.id = p and z.tags_at is not null;
  update codebase z set tags_at = null where cb <> '' and z.project = p and z.name = cb and z.tags_at is not null $$;

drop function forge_told(bigint, text, jsonb, text);
-- As in step 5.
create function forge_told(p bigint, repo text, e jsonb, told text, cb text default '', out made jsonb) language plpgsql as $$
declare k text := e->>'kind'; br text := coalesce(e->>'branch', ''); num bigint := coalesce((e->>'number')::bigint, 0); x record;
begin
  perform codebase_lock(p, cb, k || '/' || num);
  select y.id, y.fresh into x from change_put(p, k, br, num, coalesce(e->>'external', ''), repo, e, told, false, true, cb) y;
  made := jsonb_strip_nulls(jsonb_build_object('change', 'c' || x.id, 'new', x.fresh, 'kind', k, 'branch', br, 'revision', e->>'revision', 'number', nullif(num, 0)));
end $$;

drop function hook_told(bigint, text, text, text, text, jsonb, text, jsonb);
-- As in step 5.
create function hook_told(p bigint, dia text, delivered text, ev text, repo text, events jsonb, told text, plans jsonb, cb text default '', out replay boolean, out outcome jsonb) language plpgsql as $$
declare e jsonb; b record; changes jsonb := '[]'; ignored jsonb := '[]'; look boolean := false; m jsonb; del text := case cb when '' then delivered else cb || '//' || delivered end;
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
        select t.how, t.made into b from branch_told(p, repo, e->>'branch', e->>'previous', e->>'revision', e->'commits', (e->>'whole')::boolean, told, false, plans->(e->>'branch'), cb) t;
        changes := changes || b.made;
        look := look or b.how = 'apart';
      when 'tag' then
        select t.how, t.made into b from tag_told(p, repo, e->>'branch', e->>'previous', e, told, false, cb) t;
        if b.made is not null then changes := changes || jsonb_build_array(b.made); end if;
        look := look or b.how = 'apart';
      else
        m := forge_told(p, repo, e, told, cb);
        if m is not null then changes := changes || jsonb_build_array(m); end if;
    end case;
  end loop;
  outcome := jsonb_build_object('changes', changes, 'ignored', ignored, 'look', look);
  update hook_delivery h set outcome = hook_told.outcome where h.project = p and h.dialect = dia and h.delivery = del;
end $$;

-- ---- which revisions go together ----

-- The branch of a codebase (null: its default one) and where it is.
create function codebase_head(p bigint, cb text, br text, out branch text, out revision text) language sql stable as $$
  select h.branch, h.revision from branch_head h where h.project = p and h.codebase = cb and (br is null or h.branch = br) order by array_position(array['main', 'master', 'trunk', 'default'], h.branch), h.seen desc limit 1 $$;
-- As in step 6: of the main codebase; of other kinds of repositories trunk and default are what main is.
create or replace function scheduler_head(p bigint, br text, out branch text, out revision text) language sql stable as $$
  select h.branch, h.revision from branch_head h where h.project = p and h.codebase = (select x.main from project x where x.id = p) and (br is null or h.branch = br)
    order by array_position(array['main', 'master', 'trunk', 'default'], h.branch), h.seen desc limit 1 $$;

-- What the newest buildset of that branch of the codebase cb (stamps_last) has for k.
create function stamps_before(p bigint, cb text, br text, k text, good boolean, out buildset bigint, out branch text, out revision text) language sql stable as $$
  select l.buildset, o.branch, o.revision from stamps_last l join buildset b on b.id = l.buildset
    join stamp_set_stamp y on y.stamp_set = b.stamp_set and y.codebase = k join sourcestamp o on o.id = y.sourcestamp
    where l.project = p and l.codebase = cb and l.branch = br and l.good = stamps_before.good $$;

-- All codebases of a project for something at rev ('': the branch's tip) on the branch `line` of the codebase cb; own: the branch that its stamp has ('': none). given: {codebase: word} that somebody asked
-- for; one that means nothing is {codebase, word} in the list, without a revision. A codebase that was never seen is left out.
create function stamps_compose(p bigint, cb text, line text, own text, rev text, own_why text, given jsonb) returns jsonb language plpgsql stable as $$
declare k codebase%rowtype; x record; made jsonb := '[]'; rules text[] := (select z.stamps from project z where z.id = p);
begin
  for k in select z.* from codebase z where z.project = p order by z.number loop
    if given ? k.name then
      select h.branch, h.revision, 'asked for' as why into x from codebase_word(p, k.name, given->>k.name) h;
      if x.revision is null then
        made := made || jsonb_build_object('codebase', k.name, 'word', given->>k.name);
        continue;
      end if;
    elsif k.name = cb and rev <> '' then
      select own as branch, rev as revision, own_why as why into x;
    elsif k.name = cb then
      select h.branch, h.revision, 'tip of ' || h.branch as why into x from codebase_head(p, cb, line) h;
    else
      select h.branch, h.revision, h.why into x from stamp_by_rule(p, rules, k, cb, line) h;
    end if;
    if x.revision is not null then
      made := made || jsonb_build_object('codebase', k.name, 'repository', k.repository, 'branch', coalesce(x.branch, ''), 'revision', x.revision, 'why', x.why);
    end if;
  end loop;
  return made;
end $$;

-- The branch that its stamp has: a tag of Subversion is a folder.
create function own_branch(x change) returns text language sql stable as $$
  select case when x.kind = 'branch' then x.branch when x.kind = 'tag' and vcs_of(x.project, x.repository) = 'svn' then 'tags/' || x.branch else '' end $$;

-- The set of a change, beside what was known at this moment.
create function stamps_of_change(x change) returns jsonb language sql stable as $$
  select stamps_compose(x.project, x.codebase, case when x.kind <> 'tag' then x.branch end, own_branch(x), x.revision, 'c' || x.id, '{}') $$;

-- Of several changes (a quiet time): the set of the newest one, with the newest change of each codebase in it. null: of one repository.
create function stamps_of_changes(list bigint[]) returns jsonb language sql stable as $$
  select jsonb_agg(case when o.id is null or e->>'codebase' = n.codebase then e
      else e || jsonb_build_object('branch', case when o.kind = 'branch' then o.branch else '' end, 'revision', o.revision, 'why', 'c' || o.id) end order by i)
    from change n cross join lateral jsonb_array_elements(coalesce(n.stamps, stamps_of_change(n))) with ordinality as l(e, i)
    left join lateral (select c.* from change c where c.id = any(list) and c.codebase = e->>'codebase' order by c.id desc limit 1) o on true
    where n.id = (select max(z) from unnest(list) z) and n.codebase <> '' $$;

-- ---- sets in buildsets ----

-- A stamp's row. Those of a project's only repository are hashed as in step 8.
create function stamp_put(p bigint, cb text, repo text, br text, rev text, pat text) returns bigint language plpgsql as $$
declare stamp bigint; kind text := vcs_of(p, repo);
  h text := encode(sha256(convert_to((jsonb_build_array(p, cb, repo, br, rev) || case when pat is not null then jsonb_build_array(pat) else '[]' end
    || case when kind <> 'git' then jsonb_build_array(jsonb_build_object('vcs', kind)) else '[]' end)::text, 'UTF8')), 'hex');
begin
  insert into sourcestamp (hash, project, codebase, repository, branch, revision, patch, vcs) values (h, p, cb, repo, br, rev, pat, kind) on conflict (hash) do nothing;
  select s.id into stamp from sourcestamp s where s.hash = h;
  return stamp;
end $$;

-- What a set is known by, before there is one: the same for the same revisions of the same codebases.
create function stamps_mark(list jsonb) returns text language sql immutable as $$
  select encode(sha256(convert_to(jsonb_agg(jsonb_build_array(e->'codebase', e->'repository', e->'revision', case when revision_wants_branch(e->>'revision') then e->'branch' end) order by e->>'codebase' collate "C")::text, 'UTF8')), 'hex') from jsonb_array_elements(list) e $$;

-- The row of a set; the stamp of the codebase cb has the patch, and is told.
create function stamp_set_put(p bigint, list jsonb, cb text, pat text, out id bigint, out stamp bigint) language plpgsql as $$
declare e jsonb; names text[] := '{}'; ids bigint[] := '{}'; s bigint; h text;
begin
  for e in select l.e from jsonb_array_elements(list) l(e) order by l.e->>'codebase' collate "C" loop
    s := stamp_put(p, e->>'codebase', e->>'repository', e->>'branch', e->>'revision', case when e->>'codebase' = cb then pat end);
    names := names || (e->>'codebase');
    ids := ids || s;
    if e->>'codebase' = cb then stamp := s; end if;
  end loop;
  select encode(sha256(convert_to(string_agg(y.hash, ' ' order by i), 'UTF8')), 'hex') into h from unnest(ids) with ordinality as l(z, i) join sourcestamp y on y.id = l.z;
  insert into stamp_set (hash) values (h) on conflict (hash) do nothing returning stamp_set.id into id;
  if found then
    insert into stamp_set_stamp (stamp_set, codebase, sourcestamp) select stamp_set_put.id, n, z from unnest(names, ids) as l(n, z);
  else
    select y.id into id from stamp_set y where y.hash = h;
  end if;
end $$;

-- The set of a buildset as a list again; null: it has none.
create function stamps_of_buildset(b bigint) returns jsonb language sql stable as $$
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('codebase', x.codebase, 'repository', s.repository, 'branch', s.branch, 'revision', s.revision, 'why', y.stamps_why->x.codebase)) order by k.number nulls last, x.codebase)
    from buildset y join stamp_set_stamp x on x.stamp_set = y.stamp_set join sourcestamp s on s.id = x.sourcestamp left join codebase k on k.project = s.project and k.name = x.codebase where y.id = b $$;

-- What buildset_add takes as builders, with the set of another buildset.
create function with_stamps_of(b bigint, builders jsonb) returns jsonb language sql stable as $$
  select case when y.stamp_set is null then builders else case jsonb_typeof(builders) when 'object' then builders else jsonb_build_object('builders', builders) end
      || jsonb_build_object('stamps', stamps_of_buildset(b), 'codebase', s.codebase) end
    from buildset y join sourcestamp s on s.id = y.sourcestamp where y.id = b $$;

-- As request_good, of sets: those stamps that count (of: names of codebases, null: all of them) are at the same revisions.
create function request_good_set(p bigint, builder text, list jsonb, of jsonb, cb text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  with want as (select e->>'codebase' as codebase, e->>'repository' as repository, e->>'revision' as revision, e->>'branch' as branch, case when e->>'codebase' = cb then pat end as patch
      from jsonb_array_elements(list) e where of is null or of ? (e->>'codebase') or of ? '' and e->>'codebase' = (select y.main from project y where y.id = p)),
    sets as (select x.stamp_set from want w join sourcestamp s on s.project = p and s.revision = w.revision and s.codebase = w.codebase and s.repository = w.repository and (s.branch = w.branch or not revision_wants_branch(w.revision)) and s.patch is not distinct from w.patch
      join stamp_set_stamp x on x.sourcestamp = s.id and x.codebase = w.codebase group by x.stamp_set
      having count(*) = (select count(*) from want) and (of is not null or count(*) = (select count(*) from stamp_set_stamp y where y.stamp_set = x.stamp_set)))
    select max(r.id) from sets z join buildset b on b.stamp_set = z.stamp_set join build_request r on r.buildset = b.id join builder u on u.id = r.builder
      where b.pipeline = pipe and b.properties = props and u.name = request_good_set.builder and r.state = 'done' and r.result in (0, 1) $$;

drop function builders_to_build(bigint, text, text, text, bigint, jsonb, jsonb);
-- As in step 8, of a branch (revision_wants_branch); list: the set, null where there is none. Of a builder only the codebases count that it, and what it needs, checks out ({…, codebases: [name]}); where that is not said, all of them.
create function builders_to_build(p bigint, repo text, br text, rev text, pat text, pipe bigint, props jsonb, builders jsonb, list jsonb, cb text, out todo jsonb, out had jsonb) language plpgsql as $$
declare u jsonb; n jsonb; wanted text[] := '{}'; r bigint;
begin
  todo := '[]'; had := '{}';
  for u in select l.e from jsonb_array_elements(builders) with ordinality as l(e, i) order by l.i desc loop
    r := null;
    if u->'needed' = 'true' then
      continue when u->>'name' <> all(wanted);
      if u->'fresh' is null then
        r := case when list is null then request_good(p, u->>'name', repo, br, rev, pat, pipe, props) else request_good_set(p, u->>'name', list, u->'codebases', cb, pat, pipe, props) end;
      end if;
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

-- As in step 8, with what a builder wants of its worker and takes of locks: [{name, tags, wants, locks: [{lock, n}], priority, needs: [{name | request, soft} | {name, outside, soft}], needed, fresh}], each behind what it needs; or
-- {builders: such a list, fail_fast, next, patch: hash}. The stamp says what kind of repository it is of; a tag of Subversion is a folder, and the stamp's branch: its revision alone does not say which of
-- two that one commit made. Of several codebases builders may say {stamps: the set, codebase: whose stamp set it off}. Where it says none, the set is that of the changes, else what goes with br and rev (of that
-- codebase, without one of the main one).
create or replace function buildset_add(p bigint, repo text, br text, rev text, sched text, why text, chg bigint[], props jsonb, by_whom text, conf bigint, pipe bigint, rerun bigint, builders jsonb,
                             out id bigint, out requests bigint[]) language plpgsql as $$
declare stamp bigint; u jsonb; ub bigint; r bigint; newest bigint := (select max(z) from unnest(chg) z); by_name jsonb := '{}'; n int; bad bigint[] := '{}'; project_name text; what jsonb := builders;
  cb text; list jsonb; whole bigint;
begin
  if jsonb_typeof(what) = 'object' then builders := what->'builders'; else what := '{}'; end if;
  if br = '' and newest is not null and vcs_of(p, repo) = 'svn' then -- see above: the folder says which
    br := (select own_branch(c) from change c where c.id = newest);
  end if;
  select y.name, y.main into project_name, cb from project y where y.id = p;
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
  for u in select * from jsonb_array_elements(builders) loop
    select x.id into ub from builder x where x.project = p and x.name = u->>'name';
    if ub is null then
      insert into builder (project, name) values (p, u->>'name') on conflict (project, name) do update set name = excluded.name returning builder.id into ub;
    end if;
    insert into build_request (buildset, project, builder, tags, wants, priority, locks) values (id, p, ub, array(select jsonb_array_elements_text(u->'tags')), array(select jsonb_array_elements_text(u->'wants')), coalesce((u->>'priority')::int, 50), nullif(u->'locks', 'null'))
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

create or replace function scheduler_fire(s bigint, due bigint, next bigint, pipe bigint, conf bigint, repo text, br text, rev text, acts jsonb, builders jsonb) returns boolean language plpgsql as $$
declare x scheduler%rowtype; a jsonb; bs bigint; last bigint;
begin
  update scheduler y set due_at = at_ms(next), fresh = false where y.id = s and y.due_at = at_ms(due) and y.pipeline = pipe and y.disabled_at is null returning y.* into x;
  if not found then return false; end if;
  for a in select e from jsonb_array_elements(acts) with ordinality as l(e, n) order by n loop
    bs := null;
    last := (a->>'at')::bigint;
    if a->>'what' = 'built' then
      select b.id into bs from buildset_add(x.project, repo, br, rev, x.name, a->>'reason', '{}', '{}', null, conf, pipe, null, builders) b;
      perform set_built(s, bs, rev);
    end if;
    perform scheduler_note(s, last, a->>'what', a->>'why', bs);
  end loop;
  if last is not null then
    update scheduler y set scheduled = at_ms(last) where y.id = s;
  end if;
  return true;
end $$;

create or replace function scheduler_run(s bigint, pipe bigint, conf bigint, repo text, br text, rev text, reason text, by_whom text, props jsonb, builders jsonb, out id bigint, out requests bigint[]) language plpgsql as $$
declare x scheduler%rowtype;
begin
  select y.* into x from scheduler y where y.id = s and y.pipeline = pipe and y.disabled_at is null for no key update;
  if not found then return; end if;
  select b.id, b.requests into id, requests from buildset_add(x.project, repo, br, rev, x.name, reason, '{}', props, by_whom, conf, pipe, null, builders) b;
  perform set_built(s, id, rev);
  perform scheduler_note(s, null, 'built', reason, id);
end $$;
