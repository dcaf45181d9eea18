/* The messages of a worker, handed to whom they are about. What nobody waits for any more is dropped: the rows are the truth, and the worker keeps what was not acked. */
#include "common/clock.h"
#include "common/log.h"
#include "common/utf8.h"
#include "master/dispatch/run.h"
#include "master/core/secret_values.h"
#include "master/dispatch/run_input.h"
#include "master/dispatch/run_secrets.h"
#include "master/workers/ops.h"
#include "master/workers/session_int.h"

#include <stdlib.h>
#include <string.h>

static struct run *run_of(struct session *s, struct wire_msg *m, int token)
{
  struct id cmd = wire_id(m, token);
  struct run *r = m->bad || !session_ready(s) ? NULL : map_get_n(s->by_cmd, (uint64_t)cmd.n);

  return r && !str_id_cmp(r->cmd, cmd) ? r : NULL;
}

/* What a worker can say as often as it likes must not fill the log. */
static bool may_tell(struct session *s)
{
  int missed;
  bool pass = quota_take(&s->lines, clock_mono_ms(), &missed);

  if (missed)
    log_warn("worker", "%s said more, not listed: %d", s->name, missed);
  return pass;
}

static void on_error(struct session *s, struct wire_msg *m)
{
  const char *tag = wire_str(m, 0), *what = wire_str(m, 1);
  char *text = utf8_text(m->blob, m->blob_len, SESSION_TEXT_MAX, false);
  struct id cmd;
  struct run *r = NULL;

  if (may_tell(s))
    log_warn("worker", "%s says error %s about %s: %s", s->name, tag, what, text);
  if (!str_id(what, strlen(what), &cmd))
    r = run_of(s, m, 1);
  if (r)
    run_refused(r, tag, text);
  free(text);
}

static void on_done(struct session *s, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0);

  if (!m->bad && !order_answered(s, req, wire_str(m, 1), m->blob, m->blob_len) && !work_answered(s, req, wire_str(m, 1), m->blob, m->blob_len) && session_ready(s))
    ops_answered(s, m);
}

void session_msg(struct link *l, struct wire_msg *m)
{
  struct session *s = link_data(l);
  struct run *r;

  if (!s)
    s = session_new(link_server_ctx(link_server_of(l)), l);
  if (s->sm.state == SESSION_CLOSED)
    return;
  if ((m->verb == VERB_hello) != (s->sm.state == SESSION_HELLO)) {
    session_close(s, "protocol");
    return;
  }
  switch (m->verb) {
  case VERB_hello: session_hello(s, m); return;
  case VERB_have: session_have(s, m); return;
  case VERB_listed: session_listed(s, m); return;
  case VERB_out:
    if ((r = run_of(s, m, 0)))
      run_out(r, m);
    return;
  case VERB_report:
    if ((r = run_of(s, m, 0)))
      run_report(r, m);
    return;
  case VERB_exit:
    if ((r = run_of(s, m, 0)))
      run_exit(r, m);
    return;
  case VERB_fed:
    if ((r = run_of(s, m, 0)) && !run_input_fed(r, m)) {
      log_warn("worker", "%s tells of input what can't be", s->name);
      session_close(s, "protocol");
    }
    return;
  case VERB_done: on_done(s, m); return;
  case VERB_data:
    if (session_ready(s))
      ops_data(s, m);
    return;
  case VERB_error: on_error(s, m); return;
  case VERB_bye:
    if (may_tell(s))
      log_info("worker", "%s says bye: %s", s->name, wire_str(m, 0));
    return;
  default: /* state: the exit tells what matters */
    return;
  }
}

void session_specs_clear(struct session *s)
{
  size_t at = 0;
  struct have *h;

  while ((h = map_next(s->specs, &at))) {
    secret_rows_free(h->secrets);
    free(h);
  }
  map_free(s->specs);
  s->specs = map_new();
}
