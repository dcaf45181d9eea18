/* Limits of a command's output: what the step may have (conf/output.h), what of it stands in the command, and what its end tells of it. */
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/dispatch/run_int.h"
#include "master/workers/session.h"
#include "proto/records.h"

void run_limits(struct run *r)
{
  if (session_has(r->session, SESSION_LIMITS))
    r->ctx.output = conf_output(r->m->conf, r->ctx.project);
}

static int64_t number_of(const void *blob, size_t n, const char *key)
{
  const char *text = records_get(blob, n, key);
  int64_t v;

  return text && !str_number(text, strlen(text), &v) ? v : 0;
}

struct output_limit run_limit_of(const void *spec, size_t n)
{
  return (struct output_limit){ number_of(spec, n, "limit_bytes"), number_of(spec, n, "limit_lines") };
}

void run_left_out(struct run *r, struct db_tx *tx, struct wire_msg *exit)
{
  int64_t bytes = number_of(exit->blob, exit->blob_len, "left_bytes");

  if (bytes && strcmp(wire_str(exit, 2), "failed")) /* else the blob is a sentence */
    db_q(tx, SQL_log_left, "nnn", r->log.log, bytes, number_of(exit->blob, exit->blob_len, "left_lines"));
}
