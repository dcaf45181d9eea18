/* What a command reported: kept until its end comes, then read (steps/report.h) and written with it. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "master/dispatch/run_int.h"
#include "master/dispatch/run_nodes.h"
#include "master/dispatch/run_stamps.h"
#include "master/steps/report.h"

void run_report(struct run *r, struct wire_msg *m)
{
  if (r->sm.state != RUN_COMMAND || m->bad)
    return;
  run_drop_report(r);
  r->report = xmemdup(m->blob_len ? m->blob : "", m->blob_len + !m->blob_len);
  r->report_len = m->blob_len;
}

void run_drop_report(struct run *r)
{
  free(r->report);
  r->report = NULL;
  r->report_len = 0;
}

/* A step's own words stand behind the reported ones. */
static void say(struct run *r, const char *summary)
{
  char *said = *r->step.summary ? xasprintf("%s (%s)", summary, r->step.summary) : xstrdup(summary);
  size_t n = utf8_cut(said, sizeof r->step.summary - 1);

  memcpy(r->step.summary, said, n);
  r->step.summary[n] = 0;
  free(said);
}

static void take_nodes(struct run *r, struct report *rep, struct buf *builders)
{
  char *why = run_nodes_take(r, rep->nodes, builders);

  if (why)
    report_refuse(rep, why);
  free(why);
}

/* What is lost with any other report is information; with this one, builds: a build that ends well without them would say of what was never built that it is good. */
static void refuse_nodes(struct run *r, const char *trouble)
{
  char *line = xasprintf("it reports builders that can't be taken: %.*s", (int)strcspn(trouble, "\n"), trouble);

  intent_free(&r->next);
  step_refuse(&r->step, line, &r->next);
  free(line);
}

void run_take_report(struct run *r, struct db_tx *tx, bool ended)
{
  bool well = ended && (r->step.result == RESULT_SUCCESS || r->step.result == RESULT_WARNINGS);
  struct report rep;
  struct buf builders;

  buf_init(&builders, BUF_NO_MAX);
  report_parse(r->report, r->report_len, &r->ctx, &rep);
  if (well && rep.nodes)
    take_nodes(r, &rep, &builders);
  if (well && rep.has_nodes && rep.trouble)
    refuse_nodes(r, rep.trouble);
  if (rep.trouble)
    log_warn("build", "%s:%s: its report is left out: %s", r->name, r->step.def->name, rep.trouble);
  db_q(tx, SQL_step_report, "nnssss", r->id, (int64_t)r->number, rep.properties, rep.links, rep.trouble, rep.stamps);
  if (builders.len)
    run_nodes_put(r, tx, rep.nodes, buf_str(&builders));
  buf_free(&builders);
  run_stamps_derived(r, rep.stamps, r->step.def->name);
  if (rep.all) {
    free((char *)r->ctx.reported);
    r->ctx.reported = rep.all;
    rep.all = NULL;
  }
  if (ended && rep.summary)
    say(r, rep.summary);
  report_free(&rep);
}
