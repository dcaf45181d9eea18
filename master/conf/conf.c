/* The site's configuration from its parts (parts.h): master.yaml, conf.d, what these include, pipeline files.

   Happy path: each part is checked against the schema, and its workers and projects are added; the rest comes from master.yaml.
   Failure modes: what was wrong in reading is told with the part; all errors of all parts are told at once. */
#include "master/conf/conf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/conf_int.h"
#include "master/conf/conf_needs.h"
#include "master/conf/conf_repo.h"
#include "master/conf/parts.h"
#include "master/conf/pipe_expr.h"
#include "master/conf/schema.h"

enum { MIN_FREE_SHARE = 10 /* of a disk */ };
#define MIN_FREE_DEFAULT (INT64_C(10) << 30) /* as the table says */

struct loader {
  struct conf *c;
  struct diags *d;
  struct parts *parts;
  struct map *workers, *pools, *projects, *secrets, *locks; /* name → key's node */
  struct conf_reading reading;
};

/* --- projects --- */

static bool is_site_key(const char *key)
{
  return !schema_has(SCHEMA_PIPELINE, key);
}

static char *path_of(const struct yml_node *n)
{
  return parts_path(n->doc->folder, n->text);
}

static void pipeline_of_file(struct loader *l, struct conf_project *p, const struct yml_node *n)
{
  struct part *x;

  p->pipeline_file = path_of(n);
  x = parts_find(l->parts, PART_PIPELINE, p->pipeline_file);
  if (!x)
    return; /* it was one too many, which was told */
  diag_take(l->d, &x->said);
  if (!x->text)
    return;
  p->pipeline = pipeline_parse(x->name, x->text, x->len, p->name, l->d);
  p->pipeline_text = xmemdup(x->text, x->len + 1);
}

static void pipeline_of_site(struct loader *l, struct conf_project *p, struct yml_doc *doc,
                             const struct yml_node *map)
{
  struct buf text;

  p->pipeline = pipeline_from(doc, map, p->name, l->d);
  buf_init(&text, PIPELINE_TEXT_MAX);
  yml_write(map, is_site_key, &text);
  if (text.failed)
    yml_error(l->d, map, NULL, "with aliases written out the pipeline is larger than %u KiB",
              PIPELINE_TEXT_MAX >> 10);
  p->pipeline_text = buf_take(&text);
}

static void set_pipeline(struct loader *l, struct conf_project *p, struct yml_doc *doc,
                         const struct yml_node *map)
{
  const struct yml_node *file = yml_get(map, "pipeline"), *own = NULL;

  for (int i = 0; map->kind == YML_MAP && i < map->n && !own; i++)
    if (schema_has(SCHEMA_PIPELINE, map->keys[i]->text))
      own = map->keys[i];
  if (file && own)
    yml_error(l->d, own, NULL, "\"%s\" beside \"pipeline\", which names a file that has it",
              own->text);
  else if (file && file->kind == YML_SCALAR && file->text[0])
    pipeline_of_file(l, p, file);
  else if (own && !yml_get(map, "steps") && !yml_get(map, "builders"))
    yml_error(l->d, own, "or leave the pipeline to the repository's " PIPELINE_FILE,
              "\"%s\" wants \"steps\" or \"builders\" beside it", own->text);
  else if (own)
    pipeline_of_site(l, p, doc, map);
}

static void add_project(struct loader *l, struct yml_doc *doc, const struct yml_node *key,
                        const struct yml_node *map)
{
  struct conf *c = l->c;
  struct conf_project *p;

  c->projects = xrealloc(c->projects, (size_t)(c->nprojects + 1) * sizeof *p);
  p = &c->projects[c->nprojects++];
  *p = (struct conf_project){ .name = xstrdup(key->text) };
  p->share = (int)schema_int(map, SCHEMA_PROJECT, "share");
  p->report_builders = schema_bool(map, SCHEMA_PROJECT, "report_builders");
  output_read(&p->output, map, SCHEMA_PROJECT);
  p->forks_build = str_eq(schema_text(map, SCHEMA_PROJECT, "forks"), "build");
  p->needed_by = conf_strings(yml_get(map, "needed_by"), &p->nneeded_by);
  p->triggered_by = conf_strings(yml_get(map, "triggered_by"), &p->ntriggered_by);
  conf_codebases_read(p, key, map, &l->reading);
  conf_keys_of(&p->keys, map, SCHEMA_PROJECT);
  set_pipeline(l, p, doc, map);
}

