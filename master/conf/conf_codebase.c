/* The repositories of a project: one, whose keys stand at the project, or several with names.

   Both are read by the same function; the first has the name "". What a repository may be called is here too. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "master/conf/conf_int.h"
#include "master/conf/conf_repo.h"
#include "master/conf/parts.h"
#include "master/conf/pipe_int.h"
#include "master/conf/schema.h"
#include "master/conf/secret.h"

enum { POLL_LEAST_MS = 1000 /* for repositories elsewhere */ };

/* Those of a project that its codebases have instead where it has some. */
static const char *const own_keys[] = { "git", "svn", "hg", "layout", "branches", "poll", "first", "hook", "key", "host_keys", "token", "user", "password", "category" };
static const char *const rules[] = { "same_branch", "last_good", "tip" }; /* where `stamps` says none */

char **conf_strings(const struct yml_node *n, int *count)
{
  char **v;

  *count = 0;
  if (!n)
    return NULL;
  v = xcalloc((size_t)(n->kind == YML_LIST ? n->n : 1) + 1, sizeof *v);
  if (n->kind == YML_SCALAR)
    v[(*count)++] = xstrdup(n->text);
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    if (n->items[i]->kind == YML_SCALAR)
      v[(*count)++] = xstrdup(n->items[i]->text);
  return v;
}

/* ---- what stands in files ---- */

static char *path_of(const struct yml_node *n)
{
  return parts_path(n->doc->folder, n->text);
}

/* NULL: told. */
static char *secret_of(const struct conf_reading *l, const struct yml_node *n, const char *path)
{
  const char *help;
  struct buf why;
  char *secret;

  buf_init(&why, BUF_NO_MAX);
  secret = secret_read(path, &why, &help);
  if (!secret)
    yml_error(l->d, n, help, "%s", buf_str(&why));
  buf_free(&why);
  return secret;
}

static void set_hook(const struct conf_reading *l, struct conf_hook *h, const struct yml_node *n)
{
  const struct yml_node *file = yml_get(yml_get(n, "secret"), "file");

  h->on = n && !yml_is_null(n);
  if (!h->on || n->kind != YML_MAP)
    return;
  h->dialect = xstrdup(schema_text(n, SCHEMA_HOOK, "dialect"));
  if (!file || file->kind != YML_SCALAR || !*file->text)
    return;
  h->secret_file = path_of(file);
  if (l->reads)
    h->secret = secret_of(l, file, h->secret_file);
}

/* ---- one repository ---- */

/* map: the project, or one of its codebases. */
static void read_one(struct conf_codebase *c, const char *name, const struct yml_node *key, const struct yml_node *map, enum schema_group group, const struct conf_reading *r)
{
  *c = (struct conf_codebase){ .name = xstrdup(name) };
  c->git = conf_repo_read(map, key, r->allow_local, &c->vcs, r->d);
  c->branches = conf_strings(yml_get(map, "branches"), &c->nbranches);
  c->poll_ms = schema_ms(map, group, "poll");
  c->first_build = str_eq(schema_text(map, group, "first"), "build");
  if (group == SCHEMA_CODEBASE)
    c->pin = xstrdup(schema_text(map, group, "pin"));
  set_hook(r, &c->hook, yml_get(map, "hook"));
  c->category = xstrdup(schema_text(map, group, "category"));
  conf_login_read(&c->login, map, c->vcs, c->git, r->reads, r->d);
  if (c->poll_ms < POLL_LEAST_MS && !r->allow_local)
    yml_error(r->d, yml_get(map, "poll"), NULL, "\"poll\" below 1s needs \"allow_local: true\"");
}

