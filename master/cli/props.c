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
    bool typed = equals && equals > p && equals[-1] == ':'; /* NAME:=JSON */
    cJSON *value = !equals ? NULL : typed ? cJSON_ParseWithOpts(equals + 1, NULL, 1) : cJSON_CreateString(equals + 1);
    char *name;
    if (!value || equals - typed == p) {
      cJSON_Delete(value);
      cli_error(c, CLI_USAGE, typed ? "--property: behind := stands a number, true, false or a JSON list, not as in \"%s\"" : "--property wants NAME=TEXT, or NAME:=JSON for numbers and the like, not \"%s\"", p);
      cJSON_Delete(o);
      return NULL;
    }
    name = xstrndup(p, (size_t)(equals - typed - p));
    cJSON_DeleteItemFromObjectCaseSensitive(o, name);
    cJSON_AddItemToObject(o, name, value);
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

bool props_add_at(struct cli *c, const struct args *a, cJSON *body)
{
  cJSON *list = NULL;
  const char *p;
  int at = 0;

  while ((p = args_each(a, FLAG_AT, &at))) {
    const char *eq = strchr(p, '=');
    char *name;
    if (!eq || eq == p || !eq[1]) {
      cli_error(c, CLI_USAGE, "--at wants CODEBASE=REVISION, got \"%s\"", p);
      return false;
    }
    if (!list)
      list = cJSON_AddObjectToObject(body, "at");
    name = xstrndup(p, (size_t)(eq - p));
    if (cJSON_HasObjectItem(list, name)) {
      cli_error(c, CLI_USAGE, "--at says codebase %s twice", name);
      free(name);
      return false;
    }
    cJSON_AddStringToObject(list, name, eq + 1);
    free(name);
  }
  return true;
}
