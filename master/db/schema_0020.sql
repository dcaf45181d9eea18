-- Schema, step 20: what becomes of a build whose worker was lost in a step that asks.
alter table step add column on_lost int not null default 0; -- as the pipeline says: attempts in all, 0 the usual ones, -1 none after this one, -2 a person is asked (conf/pipeline.h)
alter table build_request add column asks boolean not null default false; -- waiting: for a person; why says what happened

-- A build was lost, and its request waits for a person: request_approve() lets it go on, a cancel ends it.
create function build_asks(b bigint, reason text, name text) returns void language plpgsql as $$
declare r bigint;
begin
  perform build_finish(b, 5::smallint, reason, true, 4::smallint, name);
  update build_request q set state = 'waiting', asks = true from build x where x.id = b and q.id = x.request and q.state = 'pending' returning q.id into r;
  if found then
    insert into outbox (type, object, body) values ('request.asks', 'r' || r, jsonb_build_object('reason', reason));
  end if;
end $$;

-- how: approved; or, where nothing waits for that, its state, null where there is none.
create function request_approve(r bigint, by_whom text, out how text, out object text) language plpgsql as $$
declare q build_request%rowtype;
begin
  select z.* into q from build_request z where z.id = r for update;
  if not found then return; end if;
  object := 'r' || r;
  how := q.state;
  if q.state = 'waiting' and q.asks then
    update build_request z set state = 'pending', asks = false where z.id = r;
    insert into outbox (type, object, body) values ('request.ready', object, jsonb_build_object('who', by_whom));
    how := 'approved';
  end if;
end $$;
