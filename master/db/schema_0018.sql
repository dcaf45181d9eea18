-- Schema, step 18: what a worker must be, its tags aside.
alter table build_request add column wants text[] not null default '{}'; -- conditions on a worker, all of them (expressions over the names of conf/worker_names.def)
