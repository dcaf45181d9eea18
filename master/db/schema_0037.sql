-- Schema, step 37: limits of output. A command's log has the beginning and the end of what it wrote, where that was more than its limits.
alter table log add column limit_bytes bigint not null default 0, -- what its command was sent with; 0: no limit, or a worker that knows none
  add column limit_lines bigint not null default 0,
  add column left_bytes bigint not null default 0,                 -- of the output, and not in the log
  add column left_lines bigint not null default 0;
