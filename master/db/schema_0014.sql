-- Schema, step 14: who committed a change, and what kind of change its teller says it is.
alter table change add column committer text not null default '', add column category text not null default '';
update change set category = properties->>'category' where properties->>'category' is not null;

-- As in step 5, with both of them. c: {…, committer, category}; a category among the properties is it too.
create or replace function change_put(p bigint, k text, br text, num bigint, ext text, repo text, c jsonb, told text, again boolean, may_be_new boolean,
                           out id bigint, out fresh boolean) language plpgsql as $$
declare over boolean; at timestamptz := to_timestamp((c->>'at')::bigint / 1000.0); cat text := coalesce(c->>'category', c->'properties'->>'category', '');
begin
  fresh := false;
  select x.id, x.gone into id, over from change x where x.project = p and x.codebase = '' and x.branch = br and x.revision = c->>'revision'
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
  insert into change (project, kind, number, external, repository, branch, revision, previous, author, author_at, committer, category, message, files, properties, revlink, told_by, state, error)
    values (p, k, num, ext, repo, br, c->>'revision', c->>'previous', coalesce(c->>'author', ''), at, coalesce(c->>'committer', ''), cat, coalesce(c->>'message', ''), coalesce(c->'files', '[]'),
      coalesce(c->'properties', '{}'), c->>'url', told, case k when 'comment' then 'decided' else 'reading' end,
      case k when 'comment' then 'comments start nothing yet' end)
    returning change.id into id;
  insert into outbox (type, object, body) values ('change.new', 'c' || id,
    jsonb_build_object('project', (select name from project where project.id = p), 'kind', k, 'branch', br, 'revision', c->>'revision'));
end $$;