static void add_worker(struct loader *l, const struct yml_node *key, const struct yml_node *map)
{
  struct conf *c = l->c;

  c->workers = xrealloc(c->workers, (size_t)(c->nworkers + 1) * sizeof *c->workers);
  conf_worker_make(&c->workers[c->nworkers++], key->text, map, SCHEMA_WORKER, l->d);
}

static void add_pool(struct loader *l, const struct yml_node *key, const struct yml_node *map)
{
  struct conf *c = l->c;

  c->pools = xrealloc(c->pools, (size_t)(c->npools + 1) * sizeof *c->pools);
  conf_pool_make(&c->pools[c->npools++], key, map, l->d);
}

static void add_secret(struct loader *l, const struct yml_node *key, const struct yml_node *map)
{
  const struct yml_node *file = yml_get(map, "file");
  bool in_file = file && file->kind == YML_SCALAR && *file->text;
  struct conf *c = l->c;

  if (yml_get(map, "file") ? yml_get(map, "store") != NULL : !schema_bool(map, SCHEMA_SECRET, "store"))
    yml_error(l->d, key, "file: PATH, or store: true", "the secret \"%s\" is either in a file or in the store", key->text);
  if (str_starts(key->text, CONF_SECRET_OWN))
    yml_error(l->d, key, NULL, "no secret's name begins with \"" CONF_SECRET_OWN "\"");
  c->secrets = xrealloc(c->secrets, (size_t)(c->nsecrets + 1) * sizeof *c->secrets);
  conf_secret_make(&c->secrets[c->nsecrets++], key->text, map, in_file ? path_of(file) : NULL);
}

static void add_lock(struct loader *l, const struct yml_node *key, const struct yml_node *map)
{
  struct conf *c = l->c;

  c->locks = xrealloc(c->locks, (size_t)(c->nlocks + 1) * sizeof *c->locks);
  conf_lock_make(&c->locks[c->nlocks++], key, map, l->d);
}

/* False: a file before this one has the name; told. */
static bool is_new(struct loader *l, struct map *names, const char *what, struct yml_node *key)
{
  const struct yml_node *first = map_get(names, key->text);

  if (first)
    yml_error(l->d, key, NULL, "%s \"%s\" stands twice, first at %s:%d:%d", what, key->text,
              first->doc->file, first->line, first->column);
  else
    (void)map_set(names, key->text, key);
  return !first;
}

static void add_named(struct loader *l, struct yml_doc *doc)
{
  const struct yml_node *workers = yml_get(doc->root, "workers"),
                        *projects = yml_get(doc->root, "projects"), *secrets = yml_get(doc->root, "secrets"), *locks = yml_get(doc->root, "locks"), *pools = yml_get(doc->root, "pools");

  for (int i = 0; secrets && secrets->kind == YML_MAP && i < secrets->n; i++)
    if (is_new(l, l->secrets, "secret", secrets->keys[i]))
      add_secret(l, secrets->keys[i], secrets->items[i]);
  for (int i = 0; locks && locks->kind == YML_MAP && i < locks->n; i++)
    if (is_new(l, l->locks, "lock", locks->keys[i]))
      add_lock(l, locks->keys[i], locks->items[i]);
  for (int i = 0; workers && workers->kind == YML_MAP && i < workers->n; i++)
    if (is_new(l, l->workers, "worker", workers->keys[i]))
      add_worker(l, workers->keys[i], workers->items[i]);
  for (int i = 0; pools && pools->kind == YML_MAP && i < pools->n; i++)
    if (is_new(l, l->pools, "pool", pools->keys[i]))
      add_pool(l, pools->keys[i], pools->items[i]);
  for (int i = 0; projects && projects->kind == YML_MAP && i < projects->n; i++)
    if (is_new(l, l->projects, "project", projects->keys[i]))
      add_project(l, doc, projects->keys[i], projects->items[i]);
}

