/* Files that a step's command writes and that become logs of their own. */
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

void pipe_take_logs(struct maker *m, struct pipe_step *s, const struct yml_node *map)
{
  if (!map || map->kind != YML_MAP)
    return;
  if (map->n > PIPELINE_LOGS_MAX) {
    yml_error(m->d, map, NULL, "a step has at most %d logs beside its own", PIPELINE_LOGS_MAX);
    return;
  }
  s->logs = pipe_take(m->w, (size_t)map->n + 1, sizeof *s->logs);
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *key = map->keys[i], *place = map->items[i];
    if (!pipe_is_word(key->text) || strlen(key->text) > PIPELINE_LOG_MAX)
      yml_error(m->d, key, "letters, digits and underscores, first no digit", "\"%.80s\" is not the name of a log", key->text);
    else if (place->kind != YML_SCALAR || yml_is_null(place) || pipe_has_expr(place) || !schema_is_path(place->text) || strlen(place->text) > PIPELINE_TO_MAX)
      yml_error(m->d, place, "a relative path without ..", "\"%s\" wants a file below the folder in which `run` starts", key->text);
    else
      s->logs[s->nlogs++] = (struct pipe_log){ key->text, place->text };
  }
}
