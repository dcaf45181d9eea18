-- Schema, step 32: sets that steps choose and derive, and where a set comes from.

alter table buildset add column after_set bigint; -- the buildset that it came after, whose set it has

-- The set of a buildset with other places for some codebases, as a step of its build says: {codebase: {rule: tip or last_good} | {revision, branch, why}}; null: as it is. A codebase that is in neither the set nor
-- the configuration is passed over.
create function with_stamps_by(b bigint, builders jsonb, at jsonb) returns jsonb language plpgsql stable as $$
declare x jsonb := with_stamps_of(b, builders); made jsonb := x->'stamps'; p bigint; cb text := x->>'codebase'; line text; k codebase%rowtype; place jsonb; h record; n text;
begin
  if at is null or made is null then return x; end if;
  select s.project, nullif(s.branch, '') into p, line from buildset y join sourcestamp s on s.id = y.sourcestamp where y.id = b;
  for n, place in select * from jsonb_each(at) loop
    select z.* into k from codebase z where z.project = p and z.name = n;
    if place ? 'rule' then
      continue when k.name is null;
      select r.branch, r.revision, r.why into h from stamp_by_rule(p, array[place->>'rule'], k, cb, line) r;
      continue when h.revision is null;
      place := jsonb_build_object('branch', coalesce(h.branch, ''), 'revision', h.revision, 'why', h.why);
    end if;
    if jsonb_path_exists(made, '$[*] ? (@.codebase == $n)', jsonb_build_object('n', n)) then
      made := (select jsonb_agg(case when e->>'codebase' = n then e || place else e end order by i) from jsonb_array_elements(made) with ordinality as l(e, i));
    elsif k.name is not null then
      made := made || jsonb_build_array(place || jsonb_build_object('codebase', n, 'repository', k.repository));
    end if;
  end loop;
  return x || jsonb_build_object('stamps', made);
end $$;

-- What the step n of build b asks for: {wait, reason, revision, stamps: as above, sets: [{scheduler, builders, properties, unimportant}]}; at the revision that it has checked out, unless another one is said.
-- In the transaction that moves the step on: it happens with that, or not at all. Of several codebases: at the build's own set. What is built in the codebase that set the build off is none of its changes then.
create function step_trigger(b bigint, n int, what jsonb) returns void language plpgsql as $$
declare x record; t bigint; e jsonb; s bigint; y scheduler%rowtype; at_branch text; at_revision text; off jsonb := '[]';
begin
  select r.priority, bs.id as buildset, bs.config, bs.pipeline, bs.changes, z.project, z.codebase, z.repository, z.branch, z.revision, z.patch, nullif(d.properties->>'got_revision', '') as got,
      p.name || '/' || u.name || '/' || d.number as name into x
    from build d join build_request r on r.id = d.request join buildset bs on bs.id = r.buildset join sourcestamp z on z.id = bs.sourcestamp join builder u on u.id = d.builder join project p on p.id = u.project
    where d.id = b;
  select k.id into t from step k where k.build = b and k.number = n;
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

-- As in step 8, with the same set, and it is kept where the set comes from.
create or replace function buildset_next(s bigint) returns void language plpgsql as $$
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
    select y.id into n from buildset_add(b.project, b.repository, b.branch, b.revision, e->>'scheduler', 'scheduler ' || (e->>'scheduler') || ': ' || w, b.changes, b.properties, null, b.config, b.pipeline, null,
      with_stamps_of(s, e->'builders')) y;
    update buildset y set after_set = s where y.id = n;
    if x.id is not null then
      perform scheduler_note(x.id, null, 'built', w, n);
    end if;
  end loop;
end $$;

-- Where a buildset's set comes from, the nearest first, 20 at most: [{buildset, how: triggered, rerun or after, build, step}]; null: it was made for what set it off.
create function set_lineage(b bigint) returns jsonb language sql stable as $$
  with recursive up(i, id) as (select 0, b
    union all select up.i + 1, coalesce(y.rerun_of, (select q.buildset from build z join build_request q on q.id = z.request where z.id = y.parent_build), y.after_set)
      from up join buildset y on y.id = up.id where up.i < 20 and coalesce(y.rerun_of, y.parent_build, y.after_set) is not null)
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('buildset', 's' || o.id, 'how', case when y.rerun_of is not null then 'rerun' when y.parent_build is not null then 'triggered' else 'after' end,
      'build', case when y.rerun_of is null then (select p.name || '/' || u.name || '/' || z.number from build z join builder u on u.id = z.builder join project p on p.id = u.project where z.id = y.parent_build) end,
      'step', case when y.rerun_of is null then (select t.name from step t where t.id = y.parent_step) end)) order by o.i)
    from up o join up c on c.i = o.i - 1 join buildset y on y.id = c.id where o.id is not null $$;
