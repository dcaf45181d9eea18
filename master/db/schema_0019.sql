-- Schema, step 19: builds that steps trigger.

-- Which build asked for it, in which of its steps; null: no build did. waited: the step waits for its end. unimportant: builders whose results don't count for the step.
alter table buildset add column parent_build bigint, add column parent_step bigint, add column waited boolean not null default false, add column unimportant text[] not null default '{}';
create index buildset_of_parent on buildset (parent_build) where parent_build is not null;

-- Requests that builds of these wait for, over however many others, and that are not over.
create function requests_triggered(r bigint[]) returns setof bigint language sql stable as $$
  with recursive d(id) as (
    select q.id from build b join buildset s on s.parent_build = b.id and s.waited join build_request q on q.buildset = s.id where b.request = any(r) and b.state <> 'done'
    union select q.id from d join build b on b.request = d.id and b.state <> 'done' join buildset s on s.parent_build = b.id and s.waited join build_request q on q.buildset = s.id)
  select d.id from d join build_request q on q.id = d.id where q.state <> 'done' $$;

-- As in step 8, and what their builds wait for is cancelled with them, whether it was started or not. Who else asked for it asks again.
create or replace function requests_cancel(todo bigint[], reason text, out request bigint, out was text, out build bigint) returns setof record language plpgsql as $$
declare own bigint[] := todo; more bigint[];
begin
  loop -- a build that is about to trigger holds its row: what it asked for is seen after that
    perform from build z where z.request = any(todo) and z.state <> 'done' order by z.id for no key update;
    more := array(select x from requests_triggered(own) x where x <> all(todo) order by x);
    exit when more = '{}';
    todo := todo || more;
  end loop;
  perform from build_request q where q.id = any(todo) or q.id in (select requests_waiting_for(todo)) order by q.id for update;
  for request, was in select q.id, q.state from build_request q where q.id = any(todo) order by q.id desc loop
    update build z set state = 'cancelling', why = reason where z.request = requests_cancel.request and z.state = 'running' returning z.id into build;
    if found then
      insert into outbox (type, object, body) values ('build.cancelling', 'r' || request, jsonb_build_object('build', build));
    end if;
    perform request_finish(request, 6::smallint, reason);
    return next;
  end loop;
end $$;

-- A buildset's builders (as buildset_add takes them) with the priority of whoever triggers them, and on top of the same patch.
create function triggered_builders(builders jsonb, prio int, pat text) returns jsonb language sql immutable as $$
  select case when jsonb_typeof(builders) = 'object' then builders else '{}' end || case when pat is not null then jsonb_build_object('patch', pat) else '{}' end
    || jsonb_build_object('builders', (select coalesce(jsonb_agg(l.e || jsonb_build_object('priority', prio) order by l.i), '[]')
      from jsonb_array_elements(case when jsonb_typeof(builders) = 'object' then builders->'builders' else builders end) with ordinality l(e, i))) $$;

-- How it ended, as a word.
create function result_word(res smallint) returns text language sql immutable as $$
  select (array['success', 'warnings', 'failure', 'skipped', 'exception', 'retry', 'cancelled'])[res + 1] $$;
