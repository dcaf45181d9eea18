-- Schema, step 33: a build that takes locks, and whose first step takes some too.

-- As in step 21; what the build takes at its beginning leaves the row of a step that begins in the same transaction, and waits.
create or replace function locks_take(b bigint, s int, w bigint, wants jsonb) returns void language plpgsql as $$
declare x jsonb; l lock%rowtype; f record; k int; names text[]; taken boolean;
begin
  perform from lock y where y.name in (select e->>'lock' from jsonb_array_elements(wants) e) order by y.id for update;
  for x in select e from jsonb_array_elements(wants) e loop
    select y.* into l from lock y where y.name = x->>'lock' and y.gone is null;
    if not found then
      raise exception using errcode = 'DR002', message = 'there is no lock ' || (x->>'lock');
    end if;
    select * into f from lock_left(l, w);
    k := (x->>'n')::int;
    names := array(select jsonb_array_elements_text(coalesce(x->'units', '[]')));
    taken := case when k is null then f.held or names is distinct from l.units else f.exclusive or f.n < k or not names <@ f.free or (cardinality(l.units) > 0 and cardinality(names) <> k) end;
    if taken then
      raise exception using errcode = 'DR002', message = 'the lock ' || l.name || ' is taken';
    end if;
    insert into lock_hold (lock, build, step, worker, n, units) values (l.id, b, s, w, k, names);
    insert into outbox (type, object, body) values ('lock.taken', 'lock/' || l.name, jsonb_strip_nulls(jsonb_build_object('build', b, 'step', nullif(s, 0), 'n', k, 'units', nullif(to_jsonb(names), '[]'))));
  end loop;
  delete from lock_wait y where y.request = (select z.request from build z where z.id = b) and y.step <= s;
end $$;
