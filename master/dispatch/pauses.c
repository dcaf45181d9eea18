#include "master/dispatch/pauses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/db/db.h"

static void clear(struct pauses *p)
{
  for (int i = 0; i < p->n; i++) {
    free(p->v[i].object);
    free(p->v[i].who);
    free(p->v[i].why);
  }
  p->n = 0;
}

static bool is_in(const struct pauses *p, const char *object)
{
  for (int i = 0; i < p->n; i++)
    if (!strcmp(p->v[i].object, object))
      return true;
  return false;
}

bool pauses_take(struct pauses *p, const struct db_res *res, int stmt)
{
  struct pauses was = *p;
  bool fewer = false;

  p->n = 0;
  for (int i = 0; i < db_rows(res, stmt) && p->n < PAUSES_MAX; i++)
    p->v[p->n++] = (struct pause){ xstrdup(db_str(res, stmt, i, 0)), xstrdup(db_str(res, stmt, i, 1)), db_dup(res, stmt, i, 2), db_num(res, stmt, i, 3),
                                   db_null(res, stmt, i, 4) ? INT64_MIN : db_num(res, stmt, i, 4), db_num(res, stmt, i, 5), db_null(res, stmt, i, 6) ? INT64_MAX : clock_mono_ms() + db_num(res, stmt, i, 6) };
  for (int i = 0; i < was.n && !fewer; i++)
    fewer = !is_in(p, was.v[i].object);
  clear(&was);
  return fewer;
}

void pauses_free(struct pauses *p)
{
  clear(p);
  free(p);
}

const struct pause *pauses_of(const struct pauses *p, const char *kind, const char *name)
{
  size_t k = strlen(kind);

  for (int i = 0; i < p->n; i++)
    if (!strncmp(p->v[i].object, kind, k) && p->v[i].object[k] == '/' && !strcmp(p->v[i].object + k + 1, name))
      return &p->v[i];
  return NULL;
}

const struct pause *pauses_of_session(const struct pauses *p, const char *worker, const char *pool)
{
  const struct pause *own = pauses_of(p, "worker", worker);

  return own || !pool ? own : pauses_of(p, "pool", pool);
}

const struct pause *pauses_of_worker(const struct pauses *p, int64_t worker)
{
  for (int i = 0; i < p->n; i++)
    if (p->v[i].worker == worker)
      return &p->v[i];
  return NULL;
}

bool pause_holds(const struct pause *quarantine, int64_t now_ms)
{
  return quarantine && quarantine->over_ms > now_ms;
}

const struct pause *pauses_of_builder(const struct pauses *p, const char *project, const char *builder)
{
  const struct pause *found = NULL;
  char *name = xasprintf("%s/%s", project, builder), *base = xasprintf("%s/%.*s", project, (int)strcspn(builder, "["), builder);

  for (int i = 0; i < p->n && !found; i++)
    if (!strcmp(p->v[i].object, "site"))
      found = &p->v[i];
  if (!found)
    found = pauses_of(p, "project", project);
  if (!found)
    found = pauses_of(p, "builder", name);
  if (!found)
    found = pauses_of(p, "builder", base);
  free(name);
  free(base);
  return found;
}

void pauses_say(const struct pause *p, char *text, size_t size)
{
  const char *slash = strchr(p->object, '/');
  char until[64] = "";
  time_t t = (time_t)(p->until / 1000);
  struct tm tm;

  if (p->until != INT64_MIN && gmtime_r(&t, &tm))
    strftime(until, sizeof until, " until %Y-%m-%d %H:%M UTC", &tm);
  snprintf(text, size, "%.*s%s%.70s is paused by %.40s%s%s%.80s", slash ? (int)(slash - p->object) : (int)sizeof "the site", slash ? p->object : "the site", slash ? " " : "", slash ? slash + 1 : "",
           p->who, until, p->why ? ": " : "", p->why ? p->why : "");
}
