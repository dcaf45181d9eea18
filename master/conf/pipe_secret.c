/* What secrets a step takes. Whether there are such, and who may have them, is the site's to say (conf_secret.h). */
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

bool pipe_var_is_ours(const char *name)
{
  return str_starts(name, "DROVER_") || !strcmp(name, "PATH") || !strcmp(name, "HOME") || !strcmp(name, "TMPDIR");
}

static bool variable_good(struct maker *m, const struct pipe_step *s, const struct yml_node *key)
{
  if (!pipe_is_word(key->text)) {
    yml_error(m->d, key, "letters, digits and underscores, first no digit", "\"%.80s\" is not the name of an environment variable", key->text);
    return false;
  }
  if (pipe_var_is_ours(key->text)) {
    yml_error(m->d, key, NULL, "the variable \"%.80s\" is drover's", key->text);
    return false;
  }
  for (int i = 0; i < s->nenv; i++)
    if (!strcmp(s->env[i].name, key->text)) {
      yml_error(m->d, key, "take another name for one of them", "\"%s\" is also a variable of `env`", key->text);
      return false;
    }
  return true;
}

/* NAME, {env: NAME} or {file: NAME}. */
static const struct yml_node *name_of(const struct yml_node *n, bool *file)
{
  const struct yml_node *name = n;

  *file = false;
  if (n->kind == YML_MAP) {
    *file = n->n == 1 && !strcmp(n->keys[0]->text, "file");
    name = n->n == 1 && (*file || !strcmp(n->keys[0]->text, "env")) ? n->items[0] : NULL;
  }
  return name && name->kind == YML_SCALAR && !yml_is_null(name) && str_is_name(name->text, strlen(name->text)) ? name : NULL;
}

void pipe_take_secrets(struct maker *m, struct pipe_step *s, const struct yml_node *map)
{
  if (!map || map->kind != YML_MAP)
    return;
  if (map->n > PIPELINE_SECRETS_MAX) {
    yml_error(m->d, map, NULL, "a step takes at most %d secrets", PIPELINE_SECRETS_MAX);
    return;
  }
  s->secrets = pipe_take(m->w, (size_t)map->n, sizeof *s->secrets);
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *name;
    bool file;
    if (!variable_good(m, s, map->keys[i]))
      continue;
    name = name_of(map->items[i], &file);
    if (name)
      s->secrets[s->nsecrets++] = (struct pipe_secret){ .env = map->keys[i]->text, .file = file, .name = name->text, .at = name };
    else
      yml_error(m->d, map->items[i], "NAME, {env: NAME} or {file: NAME}", "\"%s\" wants the name of a secret", map->keys[i]->text);
  }
}