/* --- the site's own keys --- */

/* A path of the site's file, made absolute; NULL where it says none and there is no default. */
static char *site_path(const struct yml_node *map, enum schema_group group, const char *key, const char *folder)
{
  const char *s = schema_text(map, group, key);
  return s ? parts_path(folder, s) : NULL;
}

static char *socket_path(struct loader *l, const struct yml_node *listen, const char *folder,
                         const char *key)
{
  char *path = site_path(listen, SCHEMA_LISTEN, key, folder);

  if (path && strlen(path) >= sizeof ((struct sockaddr_un *)0)->sun_path)
    yml_error(l->d, yml_get(listen, key), NULL,
              "a socket's path has at most %zu bytes, \"%s\" has %zu",
              sizeof((struct sockaddr_un *)0)->sun_path - 1, path, strlen(path));
  return path;
}

static void check_join_address(struct loader *l, const struct yml_node *n)
{
  if (n && n->kind == YML_SCALAR &&
      (n->text[0] == '*' || (strlen(n->text) > 2 && !strcmp(n->text + strlen(n->text) - 2, ":0"))))
    yml_error(l->d, n, NULL, "\"address\" is what workers connect to: it has a host and a port");
}

char *conf_prefix(const char *url)
{
  const char *host = url ? strstr(url, "://") : NULL, *path = host ? strchr(host + 3, '/') : NULL;
  size_t n = path ? strlen(path) : 0;

  while (n && path[n - 1] == '/')
    n--;
  return xstrndup(path ? path : "", n);
}

/* The path is taken off requests as it stands, so it has nothing that could be written in two ways, and doesn't begin as one of the page's own does. */
static void check_url(struct loader *l, const struct yml_node *n)
{
  static const char *const own[] = { "api", "assets", "download", "hooks" };
  static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  const char *at = l->c->prefix;

  if (!n || n->kind != YML_SCALAR || !str_eq(n->text, l->c->url))
    return;
  if (strpbrk(n->text, "?#")) {
    yml_error(l->d, n, NULL, "\"url\" is an address without query and fragment");
    return;
  }
  for (bool first = true; *at; first = false) {
    size_t len = strspn(++at, word);
    if (!len || (at[len] && at[len] != '/') || *at == '.') {
      yml_error(l->d, n, "letters, digits and . _ ~ - between single slashes, no word with a dot at its start", "the path of \"url\" has something that two servers could read differently");
      return;
    }
    for (size_t i = 0; first && i < COUNT(own); i++)
      if (strlen(own[i]) == len && !strncmp(at, own[i], len))
        yml_error(l->d, n, "such as /ci/", "the path of \"url\" can't begin with /%s, which is the page's own", own[i]);
    at += len;
  }
}

static void set_trusted(struct conf *c, const struct yml_node *n)
{
  int count;
  char **text = conf_strings(n, &count);

  c->trusted = xcalloc((size_t)count + 1, sizeof *c->trusted);
  for (int i = 0; i < count; i++) /* those that are none were told by the schema */
    c->ntrusted += !net_parse(text[i], &c->trusted[c->ntrusted]);
  mem_free_all(text, count);
}

