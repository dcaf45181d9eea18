/* Parts of request bodies that several commands make. */
#include "master/cli/props.h"

#include <stdlib.h>
#include <string.h>

cJSON *props_object(struct cli *c, const struct args *a)
{
  cJSON *o = cJSON_CreateObject();
  const char *p;
  int at = 0;

  while ((p = args_each(a, FLAG_PROPERTY, &at))) {
    const char *equals = strchr(p, '=');
    char *name;
    if (!equals || equals == p) {
      cli_error(c, CLI_USAGE, "--property wants NAME=VALUE, not \"%s\"", p);
      cJSON_Delete(o);
      return NULL;
    }
    name = xstrndup(p, (size_t)(equals - p));
    cJSON_DeleteItemFromObjectCaseSensitive(o, name);
    cJSON_AddStringToObject(o, name, equals + 1);
    free(name);
  }
  return o;
}

void props_add(cJSON *body, cJSON *props)
{
  if (props->child)
    cJSON_AddItemToObject(body, "properties", props);
  else
    cJSON_Delete(props);
}

void props_add_text(cJSON *body, const char *key, const char *value)
{
  if (value)
    cJSON_AddStringToObject(body, key, value);
}
