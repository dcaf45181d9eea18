-- Schema, step 31: codebases of different kinds in one project.

-- What its branch is called in the main codebase, where that is not its own name (trunk and main): by that schedulers know it. null: the same.
alter table change add column line text;

create function codebase_vcs(p bigint, cb text) returns text language sql stable as $$
  select vcs_of(p, (select k.repository from codebase k where k.project = p and k.name = cb)) $$;

-- A branch's name whatever kind its repository is of: of Subversion branches/NAME is called NAME; null: trunk, which is the default branch and has no name of its own.
create function branch_plain(vcs text, br text) returns text language sql immutable as $$
  select case vcs when 'svn' then substring(br from '^branches/(.+)$') when 'svn-folder' then null else br end $$;
-- What it is called in a repository of that kind; null: there is none of that name.
create function branch_there(vcs text, plain text) returns text language sql immutable as $$
  select case vcs when 'svn' then 'branches/' || plain when 'svn-folder' then null else plain end $$;

-- The branch of k that is the same as br of cb: the one of that name; of the default branch, where there is none of that name, the default one.
create function codebase_same(p bigint, cb text, br text, k text, out branch text, out revision text) language plpgsql stable as $$
declare there text := branch_there(codebase_vcs(p, k), branch_plain(codebase_vcs(p, cb), br));
begin
  if there is not null then
    select h.branch, h.revision into branch, revision from codebase_head(p, k, there) h;
  end if;
  if revision is null and br = (select h.branch from codebase_head(p, cb, null) h) then
    select h.branch, h.revision into branch, revision from codebase_head(p, k, null) h;
  end if;
end $$;

-- What a branch of cb is called in the main codebase: as it is there, or as it would be; null: just so.
create function branch_in_main(p bigint, cb text, br text) returns text language sql stable as $$
  select case when m.name <> cb then nullif(coalesce((select h.branch from codebase_same(p, cb, br, m.name) h), branch_there(codebase_vcs(p, m.name), branch_plain(codebase_vcs(p, cb), br))), br) end
    from (select x.main as name from project x where x.id = p) m $$;

-- One codebase's place beside a change elsewhere: the first rule that applies, and in the end the tip. cb: whose change; line: its branch, null where it is of none (a tag). The same branch is codebase_same's.
create function stamp_by_rule(p bigint, rules text[], k codebase, cb text, line text, out branch text, out revision text, out why text) language plpgsql stable as $$
declare r text; b bigint; along text := coalesce(line, (select h.branch from codebase_head(p, cb, null) h));
begin
  foreach r in array rules || 'tip'::text loop
    case r
      when 'same_branch' then
        if line is not null then
          select h.branch, h.revision, 'same branch' into branch, revision, why from codebase_same(p, cb, line, k.name) h;
        end if;
      when 'last_good', 'last_seen' then
        select h.buildset, h.branch, h.revision into b, branch, revision from stamps_before(p, cb, along, k.name, r = 'last_good') h;
        why := case r when 'last_good' then 'last good: s' else 'last seen: s' end || b;
      when 'pinned' then
        if k.pin is not null then
          select h.branch, h.revision, 'pinned to ' || k.pin into branch, revision, why from codebase_word(p, k.name, k.pin) h;
        end if;
      else
        select h.branch, h.revision, 'tip of ' || h.branch into branch, revision, why from codebase_head(p, k.name, null) h;
    end case;
    exit when revision is not null;
  end loop;
end $$;