static void set_site(struct loader *l, const struct yml_node *top, const char *folder)
{
  struct conf *c = l->c;
  const struct yml_node *site = yml_get(top, "site"), *listen = yml_get(top, "listen"),
                        *database = yml_get(top, "database");

  conf_keys_site(&c->keys, top);
  c->url = xstrdup(schema_text(site, SCHEMA_SITE_INFO, "url"));
  c->prefix = conf_prefix(c->url);
  check_url(l, yml_get(site, "url"));
  set_trusted(c, yml_get(top, "trusted_proxies"));
  c->address = xstrdup(schema_text(site, SCHEMA_SITE_INFO, "address"));
  check_join_address(l, yml_get(site, "address"));
  c->state = site_path(top, SCHEMA_SITE, "state", folder);
  c->socket = socket_path(l, listen, folder, "socket");
  c->workers_socket = socket_path(l, listen, folder, "workers_socket");
  c->api = xstrdup(schema_text(listen, SCHEMA_LISTEN, "api"));
  c->workers_listen = xstrdup(schema_text(listen, SCHEMA_LISTEN, "workers"));
  c->database = xstrdup(schema_text(top, SCHEMA_SITE, "database"));
  c->database_folder = site_path(database, SCHEMA_DATABASE, "folder", folder);
  c->downloads = site_path(top, SCHEMA_SITE, "downloads", folder);
  c->allow_local = schema_bool(top, SCHEMA_SITE, "allow_local");
  c->same_user = schema_bool(top, SCHEMA_SITE, "same_user");
  c->window_ms = schema_ms(top, SCHEMA_SITE, "window");
  c->look_ms = schema_ms(top, SCHEMA_SITE, "look");
  c->keep_work_ms = schema_ms(top, SCHEMA_SITE, "keep_work");
  c->min_free = yml_get(top, "min_free") ? schema_size(top, SCHEMA_SITE, "min_free") : CONF_UNSET;
  c->output.bytes = schema_size(top, SCHEMA_SITE, "output");
  output_read(&c->output, top, SCHEMA_SITE);
  c->helpers = (int)schema_int(top, SCHEMA_SITE, "helpers");
  l->reading.allow_local = c->allow_local;
}

/* --- all of it --- */

static void load_part(struct loader *l, struct part *x)
{
  if (x->kind == PART_PIPELINE)
    return; /* its project reads it */
  diag_take(l->d, &x->said);
  if (!x->doc)
    return;
  schema_check(x->doc, x->kind == PART_SITE ? SCHEMA_SITE : SCHEMA_CONFD, l->d);
  if (x->kind == PART_SITE)
    set_site(l, x->doc->root, x->folder);
  add_named(l, x->doc);
}

static void list_files(struct conf *c, const struct parts *parts)
{
  c->files = xcalloc((size_t)parts->n, sizeof *c->files);
  for (int i = 0; i < parts->n; i++)
    if (parts->v[i]->kind != PART_OUTPUT)
      c->files[c->nfiles++] = xstrdup(parts->v[i]->path);
}

static struct conf *make(struct parts *parts, bool secrets, struct diags *d)
{
  struct loader l = {
    .c = xcalloc(1, sizeof *l.c), .d = d, .parts = parts, .workers = map_new(), .pools = map_new(), .projects = map_new(), .secrets = map_new(), .locks = map_new(), .reading = { .d = d, .reads = secrets }
  };
  int before = diag_count(d);

  l.c->users = 1;
  l.c->file = xstrdup(parts->v[0]->name);
  l.reading.allow_local = !parts->v[0]->doc; /* not known: don't complain about it elsewhere */
  for (int i = 0; i < parts->n; i++)
    load_part(&l, parts->v[i]);
  list_files(l.c, parts);
  for (int i = 0; i < l.c->nprojects; i++)
    if (l.c->projects[i].pipeline) {
      conf_check_secrets(l.c, l.c->projects[i].name, l.c->projects[i].pipeline, d);
      conf_check_needs(l.c, l.c->projects[i].name, l.c->projects[i].pipeline, d);
      conf_check_codebases(&l.c->projects[i], l.c->projects[i].pipeline, d);
    }
  conf_check_pools(l.c, l.workers, d);
  conf_check_site_locks(l.c, d);
  conf_check_logins(l.c, d);
  if (diag_count(d) == before)
    l.c->text = parts_text(parts);
  parts_free(parts);
  map_free(l.workers);
  map_free(l.pools);
  map_free(l.projects);
  map_free(l.secrets);
  map_free(l.locks);
  l.c->worker_of = map_new();
  for (int i = 0; i < l.c->nworkers; i++)
    map_set(l.c->worker_of, l.c->workers[i].name, &l.c->workers[i]);
  diag_sort(d);
  if (diag_count(d) == before)
    return l.c;
  conf_free(l.c);
  return NULL;
}

struct conf *conf_make(struct parts *parts, struct diags *d)
{
  return make(parts, true, d);
}

