-- Schema, step 15: what has just ended is found at once.
create index build_finished on build (finished) where state = 'done';
