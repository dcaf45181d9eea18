-- Schema, step 42: what works through any master.

alter table master add column address text; -- what others seal for it, and nobody else can read then (core/envelope.h); null: of an older version

alter table worker_session add column machine text not null default ''; -- on which its instance was first seen, its word; '': it told none. Of members of pools worker.machine has it
