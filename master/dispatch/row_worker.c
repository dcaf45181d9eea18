#include "master/dispatch/row_worker.h"

#include <stdlib.h>

#include "common/clock.h"
#include "master/conf/calendar.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/field.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/wanted.h"

static bool is_closed(const char *calendar)
{
  struct calendar c;
  struct buf why;
  int column;
  bool closed;

  buf_init(&why, BUF_NO_MAX);
  closed = *calendar && !calendar_parse(calendar, &c, &why, &column) && !calendar_open(&c, clock_wall_ms() / 1000);
  buf_free(&why);
  return closed;
}

void row_worker_read(struct row_worker *w, const struct master *m, const struct db_res *res, int stmt, int row)
{
  enum { ID, NAME, POOL, SLOTS, TAGS, FACTS, CALENDAR, FREE, TOTAL };
  const char *name = db_str(res, stmt, row, NAME), *pool = db_null(res, stmt, row, POOL) ? NULL : db_str(res, stmt, row, POOL);
  int64_t has = db_null(res, stmt, row, FREE) ? -1 : db_num(res, stmt, row, FREE), total = db_null(res, stmt, row, TOTAL) ? -1 : db_num(res, stmt, row, TOTAL);
  struct choose_worker now = { .low = has >= 0 && has < conf_min_free(m->conf, name, pool, total), .paused = pauses_of_session(dispatch_pauses(m), name, pool) != NULL,
                               .closed = is_closed(db_str(res, stmt, row, CALENDAR)), .quarantined = pause_holds(pauses_of_worker(dispatch_quarantines(m), db_num(res, stmt, row, ID)), clock_mono_ms()) };

  w->id = db_num(res, stmt, row, ID);
  told_read_json(&w->told, db_str(res, stmt, row, FACTS));
  w->is = (struct worker_is){ .name = name, .pool = pool, .slots = (int)db_num(res, stmt, row, SLOTS), .os = w->told.os, .arch = w->told.arch, .release = w->told.release, .host = w->told.host, .isolation = w->told.isolation, .cgroup = w->told.cgroup,
                              .cores = w->told.cores, .memory = w->told.memory, .disk = total, .disk_free = has };
  w->tags = db_texts(res, stmt, row, TAGS, &w->is.ntags);
  w->is.tags = (const char *const *)w->tags;
  w->takes = field_takes(&now);
}

void row_worker_free(struct row_worker *w)
{
  mem_free_all(w->tags, w->is.ntags);
}

bool row_worker_fits(const struct row_worker *w, struct master *m, const struct why_of *of)
{
  const struct want_term **terms = wanted_terms(m, of);
  bool fits = choose_has_tags(&w->is, of->tags, of->ntags) && want_all_met(terms, of->nwants, &w->is);

  free(terms);
  return fits;
}
