-- Schema, step 24: warnings in a log, steps that are not shown.
alter table log add column warnings bigint, add column warn_open bytea; -- how many lines of what is stored are warnings, and the beginnings of those that are not over (logs/warn.h); null: nobody counts
alter table step add column hidden boolean not null default false;      -- it is over, and not shown unless all are
