-- Schema, step 42: what works through any master.

alter table master add column address text; -- what others seal for it, and nobody else can read then (core/envelope.h); null: of an older version
