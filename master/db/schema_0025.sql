-- Schema, step 25: how a work folder's tree was left.

-- What the checkouts of the last build made of it (conf/pipe_checkout.c, layout): another builder's definition can't go on with it. '': one repository at the top, as all were before.
alter table work_folder add column layout text not null default '';