struct conf *conf_load(const char *file, struct diags *d)
{
  return conf_make(parts_gather(file, PARTS_RUN, NULL), d);
}

struct conf *conf_look(const char *file, const char *known, struct diags *d)
{
  return conf_make(parts_gather(file, PARTS_KNOWN, known), d);
}

struct conf *conf_of_text(const char *what, const char *text, const char *file, struct diags *d)
{
  struct conf *c = NULL;
  struct parts *parts;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  parts = parts_of_text(text, &why);
  if (!parts)
    diag_add(d, what, NULL, 0, 0, NULL, "%s", buf_str(&why));
  else
    c = make(parts, file != NULL, d);
  buf_free(&why);
  if (c && file) {
    free(c->file);
    c->file = xstrdup(file);
  }
  return c;
}

struct conf *conf_hold(struct conf *c)
{
  c->users++;
  return c;
}

void conf_free(struct conf *c)
{
  if (!c || --c->users)
    return;
  conf_keys_free(&c->keys);
  for (int i = 0; i < c->nworkers; i++)
    conf_worker_free(&c->workers[i]);
  for (int i = 0; i < c->npools; i++)
    conf_pool_free(&c->pools[i]);
  free(c->pools);
  for (int i = 0; i < c->nsecrets; i++)
    conf_secret_free(&c->secrets[i]);
  free(c->secrets);
  for (int i = 0; i < c->nlocks; i++)
    conf_lock_free(&c->locks[i]);
  free(c->locks);
  for (int i = 0; i < c->nprojects; i++) {
    struct conf_project *p = &c->projects[i];
    free(p->name);
    conf_codebases_free(p);
    mem_free_all(p->needed_by, p->nneeded_by);
    mem_free_all(p->triggered_by, p->ntriggered_by);
    free(p->pipeline_file);
    pipeline_free(p->pipeline);
    free(p->pipeline_text);
    conf_keys_free(&p->keys);
  }
  char *own[] = {
    c->file,           c->text,    c->state,    c->socket,          c->api, c->workers_listen,
    c->workers_socket, c->address, c->database, c->database_folder, c->url,
    c->prefix,         c->downloads
  };
  for (size_t i = 0; i < COUNT(own); i++)
    free(own[i]);
  mem_free_all(c->files, c->nfiles);
  free(c->trusted);
  map_free(c->worker_of);
  free(c->workers);
  free(c->projects);
  free(c);
}

bool conf_same_secrets(const struct conf *a, const struct conf *b)
{
  for (int i = 0; i < a->nprojects; i++) {
    const struct conf_project *p = conf_project(b, a->projects[i].name);
    if (!p || !conf_codebases_same_secrets(&a->projects[i], p))
      return false;
  }
  return true;
}

const struct conf_project *conf_project(const struct conf *c, const char *name)
{
  for (int i = 0; i < c->nprojects; i++)
    if (!strcmp(c->projects[i].name, name))
      return &c->projects[i];
  return NULL;
}

int64_t conf_min_free(const struct conf *c, const char *worker, const char *pool, int64_t total)
{
  const struct conf_worker *w = conf_worker_of(c, worker, pool);

  if (w && w->min_free != CONF_UNSET)
    return w->min_free;
  if (c->min_free != CONF_UNSET)
    return c->min_free;
  return total >= 0 && total / MIN_FREE_SHARE < MIN_FREE_DEFAULT ? total / MIN_FREE_SHARE : MIN_FREE_DEFAULT;
}

int64_t conf_keep_work_ms(const struct conf *c, const char *worker, const char *pool)
{
  const struct conf_worker *w = conf_worker_of(c, worker, pool);

  return w && w->keep_work_ms != CONF_UNSET ? w->keep_work_ms : c->keep_work_ms;
}

struct output_limit conf_output(const struct conf *c, const char *project)
{
  const struct conf_project *p = conf_project(c, project);

  return (struct output_limit){ p && p->output.bytes ? p->output.bytes : c->output.bytes, p && p->output.lines ? p->output.lines : c->output.lines };
}

void conf_reference(struct buf *out)
{
  schema_reference(out);
}
