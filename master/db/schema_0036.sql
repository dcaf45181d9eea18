-- Schema, step 36: why requests wait, as rows.

-- What each master says of the requests that wait for a worker: one row for all of a builder that want the same of one (class: PROJECT/BUILDER TAGS WANTS), by what that master knows of its own workers. Written when it
-- changes, by the master alone; what a lock or a need makes wait is in lock_wait and request_need.
create table wait_reason (
  hash text not null,               -- of class
  master bigint not null,
  class text not null, kind text not null, object text not null, text text not null,
  since timestamptz not null,       -- that it is of this kind, about this object, whoever said so first
  told timestamptz not null default now(),
  primary key (hash, master));
create index wait_reason_of_master on wait_reason (master);

-- told: [{class, kind, object, text}], what that master says now of these; gone: classes that nobody waits in any more.
create function reasons_put(m bigint, told jsonb, gone jsonb) returns table (class text, since timestamptz) language plpgsql as $$
begin
  return query insert into wait_reason as w (hash, master, class, kind, object, text, since)
    select md5(t.class), m, t.class, t.kind, t.object, t.text,
        coalesce((select min(o.since) from wait_reason o where o.hash = md5(t.class) and o.kind = t.kind and o.object = t.object), now())
      from jsonb_to_recordset(told) t(class text, kind text, object text, text text) order by md5(t.class)
    on conflict on constraint wait_reason_pkey do update set kind = excluded.kind, object = excluded.object, text = excluded.text, since = excluded.since, told = now()
    returning w.class, w.since;
  delete from wait_reason w where w.master = m and w.hash in (select md5(x) from jsonb_array_elements_text(gone) x);
end $$;
