#include "master/dispatch/wanted.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "master/db/db.h"
#include "master/dispatch/dispatch.h"

static void point(struct wanted *w, const char *project, const char *builder)
{
  w->of.project = project;
  w->of.builder = builder;
  w->of.tags = (const char *const *)w->tags;
  w->of.wants = (const char *const *)w->wants;
}

void wanted_row(struct wanted *w, const struct db_res *res, int stmt, int row, struct wanted_cols cols)
{
  w->tags = db_texts(res, stmt, row, cols.tags, &w->of.ntags);
  w->wants = db_texts(res, stmt, row, cols.wants, &w->of.nwants);
  point(w, db_str(res, stmt, row, cols.project), db_str(res, stmt, row, cols.builder));
}

static char **strings(const char *json, int *n)
{
  cJSON *list = cJSON_Parse(json);
  char **v = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *v);
  const cJSON *it;

  *n = 0;
  cJSON_ArrayForEach(it, list)
    if (cJSON_IsString(it))
      v[(*n)++] = xstrdup(it->valuestring);
  cJSON_Delete(list);
  return v;
}

void wanted_json(struct wanted *w, const char *project, const char *builder, const char *tags, const char *wants)
{
  w->tags = strings(tags, &w->of.ntags);
  w->wants = strings(wants, &w->of.nwants);
  point(w, project, builder);
}

void wanted_free(struct wanted *w)
{
  mem_free_all(w->tags, w->of.ntags);
  mem_free_all(w->wants, w->of.nwants);
}

const struct want_term **wanted_terms(struct master *m, const struct why_of *of)
{
  const struct want_term **terms = xcalloc((size_t)of->nwants + 1, sizeof *terms);

  for (int i = 0; i < of->nwants; i++)
    terms[i] = dispatch_want(m, of->wants[i]);
  return terms;
}
