/* What a command reported: kept until its end comes, then read (steps/report.h) and written with it. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "master/dispatch/run_int.h"
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

void run_take_report(struct run *r, struct db_tx *tx, bool ended)
{
  struct report rep;

  report_parse(r->report, r->report_len, &r->ctx, &rep);
  if (rep.trouble)
    log_warn("build", "%s:%s: its report is left out: %s", r->name, r->step.def->name, rep.trouble);
  db_q(tx, SQL_step_report, "nnssss", r->id, (int64_t)r->number, rep.properties, rep.links, rep.trouble, rep.stamps);
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
