-- Schema, step 17: what a build's one line names.
alter table step add column told boolean not null default false; -- its end is one of the reasons why the build ended so (steps/outcome.h)

-- "test: exit 1; lint: exit 2", the first three; null: nothing is to be told.
create function build_why(b bigint) returns text language sql stable as $$
  select left(string_agg(t.name || ': ' || coalesce(t.summary, (array['success', 'warnings', 'failure', 'skipped', 'exception', 'retry', 'cancelled'])[t.result + 1]), '; ' order by t.number) filter (where t.i <= 3)
      || case when count(*) > 3 then '; and ' || count(*) - 3 || ' more' else '' end, 600)
    from (select x.*, row_number() over (order by x.number) as i from step x where x.build = b and x.told) t $$;
