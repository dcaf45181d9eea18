-- Schema, step 11: secrets in the store, and the names of those that a command takes.

-- Encrypted by the site's key, which is in no database (core/site_key.h).
create table secret (
  name text primary key,
  version bigint not null,          -- another one each time it is set: with the name it is what the value is bound to
  key text not null,                -- id of the site's key
  nonce bytea not null, sealed bytea not null,
  set_at timestamptz not null default now(), set_by text not null);

alter table command add column secrets text[] not null default '{}';
create index command_with_secrets on command (id) where secrets <> '{}';
