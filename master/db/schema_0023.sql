-- Schema, step 23: repositories that are not git's.

-- Of each address of a project what kind of repository is there; of one that is not here it is git's. As the configuration says; a row of a former address stays for what was made of it.
create table repository (
  project bigint not null references project, url text not null,
  vcs text not null,                -- svn, svn-folder, hg
  primary key (project, url));

create function repository_put(name text, address text, kind text) returns void language plpgsql as $$
declare p bigint := (select y.id from project y where y.name = repository_put.name);
begin
  if kind = 'git' then
    delete from repository r where r.project = p and r.url = address;
  else
    insert into repository as r (project, url, vcs) values (p, address, kind) on conflict (project, url) do update set vcs = excluded.vcs where r.vcs <> excluded.vcs;
  end if;
end $$;

create function vcs_of(p bigint, address text) returns text language sql stable as $$
  select coalesce((select r.vcs from repository r where r.project = p and r.url = address), 'git') $$;

alter table sourcestamp add column vcs text not null default 'git';

-- A number of Subversion, which means another tree on each branch.
create function revision_wants_branch(rev text) returns boolean language sql immutable as $$ select rev ~ '^[0-9]{1,10}$' $$;

-- As in step 10; of a revision that wants it the branch counts.
drop function request_good(bigint, text, text, text, text, bigint, jsonb);
create function request_good(p bigint, builder text, repo text, br text, rev text, pat text, pipe bigint, props jsonb) returns bigint language sql stable as $$
  select max(r.id) from sourcestamp s join buildset b on b.sourcestamp = s.id join build_request r on r.buildset = b.id join builder u on u.id = r.builder
    where rev <> '' and s.project = p and s.revision = rev and s.repository = repo and (s.branch = br or not revision_wants_branch(rev)) and s.patch is not distinct from pat and b.pipeline = pipe and b.properties = props and u.name = request_good.builder and r.state = 'done' and r.result in (0, 1) $$;

-- A request for the same that was made for another one which needs it, and is not over. Those that a scheduler or somebody made are not shared: these may be superseded, or cancelled, for reasons of their own.
create function request_asked(p bigint, builder text, repo text, br text, rev text, pipe bigint) returns bigint language sql stable as $$
  select max(r.id) from sourcestamp s join buildset b on b.sourcestamp = s.id join build_request r on r.buildset = b.id join builder u on u.id = r.builder
    where s.project = p and s.revision = rev and s.repository = repo and (s.branch = br or not revision_wants_branch(rev)) and s.patch is null and b.asked_for is not null and b.state = 'open' and b.pipeline = pipe and b.properties = '{}'
      and u.name = request_asked.builder and r.state <> 'done' $$;
-- What request r needs is known now: builders `names` of project p, at that revision of its branch, by that pipeline. builders: these and what they need (decide.h). What is good there, or on its way for
-- another request's sake, is taken; the rest is asked for. what: asked, gone (r waits no more, or somebody else has answered), ring (r has ended: it needs what waits for it).
create function ask_answer(r bigint, ask text, p bigint, repo text, br text, rev text, pipe bigint, conf bigint, names text[], builders jsonb, out what text) language plpgsql as $$
declare q build_request%rowtype; a request_ask%rowtype; known jsonb; needed bigint[] := '{}'; chain bigint[]; s bigint; open int;
begin
  perform pg_advisory_xact_lock(hashtextextended('ask ' || p || ' ' || rev, 7421002)); -- several that need the same at once: the first makes it, the others find it
  select coalesce(jsonb_object_agg(n, x), '{}') into known from (select n, coalesce(request_good(p, n, repo, br, rev, null, pipe, '{}'), request_asked(p, n, repo, br, rev, pipe)) as x from unnest(names) n) y where x is not null;
  perform from build_request z where z.id = r or z.id in (select v::bigint from jsonb_each_text(known) as j(k, v)) order by z.id for update;
  select z.* into q from build_request z where z.id = r;
  select z.* into a from request_ask z where z.request = r and z.name = ask;
  if a.request is null or a.over or q.state <> 'waiting' then
    what := 'gone';
    return;
  end if;
  chain := array[r] || array(select requests_waiting_for(array[r]));
  select coalesce(jsonb_object_agg(k, z.id), '{}') into known from jsonb_each_text(known) as j(k, v) join build_request z on z.id = v::bigint where z.state <> 'done' or z.result in (0, 1); -- not what has ended badly meanwhile
  if exists (select from jsonb_each_text(known) as j(k, v) where v::bigint = any(chain))
      or exists (select from build_request z join builder u on u.id = z.builder where z.id = any(chain) and u.project = p and u.name = any(names) and not known ? u.name) then
    perform request_finish(r, 4::smallint, 'it needs ' || ask || ', which needs it: builders of several projects wait for each other');
    what := 'ring';
    return;
  end if;
  if not known ?& names then
    select x.id into s from buildset_add(p, repo, br, rev, null, 'needed by r' || r || ' (' || (select y.name || '/' || u.name from builder u join project y on y.id = u.project where u.id = q.builder) || ')',
      '{}', '{}', null, conf, pipe, null, (select jsonb_agg(case when known ? (e->>'name') then e || '{"needed": true}' else e end order by i) from jsonb_array_elements(builders) with ordinality as l(e, i))) x;
    update buildset z set asked_for = r where z.id = s;
    update build_request z set priority = q.priority where z.buildset = s and z.priority <> q.priority;
    needed := array(select z.id from build_request z join builder u on u.id = z.builder where z.buildset = s and u.name = any(names) and not known ? u.name);
  end if;
  needed := needed || array(select v::bigint from jsonb_each_text(known) as j(k, v));
  with n as (insert into request_need as y (request, needs, soft) select r, z, a.soft from unnest(needed) z on conflict (request, needs) do update set soft = y.soft and excluded.soft returning y.needs, y.xmax = 0 as fresh)
    select count(*) into open from n join build_request z on z.id = n.needs where n.fresh and z.state <> 'done';
  delete from request_ask z where z.request = r and z.name = ask;
  update build_request z set waits = z.waits - 1 + open, state = case when z.waits - 1 + open = 0 then 'pending' else z.state end where z.id = r returning z.* into q;
  if q.state = 'pending' then
    insert into outbox (type, object, body) values ('request.ready', 'r' || r, '{}');
  end if;
  what := 'asked';
end $$;
