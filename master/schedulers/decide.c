/* What a change causes. */
#include "master/schedulers/decide.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "common/str.h"

bool decide_wants(const struct pipe_scheduler *s, const char *branch)
{
  if (s->trigger != PIPE_ON_CHANGE)
    return false;
  if (!s->nbranches)
    return true;
  for (int i = 0; i < s->nbranches; i++)
    if (str_glob(s->branches[i], branch))
      return true;
  return false;
}

static cJSON *builders(const struct pipeline *p, char *const *names, int n)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < n; i++) {
    const struct pipe_builder *b = pipeline_builder(p, names[i]);
    cJSON *it;
    if (!b)
      continue;
    it = cJSON_CreateObject();
    cJSON_AddStringToObject(it, "name", b->name);
    cJSON_AddItemToObject(it, "tags", b->ntags ? cJSON_CreateStringArray((const char *const *)b->tags, b->ntags) : cJSON_CreateArray());
    cJSON_AddItemToArray(list, it);
  }
  return list;
}

static void print(cJSON *list, struct buf *json)
{
  char *text = cJSON_PrintUnformatted(list);

  buf_adds(json, text);
  free(text);
  cJSON_Delete(list);
}

void decide_builders(const struct pipeline *p, char *const *names, int n, struct buf *json)
{
  print(builders(p, names, n), json);
}

void decide_plan(const struct pipeline *p, const char *branch, struct buf *json)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i];
    cJSON *it;
    if (!decide_wants(s, branch))
      continue;
    it = cJSON_CreateObject();
    cJSON_AddStringToObject(it, "scheduler", s->name);
    cJSON_AddNumberToObject(it, "stable", (double)s->stable_ms);
    cJSON_AddItemToObject(it, "builders", builders(p, s->builders, s->nbuilders));
    cJSON_AddItemToArray(list, it);
  }
  print(list, json);
}
