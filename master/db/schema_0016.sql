-- Schema, step 16: several codebases in a project.

-- A set of stamps, one for each codebase, content-addressed as stamps are. What a project with one repository builds has no set: its codebase is '', and the stamp says all.
create table stamp_set (
  id bigint generated always as identity primary key,
  hash text not null unique);       -- over the hashes of its stamps in the order of their codebases' names
create table stamp_set_stamp (
  stamp_set bigint not null, codebase text not null, sourcestamp bigint not null,
  primary key (stamp_set, codebase));
create index stamp_set_of_stamp on stamp_set_stamp (sourcestamp);

alter table buildset
  add column stamp_set bigint,      -- null: there is one codebase, and `sourcestamp` says all; else `sourcestamp` is the stamp of the codebase that set it off (a change's; where nobody's did: the main one's)
  add column stamps_why jsonb not null default '{}', -- {codebase: why it is at this revision, a sentence}
  add column derived_from bigint;   -- the buildset whose stamps these were made of (a step pinned or replaced some)
create index buildset_of_set on buildset (stamp_set) where stamp_set is not null;
