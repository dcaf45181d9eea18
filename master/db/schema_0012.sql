-- Schema, step 12: versions of the configuration. A version is one act: somebody made a text the active one, or tried to. Its text is everything that it was made of (master/conf/parts.h), so that
-- it can become active again without the files and programs that it came from.
alter table config_version drop constraint config_version_hash_key,
  add how text not null default 'start',      -- start, reload (SIGHUP), activate, rollback; kept: the one that stayed where nobody knew what was active
  add who text not null default '', add host text not null default '', -- host: HOST:STATE, which one master has
  add disk text,                              -- hash of what the files said at that time; where it is not the version's own, the version holds until they say something else
  add origin bigint references config_version,-- rollback, kept: the version whose text this is
  add projects int, add workers int,
  add refused int, add why text,              -- it was refused: number of errors (0: something else), and which; it has no text
  add times int not null default 1;           -- refused: so often, one after the other
update config_version set disk = hash;
create index config_version_disk on config_version (disk, id);

create function config_say(v bigint) returns void language sql as $$
  insert into outbox (type, object, body) select case when c.refused is null then 'config' else 'config.refused' end, 'config/' || c.id,
    jsonb_strip_nulls(jsonb_build_object('version', c.id, 'who', c.who, 'how', c.how, 'origin', c.origin, 'projects', c.projects, 'workers', c.workers, 'count', c.refused))
  from config_version c where c.id = v $$;

create function config_activate(h text, b text, on_disk text, how text, who text, host text, origin bigint, projects bigint, workers bigint, out id bigint) language plpgsql as $$
begin
  insert into config_version as c (hash, body, disk, how, who, host, origin, projects, workers, activated) values (h, b, on_disk, how, who, host, origin, projects, workers, now()) returning c.id into id;
  perform config_say(id);
end $$;

-- A master has started on `at`, and its files say b. The version that was active for these files is so again: the same text, or, after a rollback, the text `held` that counts instead. A version that
-- the same master had later, for other files, ends that.
create function config_start(h text, b text, at text, projects bigint, workers bigint, out id bigint, out held text, out from_version bigint) language plpgsql as $$
declare v config_version%rowtype;
begin
  select c.* into v from config_version c where c.disk = h and c.refused is null order by c.id desc limit 1;
  if found and not exists (select from config_version n where n.id > v.id and n.refused is null and n.host = at and n.disk <> h) then
    update config_version c set activated = now() where c.id = v.id;
    id := v.id;
    if v.hash <> h then held := v.body; from_version := v.origin; end if;
  else
    id := config_activate(h, b, h, 'start', '', at, null, projects, workers);
  end if;
end $$;

-- Whether the last change was committed is not known: if so, version v, which has stayed, is the active one again.
create function config_keep(v bigint, at text) returns bigint language plpgsql as $$
declare x config_version%rowtype;
begin
  select c.* into x from config_version c where c.id = v;
  if not exists (select from config_version n where n.id > v and n.refused is null and n.host = at) then return v; end if;
  return config_activate(x.hash, x.body, x.disk, 'kept', x.who, at, v, x.projects, x.workers);
end $$;

create function config_refuse(how text, who text, at text, n bigint, reasons text) returns void language plpgsql as $$
declare x config_version%rowtype; v bigint;
begin
  select c.* into x from config_version c where c.host = at order by c.id desc limit 1;
  if found and x.refused is not null and x.why = reasons and x.how = config_refuse.how and x.who = config_refuse.who then
    update config_version c set times = c.times + 1, created = now() where c.id = x.id;
    return;
  end if;
  insert into config_version as c (hash, body, how, who, host, refused, why) values ('', '', how, who, at, n, reasons) returning c.id into v;
  perform config_say(v);
end $$;
