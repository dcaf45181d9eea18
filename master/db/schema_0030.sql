-- Schema, step 30: steps that trigger builds of other projects, and of other branches.

-- What a step has triggered elsewhere and that is not asked for yet: the pipeline there has to be read first. The row goes when it is (trigger_answer); one that is refused stays, for the step's end and
-- for people.
create table trigger_ask (
  step bigint not null, number int not null,   -- which of the step's
  build bigint not null,
  project text not null,            -- which project; the build's own for another branch of it
  builders text[] not null,         -- names there, of a matrix one or all combinations
  branch text,                      -- null: the one of the same name as the build's, else the default one
  properties jsonb not null, reason text not null,
  waited boolean not null,          -- the step waits for its end
  unimportant boolean not null,     -- and its result does not count
  created timestamptz not null default now(),
  attempts int not null default 0, due_at timestamptz not null default now(),
  error text,                       -- why it is not asked for yet, or will not be
  refused boolean not null default false,
  primary key (step, number));
create index trigger_ask_due on trigger_ask (due_at) where not refused;
create index trigger_ask_build on trigger_ask (build);

-- What the step n of build b asks for elsewhere: {wait, reason, abroad: [{project, builders, branch, properties, unimportant}]}. In the transaction that moves the step on, like step_trigger.
create function step_trigger_abroad(b bigint, n int, what jsonb) returns void language sql as $$
  insert into trigger_ask (step, number, build, project, builders, branch, properties, reason, waited, unimportant)
    select k.id, l.i, b, l.e->>'project', array(select jsonb_array_elements_text(l.e->'builders')), l.e->>'branch', coalesce(l.e->'properties', '{}'), what->>'reason',
        coalesce((what->>'wait')::boolean, false), coalesce((l.e->>'unimportant')::boolean, false)
      from step k cross join jsonb_array_elements(what->'abroad') with ordinality as l(e, i) where k.build = b and k.number = n $$;

-- Requests that led to build b: its own, and those of the builds that triggered it, or for whose sake it was asked for, over however many others.
create function build_lineage(b bigint) returns setof bigint language sql stable as $$
  with recursive up(id) as (select z.request from build z where z.id = b
    union select coalesce(y.request, s.asked_for) from up join build_request q on q.id = up.id join buildset s on s.id = q.buildset left join build y on y.id = s.parent_build where coalesce(y.request, s.asked_for) is not null)
    select up.id from up $$;

create function trigger_refuse(st bigint, num int, said text) returns void language plpgsql as $$
declare a trigger_ask%rowtype;
begin
  update trigger_ask z set refused = true, error = said where z.step = st and z.number = num and not z.refused returning z.* into a;
  if not found then return; end if;
  insert into outbox (type, object, body) select 'trigger.refused', p.name || '/' || u.name || '/' || b.number, jsonb_build_object('project', a.project, 'why', said)
    from build b join builder u on u.id = b.builder join project p on p.id = u.project where b.id = a.build;
end $$;

-- What was triggered is known now: builders (decide.h) of project p, at that revision of its branch, by that pipeline. what: asked, gone (nobody waits for it any more, or somebody else has answered), or
-- ring (it was refused: it would trigger itself).
create function trigger_answer(st bigint, num int, p bigint, repo text, br text, rev text, pipe bigint, conf bigint, builders jsonb, out what text) language plpgsql as $$
declare a trigger_ask%rowtype; b record; s bigint; ring text;
begin
  select z.* into a from trigger_ask z where z.step = st and z.number = num;
  perform from build z where z.id = a.build for no key update; -- whoever cancels it has this row first, and then sees what it waits for
  select z.* into a from trigger_ask z where z.step = st and z.number = num and not z.refused for update;
  select z.state, q.priority into b from build z join build_request q on q.id = z.request where z.id = a.build;
  if a.step is null or (a.waited and b.state <> 'running') then
    what := 'gone';
    return;
  end if;
  select e->>'name' into ring from jsonb_array_elements(builders) e
    where exists (select from build_lineage(a.build) i join build_request q on q.id = i join builder u on u.id = q.builder where u.project = p and u.name = e->>'name') limit 1;
  if ring is not null then
    perform trigger_refuse(st, num, a.project || '/' || ring || ' would trigger itself: what it triggers has led here');
    what := 'ring';
    return;
  end if;
  select x.id into s from buildset_add(p, repo, br, rev, null, a.reason, '{}', a.properties, null, conf, pipe, null, triggered_builders(builders, b.priority, null)) x;
  update buildset z set parent_build = a.build, parent_step = st, waited = a.waited,
      unimportant = case when a.unimportant then array(select u.name from build_request q join builder u on u.id = q.builder where q.buildset = s) else '{}' end where z.id = s;
  delete from trigger_ask z where z.step = st and z.number = num;
  what := 'asked';
end $$;

-- Those for which build b waits: whether all are over, the worst result of those that count (-1: there are none at all), and a sentence about those that did not end well.
-- What is not asked for yet, or was refused, counts as an exception; of other projects' builders their project is said.
create function step_outcome(b bigint, out over boolean, out worst int, out said text) language plpgsql stable as $$
declare t step%rowtype; n int; own bigint;
begin
  select k.* into t from step k where k.build = b and k.result is null order by k.number desc limit 1;
  over := t.id is not null and not exists (select from buildset s where s.parent_build = b and s.parent_step = t.id and s.waited and s.state <> 'done')
    and not exists (select from trigger_ask a where a.step = t.id and a.waited and not a.refused);
  if not over then return; end if;
  select u.project into own from build d join builder u on u.id = d.builder where d.id = b;
  select (select count(*) from buildset s where s.parent_build = b and s.parent_step = t.id and s.waited) + (select count(*) from trigger_ask a where a.step = t.id and a.waited) into n;
  with r as (
    select q.result, q.id, case when u.project = own then '' else p.name || '/' end || u.name || ': ' || result_word(q.result) || ' (r' || q.id || ')' as said
      from buildset s join build_request q on q.buildset = s.id join builder u on u.id = q.builder join project p on p.id = u.project
      where s.parent_build = b and s.parent_step = t.id and s.waited and u.name <> all(s.unimportant)
    union all select 4::smallint, 0, a.error from trigger_ask a where a.step = t.id and a.waited and a.refused and not a.unimportant),
  ranked as (select r.*, row_number() over (order by severity(r.result) desc, r.id) as i from r where r.result not in (0, 1))
    select (select r.result from r order by severity(r.result) desc limit 1), (select string_agg(case when x.i > 3 then '…' else x.said end, ', ' order by x.i) from ranked x where x.i <= 4) into worst, said;
  worst := coalesce(worst, case when n = 0 then -1 else 0 end);
  if n = 0 and t.vars ? 'disabled' then
    said := 'disabled: ' || (select string_agg(k, ', ') from jsonb_array_elements_text(t.vars->'disabled') k);
  end if;
  said := coalesce(said, '');
end $$;