-- A word that somebody wrote for a codebase: a whole revision; a tag or a branch, as they were seen last; the beginning of a revision that is known. null: none of these.
-- Of Subversion: a number, which is one of the default branch; BRANCH@NUMBER, of a branch or tag that has been seen; a tag is a folder.
create function codebase_word(p bigint, cb text, word text, out branch text, out revision text) language plpgsql stable as $$
declare known text[]; svn boolean := codebase_vcs(p, cb) in ('svn', 'svn-folder'); at text[] := regexp_match(word, '^(?:(.+)@)?([1-9][0-9]{0,9})$');
begin
  if not svn and word ~ '^([0-9a-f]{40}|[0-9a-f]{64})$' then
    branch := ''; revision := word;
    return;
  end if;
  select case when svn then 'tags/' || word else '' end, h.revision into branch, revision from tag_head h where h.project = p and h.codebase = cb and h.tag = word;
  if found then return; end if;
  select h.branch, h.revision into branch, revision from branch_head h where h.project = p and h.codebase = cb and h.branch = word;
  if found then return; end if;
  if svn then
    if at is null or at[2]::bigint > 2147483647 then return; end if;
    select coalesce((select h.branch from branch_head h where h.project = p and h.codebase = cb and h.branch = at[1]), (select at[1] from tag_head h where h.project = p and h.codebase = cb and 'tags/' || h.tag = at[1]),
      case when at[1] is null then (select h.branch from codebase_head(p, cb, null) h) end) into branch;
    revision := case when branch is not null then at[2] end;
  elsif word ~ '^[0-9a-f]{7,64}$' then
    known := array(select c.revision from change c where c.project = p and c.codebase = cb and starts_with(c.revision, word)
      union select h.revision from branch_head h where h.project = p and h.codebase = cb and starts_with(h.revision, word) limit 2);
    if cardinality(known) = 1 then branch := ''; revision := known[1]; end if;
  end if;
end $$;

-- Changes that are due to be read get their set, once. Until a codebase has been looked at, or that went wrong, or for a minute, they wait for it; without the main one there is no pipeline and no branch.
-- With the set goes what its branch is called in the main codebase.
create function changes_stamp(ours text[]) returns void language plpgsql as $$
declare x change%rowtype; m text; s jsonb;
begin
  for x in select c.* from change c join project p on p.id = c.project where c.state = 'reading' and c.due_at <= now() and p.name = any(ours) and c.stamps is null
      and (c.codebase <> '' or p.main <> '') order by c.id limit 50 for no key update of c skip locked loop
    select p.main into m from project p where p.id = x.project;
    if x.codebase = '' or not exists (select from codebase k where k.project = x.project and k.name = x.codebase) then
      update change c set state = 'failed', error = case x.codebase when '' then 'it was told when the project had one repository; now it has codebases' else 'the project has no codebase ' || x.codebase || ' any more' end
        where c.id = x.id;
      insert into outbox (type, object, body) values ('change.failed', 'c' || x.id, '{}');
      continue;
    end if;
    continue when x.created > now() - interval '1 minute' and exists (select from codebase k left join poll l on l.project = k.project and l.codebase = k.name
      where k.project = x.project and k.name <> x.codebase and l.looked_at is null and l.trouble is null and not exists (select from branch_head h where h.project = k.project and h.codebase = k.name));
    s := stamps_of_change(x);
    if jsonb_path_exists(s, '$[*] ? (@.codebase == $m)', jsonb_build_object('m', m)) then
      update change c set stamps = s, line = case when x.kind in ('branch', 'pull_request') then branch_in_main(x.project, x.codebase, x.branch) end where c.id = x.id;
    else
      update change c set attempts = attempts + 1, error = 'no branch of ' || m || ', which has the pipeline, has been seen yet', due_at = now() + least(300, power(2, attempts)) * interval '1 second' where c.id = x.id;
    end if;
  end loop;
end $$;

-- As in step 10; a quiet time is of the branch as it is called in the main codebase.
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
    end if;
  end loop;
  insert into outbox (type, object, body) values ('change.' || st, 'c' || c, jsonb_build_object('error', err));
  return true;
end $$;

-- The set of a buildset with another revision in the codebase that set it off; rev null: as it is. A number of Subversion is one of that branch.
create function with_stamps_at(b bigint, builders jsonb, rev text) returns jsonb language sql stable as $$
  select case when rev is null or not x ? 'stamps' then x else x || jsonb_build_object('stamps', (select jsonb_agg(case when e->>'codebase' = x->>'codebase' then e || jsonb_build_object('branch', case when revision_wants_branch(rev) then e->>'branch' else '' end, 'revision', rev, 'why', 'asked for') else e end order by i)
    from jsonb_array_elements(x->'stamps') with ordinality as l(e, i))) end from with_stamps_of(b, builders) x $$;
