-- Schema, step 7: pull requests from forks are built once somebody has looked at that revision.
alter table change add column approved_at timestamptz, add column approved_by text;

-- Somebody says that the pull request of change c may be built as it is: it is read and decided anew. how:
--   approved  it is so from now on
--   before    it was approved already, by who
--   needless  it is no pull request that a scheduler refused because it is from a fork
-- or null: there is no such change.
create function change_approve(c bigint, by_whom text, out how text, out who text) language plpgsql as $$
declare x change%rowtype;
begin
  select z.* into x from change z where z.id = c for no key update;
  if not found then return; end if;
  who := x.approved_by;
  if x.approved_at is not null then
    how := 'before';
  elsif not exists (select from verdict v where v.change = c and v.verdict = 'no' and v.rule = 'forks') or exists (select from verdict v where v.change = c and v.verdict <> 'no') then
    how := 'needless';
  else
    how := 'approved';
    who := by_whom;
    delete from verdict v where v.change = c;
    update change z set approved_at = now(), approved_by = by_whom, state = 'reading', attempts = 0, due_at = now(), error = null where z.id = c;
    insert into outbox (type, object, body) values ('change.approved', 'c' || c, jsonb_build_object('by', by_whom));
  end if;
end $$;
