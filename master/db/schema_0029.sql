-- Schema, step 29: what `only_if` of a scheduler of time may look at.

alter table scheduler add column built_by bigint; -- the buildset of `built`
update scheduler s set built_by = (select d.buildset from scheduler_decision d where d.scheduler = s.id and d.buildset is not null order by d.id desc limit 1);
create index sourcestamp_of_branch on sourcestamp (project, branch);

-- As in step 6; of several codebases the whole set is what it built last.
create function set_built(s bigint, bs bigint, rev text) returns void language sql as $$
  update scheduler y set built = rev, built_by = bs, built_set = (select stamps_mark(stamps_of_buildset(b.id)) from buildset b where b.id = bs and b.stamp_set is not null) where y.id = s $$;

-- How many changes of its branch, and of what was built with it in other codebases, are newer than what a scheduler built last; where it has built nothing yet, or another branch, all of the branch. No more than 1000.
create function changes_since_built(s scheduler, br text) returns int language sql stable as $$
  with st as (select z.codebase, z.branch, z.revision from buildset b left join stamp_set_stamp x on x.stamp_set = b.stamp_set join sourcestamp z on z.id = coalesce(x.sourcestamp, b.sourcestamp) where b.id = s.built_by),
    since as (select st.codebase, st.branch, coalesce((select max(k.id) from change k where k.project = s.project and k.codebase = st.codebase and k.branch = st.branch and k.revision = st.revision and k.kind = 'branch'), 0) as c
        from st where exists (select from st t where t.branch = br)
      union all select p.main, br, 0 from project p where p.id = s.project and not exists (select from st t where t.branch = br))
    select count(*)::int from (select from since y join change c on c.project = s.project and c.codebase = y.codebase and c.branch = y.branch and c.kind = 'branch' and c.id > y.c limit 1000) n $$;

-- What an `only_if` knows beside the branch's head: {changes, result, age (ms), revision: of the newest buildset of the branch that is over and that a change or a time set off, own: result of what it built last}.
create function time_facts(s scheduler, br text) returns jsonb language sql stable as $$
  select jsonb_strip_nulls(jsonb_build_object('changes', changes_since_built(s, br), 'result', result_word(l.result), 'age', ms_of(clock_timestamp()) - ms_of(l.finished), 'revision', nullif(l.revision, ''),
      'own', (select result_word(b.result) from buildset b where b.id = s.built_by and b.state = 'done')))
    from (values (1)) one left join lateral (select b.result, b.finished, z.revision from sourcestamp z join buildset b on b.sourcestamp = z.id
      where z.project = s.project and z.branch = br and b.state = 'done' and b.scheduler is not null and b.who is null and b.rerun_of is null and b.parent_build is null order by b.id desc limit 1) l on true $$;
