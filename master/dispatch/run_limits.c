/* What a command may write and where to: limits of its output (conf/output.h), files of it that are followed; as they stand in the command, and what its end tells of them. */
#include <stdio.h>
#include <stdlib.h>
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
  r->ctx.logs = session_has(r->session, SESSION_LOGS);
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
  for (int i = 0; i < r->nmore; i++) {
    struct run_told told;
    if (run_told(exit, i + 1, &told) && told.left_bytes)
      db_q(tx, SQL_log_left, "nnn", r->more[i].log, told.left_bytes, told.left_lines);
  }
}

/* ---- files that are followed ---- */

char *run_log_names(const void *spec, size_t n)
{
  char key[RECORDS_KEY_MAX + 1], *names[PIPELINE_LOGS_MAX], *array;
  const char *value;
  size_t at = 0;
  int count = 0;

  while (count < PIPELINE_LOGS_MAX && records_next(spec, n, &at, key, &value) == ERR_OK)
    if (!strcmp(key, "log"))
      names[count++] = xstrndup(value, strcspn(value, "="));
  array = db_text_array((const char *const *)names, count);
  while (count)
    free(names[--count]);
  return array;
}

void run_more_free(struct run *r)
{
  for (int i = 0; i < r->nmore; i++)
    log_end_free(&r->more[i]);
  free(r->more);
  r->more = NULL;
  r->nmore = 0;
}

/* One more of the streams; they come in their order. */
static struct log_end *more(struct run *r)
{
  r->more = xrealloc(r->more, (size_t)(r->nmore + 1) * sizeof *r->more);
  for (int i = 0; i < r->nmore; i++) /* a list's head points into itself */
    list_init(&r->more[i].queue);
  return &r->more[r->nmore++];
}

void run_more_new(struct run *r, const char *ids, int64_t most)
{
  long long id;

  run_more_free(r);
  for (int n; *ids && r->nmore < PIPELINE_LOGS_MAX && sscanf(ids, "%lld%n", &id, &n) == 1; ids += n + (ids[n] == ',')) {
    struct log_end *e = more(r);
    log_end_init(e, id, r->epoch, 0, 0, 0);
    e->most = most;
  }
}

void run_more_adopt(struct run *r, const struct db_res *res, int stmt)
{
  run_more_free(r);
  for (int i = 0; i < db_rows(res, stmt) && i < PIPELINE_LOGS_MAX; i++)
    log_end_init(more(r), db_num(res, stmt, i, 0), r->epoch, db_num(res, stmt, i, 1), (uint32_t)db_num(res, stmt, i, 2), db_num(res, stmt, i, 3));
}

bool run_told(const struct wire_msg *exit, int stream, struct run_told *t)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  while (records_next(exit->blob, exit->blob_len, &at, key, &value) == ERR_OK) {
    long long len, lines, left_bytes, left_lines;
    unsigned crc;
    int of, end = 0;
    if (strcmp(key, "log") || sscanf(value, "%d %lld %8x %lld %lld %lld%n", &of, &len, &crc, &lines, &left_bytes, &left_lines, &end) != 6 || value[end] || of != stream || len < 0 || lines < 0 || left_bytes < 0 ||
        left_lines < 0)
      continue;
    *t = (struct run_told){ len, lines, left_bytes, left_lines, crc };
    return true;
  }
  return false;
}
