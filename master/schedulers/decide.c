/* What a change causes. */
#include "master/schedulers/decide.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "common/str.h"

bool decide_wants(const struct pipe_scheduler *s, const char *branch)
{
  if (!s->nbranches)
    return true;
  for (int i = 0; i < s->nbranches; i++)
    if (str_glob(s->branches[i], branch))
      return true;
  return false;
}

void decide_builders(const struct pipeline *p, char *const *names, int n, struct buf *json)
{
  cJSON *list = cJSON_CreateArray();
  char *text;

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
  text = cJSON_PrintUnformatted(list);
  buf_adds(json, text);
  free(text);
  cJSON_Delete(list);
}