/* It becomes a folder, a part of addresses and of variables. */
static void check_name(const struct yml_node *key, struct diags *d)
{
  static const char word[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  const char *s = key->text;

  if (!*s || *s == '-' || *s == '_' || s[strspn(s, word)] || strlen(s) > CONF_CODEBASE_MAX)
    yml_error(d, key, "small letters, digits, - and _, such as core", "a codebase's name has 1 to %d of [a-z0-9_-], first a letter or digit", CONF_CODEBASE_MAX);
  else if (pipeline_is_checkout_word(s))
    yml_error(d, key, NULL, "no codebase can be called \"%s\": the word has a meaning of its own in `checkout`", s);
}

/* ---- several ---- */

static void read_main(struct conf_project *p, const struct yml_node *map, struct diags *d)
{
  const struct yml_node *n = yml_get(map, "main");
  struct buf names;

  if (!n || n->kind != YML_SCALAR || !*n->text)
    return;
  for (int i = 0; i < p->ncodebases; i++)
    if (!strcmp(p->codebases[i].name, n->text)) {
      p->main = i;
      return;
    }
  buf_init(&names, BUF_NO_MAX);
  for (int i = 0; i < p->ncodebases; i++)
    buf_addf(&names, "%s%s", i ? ", " : "there is ", p->codebases[i].name);
  yml_error(d, n, buf_str(&names), "the project has no codebase \"%.64s\"", n->text);
  buf_free(&names);
}

static void check_rules(const struct conf_project *p, const struct yml_node *list, struct diags *d)
{
  bool pinned = false, pins = false;

  for (int i = 0; i < p->nstamps; i++) {
    pinned |= !strcmp(p->stamps[i], "pinned");
    for (int k = 0; k < i; k++)
      if (!strcmp(p->stamps[i], p->stamps[k]))
        yml_error(d, list, NULL, "\"%s\" stands twice", p->stamps[i]);
  }
  for (int i = 0; i < p->ncodebases; i++)
    pins |= p->codebases[i].pin != NULL;
  if (pinned && !pins)
    yml_error(d, list, "codebases: {NAME: {pin: v1.2, …}}", "\"pinned\" means the \"pin\" of a codebase, and none has one");
}

static void read_rules(struct conf_project *p, const struct yml_node *map, struct diags *d)
{
  const struct yml_node *list = yml_get(yml_get(map, "stamps"), "others");

  if (list) {
    p->stamps = conf_strings(list, &p->nstamps);
    check_rules(p, list, d);
    return;
  }
  p->stamps = xcalloc(COUNT(rules), sizeof *p->stamps);
  for (; p->nstamps < (int)COUNT(rules); p->nstamps++)
    p->stamps[p->nstamps] = xstrdup(rules[p->nstamps]);
}

static void read_several(struct conf_project *p, const struct yml_node *map, const struct yml_node *named, const struct conf_reading *r)
{
  for (size_t i = 0; i < COUNT(own_keys); i++)
    if (yml_get(map, own_keys[i]))
      yml_error(r->d, yml_get_key(map, own_keys[i]), "write it at the codebases it is for; an anchor saves repeating it", "\"%s\" can't stand beside \"codebases\": it is of each codebase", own_keys[i]);
  if (named->kind != YML_MAP || !named->n) {
    yml_error(r->d, named, "codebases: {core: {git: URL}, ui: {git: URL}}", "\"codebases\" has none");
    return;
  }
  if (named->n > CONF_CODEBASES_MAX) {
    yml_error(r->d, named->keys[CONF_CODEBASES_MAX], NULL, "more than %d codebases in a project", CONF_CODEBASES_MAX);
    return;
  }
  p->codebases = xcalloc((size_t)named->n, sizeof *p->codebases);
  for (int i = 0; i < named->n; i++) {
    check_name(named->keys[i], r->d);
    read_one(&p->codebases[p->ncodebases++], named->keys[i]->text, named->keys[i], named->items[i], SCHEMA_CODEBASE, r);
  }
  read_main(p, map, r->d);
  read_rules(p, map, r->d);
}

void conf_codebases_read(struct conf_project *p, const struct yml_node *key, const struct yml_node *map, const struct conf_reading *r)
{
  static const char *const together[] = { "main", "stamps" };
  const struct yml_node *named = yml_get(map, "codebases");

  if (named) {
    read_several(p, map, named, r);
  } else {
    for (size_t i = 0; i < COUNT(together); i++)
      if (yml_get(map, together[i]))
        yml_error(r->d, yml_get_key(map, together[i]), NULL, "\"%s\" is for projects with \"codebases\"", together[i]);
  }
  if (p->ncodebases)
    return;
  p->codebases = xcalloc(1, sizeof *p->codebases);
  p->ncodebases = 1;
  if (named) /* told; there is one in any case */
    p->codebases[0].name = xstrdup("");
  else
    read_one(&p->codebases[0], "", key, map, SCHEMA_PROJECT, r);
}

void conf_codebases_free(struct conf_project *p)
{
  for (int i = 0; i < p->ncodebases; i++) {
    struct conf_codebase *c = &p->codebases[i];
    free(c->name);
    free(c->git);
    free(c->pin);
    free(c->category);
    mem_free_all(c->branches, c->nbranches);
    free(c->hook.dialect);
    free(c->hook.secret_file);
    if (c->hook.secret)
      mem_wipe(c->hook.secret, strlen(c->hook.secret));
    free(c->hook.secret);
    conf_login_free(&c->login);
  }
  free(p->codebases);
  mem_free_all(p->stamps, p->nstamps);
}

/* ---- looking ---- */

bool conf_codebases_same_secrets(const struct conf_project *a, const struct conf_project *b)
{
  for (int i = 0; i < a->ncodebases; i++) {
    const struct conf_codebase *c = conf_codebase(b, a->codebases[i].name);
    if (!c || !str_eq(a->codebases[i].hook.secret, c->hook.secret) || !conf_login_same(&a->codebases[i].login, &c->login))
      return false;
  }
  return true;
}

bool conf_has_codebases(const struct conf_project *p)
{
  return *p->codebases[0].name;
}

const char *conf_main(const struct conf_project *p)
{
  return p->codebases[p->main].name;
}

const struct conf_codebase *conf_codebase(const struct conf_project *p, const char *name)
{
  for (int i = 0; i < p->ncodebases; i++)
    if (!strcmp(p->codebases[i].name, name))
      return &p->codebases[i];
  return NULL;
}

static void check_one(const struct conf_project *p, const struct yml_node *n, struct diags *d)
{
  const char *names[CONF_CODEBASES_MAX];
  char *help = NULL;

  if (n->kind != YML_SCALAR || (conf_has_codebases(p) && conf_codebase(p, n->text)))
    return;
  if (!conf_has_codebases(p)) {
    yml_error(d, n, NULL, "project %s has one repository, and no codebase \"%.64s\"", p->name, n->text);
    return;
  }
  for (int i = 0; i < p->ncodebases; i++)
    names[i] = p->codebases[i].name;
  help = pipe_did_you_mean(n->text, names, p->ncodebases);
  yml_error(d, n, help, "project %s has no codebase \"%.64s\"", p->name, n->text);
  free(help);
}

void conf_check_codebases(const struct conf_project *p, const struct pipeline *pipe, struct diags *d)
{
  const char *names[CONF_CODEBASES_MAX];

  for (int i = 0; i < p->ncodebases; i++)
    names[i] = p->codebases[i].name;
  pipeline_check_codebases(pipe, names, p->ncodebases, d);
  for (int i = 0; i < pipe->nschedulers; i++) {
    const struct yml_node *n = pipe->schedulers[i].codebases_at;
    for (int k = 0; n && n->kind == YML_LIST && k < n->n; k++)
      check_one(p, n->items[k], d);
    if (n && n->kind == YML_SCALAR)
      check_one(p, n, d);
  }
}

char *conf_codebases_json(const struct conf_project *p)
{
  cJSON *o = cJSON_CreateObject(), *list, *c;
  char *text;

  if (conf_has_codebases(p)) {
    cJSON_AddStringToObject(o, "main", p->codebases[p->main].name);
    cJSON_AddItemToObject(o, "stamps", p->nstamps ? cJSON_CreateStringArray((const char *const *)p->stamps, p->nstamps) : cJSON_CreateArray());
    list = cJSON_AddArrayToObject(o, "codebases");
    for (int i = 0; i < p->ncodebases; i++) {
      cJSON_AddItemToArray(list, c = cJSON_CreateObject());
      cJSON_AddStringToObject(c, "name", p->codebases[i].name);
      cJSON_AddStringToObject(c, "repository", p->codebases[i].git);
      if (p->codebases[i].pin)
        cJSON_AddStringToObject(c, "pin", p->codebases[i].pin);
    }
  }
  text = cJSON_PrintUnformatted(o);
  cJSON_Delete(o);
  return text;
}
