-- Schema, step 22: builders that need those of other projects.

-- A need of a waiting request that is not asked for yet: the other project's pipeline has to be read first. The row goes when that is answered (ask_answer in step 23).
create table request_ask (
  request bigint not null, name text not null, -- PROJECT/BUILDER, of a matrix one or all combinations
  project text not null,            -- the first part of it
  soft boolean not null,
  created timestamptz not null default now(),
  attempts int not null default 0, due_at timestamptz not null default now(),
  error text,                       -- why it can't be asked for yet
  over boolean not null default false, -- its request has ended without it; kept for `rerun`
  primary key (request, name));
create index request_ask_due on request_ask (due_at) where not over;

alter table buildset add column asked_for bigint; -- the request of another project for whose sake it was made; any other that needs the same there waits for it too
create index buildset_asked on buildset (sourcestamp) where asked_for is not null and state = 'open';

-- As in step 8; {name: PROJECT/BUILDER, outside, soft} is asked for later.
create or replace function request_needs(r bigint, list jsonb, by_name jsonb) returns int language plpgsql as $$
declare n jsonb; x build_request%rowtype; open int := 0; bad boolean := false;
begin
  for n in select e from jsonb_array_elements(list) e order by coalesce((e->>'request')::bigint, (by_name->>(e->>'name'))::bigint) loop
    if n->'outside' = 'true' then
      insert into request_ask (request, name, project, soft) values (r, n->>'name', split_part(n->>'name', '/', 1), coalesce((n->>'soft')::boolean, false));
      open := open + 1;
      continue;
    end if;
    select q.* into x from build_request q where q.id = coalesce((n->>'request')::bigint, (by_name->>(n->>'name'))::bigint) for share; -- against its end at this moment
    insert into request_need (request, needs, soft) values (r, x.id, coalesce((n->>'soft')::boolean, false));
    if x.state <> 'done' then
      open := open + 1;
    elsif x.result not in (0, 1) and n->'soft' is distinct from 'true' then
      bad := true;
    end if;
  end loop;
  return case when not bad then open end;
end $$;

-- It can't be had: the request ends as an exception.
create function ask_refuse(r bigint, ask text, why text) returns void language plpgsql as $$
begin
  perform from build_request z where z.id = r and z.state = 'waiting' for update;
  if found and exists (select from request_ask z where z.request = r and z.name = ask) then
    perform request_finish(r, 4::smallint, why);
  end if;
end $$;

-- As in step 8, with the conditions on a worker and the locks. Of what other projects built for it only what was good is taken as it is, or what is not over; the rest is asked for again.
create or replace function builders_again(r bigint, alone boolean) returns jsonb language sql stable as $$
  with recursive s(id) as (select r union select n.request from s join request_need n on n.needs = s.id join build_request q on q.id = n.request
      where not alone and q.buildset = (select x.buildset from build_request x where x.id = r))
    select jsonb_agg(jsonb_build_object('name', u.name, 'tags', to_jsonb(q.tags), 'wants', to_jsonb(q.wants), 'priority', q.priority, 'locks', q.locks, 'needs',
        (select coalesce(jsonb_agg(jsonb_build_object('soft', n.soft) || case when n.needs in (select s.id from s) then jsonb_build_object('name', v.name)
            when v.project <> u.project and x.state = 'done' and x.result not in (0, 1) then jsonb_build_object('name', p.name || '/' || v.name, 'outside', true) else jsonb_build_object('request', n.needs) end), '[]')
          from request_need n join build_request x on x.id = n.needs join builder v on v.id = x.builder join project p on p.id = v.project where n.request = q.id)
        || (select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'outside', true, 'soft', a.soft)), '[]') from request_ask a where a.request = q.id)) order by q.id)
      from s join build_request q on q.id = s.id join builder u on u.id = q.builder $$;
