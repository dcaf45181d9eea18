/* Reading the texts of a site: its file, conf.d beside it, what these include, and the pipelines that their projects name.

   Happy path: each file is read and parsed, then what it includes, depth first; conf.d in the order of names.
   Failure modes: what can't be read, or a program that fails, is a diagnostic of its part; a missing conf.d is none at all. */
#include "master/conf/parts_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/generate.h"
#include "master/conf/pipeline.h"

struct gather {
  struct parts *p;
  enum parts_programs programs;
  struct parts *known;  /* with `used` below; or NULL */
  bool *used;           /* of the known ones, outputs that were taken */
  struct map *seen;     /* path → part, of files of configuration */
  size_t bytes;
  int ran;
  bool full;            /* a limit was hit; told */
};

/* --- files --- */

char *parts_folder(const char *file)
{
  const char *slash = strrchr(file, '/');
  char *folder = slash == file ? xstrdup("/")
                 : slash       ? xstrndup(file, (size_t)(slash - file))
                               : xstrdup(".");
  char *cwd, *absolute;

  if (folder[0] == '/')
    return folder;
  cwd = getcwd(NULL, 0);
  absolute =
      !strcmp(folder, ".") ? xstrdup(cwd ? cwd : ".") : xasprintf("%s/%s", cwd ? cwd : ".", folder);
  free(cwd);
  free(folder);
  return absolute;
}

char *parts_path(const char *folder, const char *path)
{
  return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", strcmp(folder, "/") ? folder : "", path);
}

/* For reading; anything but an ordinary file (a FIFO would hold us for ever) only where `any` says so. */
static int open_file(const char *file, bool any)
{
  int fd = open(file, O_RDONLY | O_CLOEXEC | (any ? 0 : O_NONBLOCK));
  struct stat st;

  if (fd < 0 || any || (!fstat(fd, &st) && S_ISREG(st.st_mode)))
    return fd;
  close(fd);
  errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
  return -1;
}

/* Not more than one byte above the limit: the parser says that it is too large. */
static enum err read_file(const char *file, bool any, struct buf *out)
{
  int fd = open_file(file, any);

  if (fd < 0)
    return ERR_IO;
  while (out->len <= PIPELINE_TEXT_MAX) {
    ssize_t n;
    if (!buf_reserve(out, 65536))
      break;
    n = read(fd, out->data + out->len, 65536);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      int saved = errno;
      close(fd);
      errno = saved;
      return ERR_IO;
    }
    if (n == 0)
      break;
    buf_grown(out, (size_t)n);
  }
  close(fd);
  return ERR_OK;
}

/* False: one too many, told at the part that wants it. */
static bool has_room(struct gather *g, struct part *by, const struct yml_node *at)
{
  if (g->p->n < PARTS_MAX && g->bytes <= PARTS_BYTES_MAX)
    return true;
  if (!g->full && at)
    yml_error(&by->said, at, NULL, "the configuration has more than %d files or %u MiB", PARTS_MAX, PARTS_BYTES_MAX >> 20);
  else if (!g->full)
    diag_add(&by->said, by->name, NULL, 0, 0, NULL, "the configuration has more than %d files or %u MiB", PARTS_MAX, PARTS_BYTES_MAX >> 20);
  g->full = true;
  return false;
}

/* by, at: who names it, which is where it is told that it can't be read; NULL: nobody. */
static void read_part(struct gather *g, struct part *x, struct part *by, const struct yml_node *at)
{
  struct buf text;
  const char *why;
  size_t len;

  buf_init(&text, BUF_NO_MAX);
  if (strchr(x->path, '\n')) {
    diag_add(&x->said, x->name, NULL, 0, 0, NULL, "a file of the configuration can't have a line feed in its name");
  } else if (read_file(x->path, x->kind == PART_SITE, &text)) {
    why = errno == EINVAL ? "it is not an ordinary file" : strerror(errno);
    if (at)
      yml_error(&by->said, at, NULL, "%s can't be read: %s", x->name, why);
    else
      diag_add(&x->said, x->name, NULL, 0, 0, NULL, "can't be read: %s", why);
  } else {
    len = text.len;
    g->bytes += len;
    part_set(x, buf_take(&text), len);
  }
  buf_free(&text);
}

/* --- what a part names --- */

static void follow(struct gather *g, struct part *x, int depth);

/* by, at: who includes it. */
static void include_one(struct gather *g, struct part *by, const struct yml_node *at, char *path, int depth)
{
  const struct part *first = map_get(g->seen, path);
  struct part *x;

  if (first) {
    yml_error(&by->said, at, "each file is read once", "%s is read twice", path);
    free(path);
    return;
  }
  if (!has_room(g, by, at)) {
    free(path);
    return;
  }
  x = parts_add(g->p, PART_INCLUDE, xstrdup(path), path, NULL);
  map_set(g->seen, path, x);
  read_part(g, x, by, at);
  follow(g, x, depth + 1);
}

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A pattern without any file is none; a name without one is a mistake. */
static void include_files(struct gather *g, struct part *by, const struct yml_node *at, int depth)
{
  char *pattern = parts_path(by->folder, at->text);
  glob_t found = { 0 };

  if (!strpbrk(at->text, "*?[")) {
    include_one(g, by, at, pattern, depth);
    return;
  }
  if (!glob(pattern, GLOB_NOSORT, NULL, &found)) {
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_text);
    for (size_t i = 0; i < found.gl_pathc; i++)
      include_one(g, by, at, xstrdup(found.gl_pathv[i]), depth);
  }
  globfree(&found);
  free(pattern);
}

/* "<output of ./projects --all>": nothing in it could be taken for the end of a line. */
static char *output_name(const struct yml_node *run)
{
  struct buf b;
  size_t n;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, PARTS_OUTPUT);
  for (int i = 0; i < run->n; i++)
    buf_addf(&b, "%s%s", i ? " " : "", run->items[i]->text);
  n = b.len;
  if (n > PARTS_OUTPUT_NAME_MAX) {
    for (n = PARTS_OUTPUT_NAME_MAX; ((unsigned char)b.data[n] & 0xc0) == 0x80;)
      n--;
    b.len = n;
    buf_adds(&b, "…");
  }
  for (size_t i = 0; i < b.len; i++)
    if ((unsigned char)b.data[i] < ' ')
      b.data[i] = ' ';
  buf_addc(&b, '>');
  return buf_take(&b);
}

/* What it printed for the version that is known. */
static void recall(struct gather *g, struct part *x)
{
  for (int i = 0; g->known && i < g->known->n; i++) {
    const struct part *k = g->known->v[i];
    if (k->kind != PART_OUTPUT || strcmp(k->path, x->path) || g->used[i])
      continue;
    g->used[i] = true;
    part_set(x, xmemdup(k->text, k->len + 1), k->len);
    return;
  }
  part_set(x, xstrdup(""), 0);
}

static void run(struct gather *g, struct part *by, const struct yml_node *list, struct part *x)
{
  const char *argv[PARTS_ARGS_MAX + 1] = { NULL };
  struct buf out, why;
  size_t len;

  for (int i = 0; i < list->n; i++)
    argv[i] = list->items[i]->text;
  buf_init(&out, PIPELINE_TEXT_MAX);
  buf_init(&why, BUF_NO_MAX);
  if (generate(argv, by->folder, GENERATE_MS, &out, &why)) {
    yml_error(&by->said, list, NULL, "the program %s %s", argv[0], buf_str(&why));
  } else {
    len = out.len;
    g->bytes += len;
    part_set(x, buf_take(&out), len);
  }
  buf_free(&out);
  buf_free(&why);
}

/* Of another shape: the schema tells. */
static bool is_program(const struct yml_node *list)
{
  if (!list || list->kind != YML_LIST || !list->n)
    return false;
  for (int i = 0; i < list->n; i++)
    if (list->items[i]->kind != YML_SCALAR || (!i && !list->items[i]->text[0]))
      return false;
  return true;
}

static void include_output(struct gather *g, struct part *by, const struct yml_node *map)
{
  const struct yml_node *list = yml_get(map, "run");
  struct part *x;
  char *name;

  if (!is_program(list))
    return;
  if (list->n > PARTS_ARGS_MAX) {
    yml_error(&by->said, list, NULL, "a program with more than %d words", PARTS_ARGS_MAX);
  } else if (g->ran++ == PARTS_PROGRAMS_MAX) {
    yml_error(&by->said, list, NULL, "more than %d programs print configuration", PARTS_PROGRAMS_MAX);
  } else if (g->ran <= PARTS_PROGRAMS_MAX && has_room(g, by, list)) {
    name = output_name(list);
    x = parts_add(g->p, PART_OUTPUT, name, parts_path(by->folder, name), by->folder);
    if (g->programs == PARTS_RUN)
      run(g, by, list, x);
    else
      recall(g, x);
    follow(g, x, 0);
  }
}

static void include(struct gather *g, struct part *by, const struct yml_node *n, int depth)
{
  if (n->kind == YML_MAP)
    include_output(g, by, n);
  else if (n->kind == YML_SCALAR && n->text[0] && !yml_is_null(n) && depth == PARTS_DEPTH_MAX)
    yml_error(&by->said, n, NULL, "more than %d files that include each other", PARTS_DEPTH_MAX);
  else if (n->kind == YML_SCALAR && n->text[0] && !yml_is_null(n))
    include_files(g, by, n, depth);
}

/* The pipelines that its projects name, each once. */
static void read_pipelines(struct gather *g, struct part *x)
{
  const struct yml_node *projects = yml_get(x->doc->root, "projects");

  for (int i = 0; projects && projects->kind == YML_MAP && i < projects->n; i++) {
    const struct yml_node *file = yml_get(projects->items[i], "pipeline");
    char *path;
    if (!file || file->kind != YML_SCALAR || !file->text[0])
      continue;
    path = parts_path(x->folder, file->text);
    if (!parts_find(g->p, PART_PIPELINE, path) && has_room(g, x, file))
      read_part(g, parts_add(g->p, PART_PIPELINE, xstrdup(path), xstrdup(path), NULL), NULL, NULL);
    free(path);
  }
}

static void follow(struct gather *g, struct part *x, int depth)
{
  const struct yml_node *n = x->doc ? yml_get(x->doc->root, "include") : NULL;

  if (!x->doc)
    return;
  read_pipelines(g, x);
  if (n && x->kind == PART_OUTPUT) {
    yml_error(&x->said, yml_get_key(x->doc->root, "include"), NULL, "what a program prints can't include anything");
    return;
  }
  if (n && n->kind != YML_LIST)
    include(g, x, n, depth);
  for (int i = 0; n && n->kind == YML_LIST && i < n->n; i++)
    include(g, x, n->items[i], depth);
}

/* --- conf.d --- */

static int is_yaml(const struct dirent *e)
{
  size_t n = strlen(e->d_name);
  return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
  return strcmp((*a)->d_name, (*b)->d_name);
}

/* As the site's file is named, for messages. */
static char *confd_of(const char *file)
{
  const char *slash = strrchr(file, '/');
  return slash ? xasprintf("%.*s/conf.d", (int)(slash - file), file) : xstrdup("conf.d");
}

static void read_confd(struct gather *g, struct part *site)
{
  char *shown = confd_of(site->name), *folder = parts_path(site->folder, "conf.d");
  struct dirent **list = NULL;
  int n = scandir(folder, &list, is_yaml, by_name);

  if (n < 0 && errno != ENOENT && errno != ENOTDIR)
    diag_add(&site->said, shown, NULL, 0, 0, NULL, "can't be read: %s", strerror(errno));
  for (int i = 0; i < n; i++) {
    char *path = xasprintf("%s/%s", folder, list[i]->d_name);
    if (map_get(g->seen, path)) { /* master.yaml has included it */
      diag_add(&site->said, path, NULL, 0, 0, "files of conf.d need no `include`", "is read twice");
      free(path);
    } else if (has_room(g, site, NULL)) {
      struct part *x = parts_add(g->p, PART_CONFD, xasprintf("%s/%s", shown, list[i]->d_name), path, NULL);
      map_set(g->seen, path, x);
      read_part(g, x, NULL, NULL);
      follow(g, x, 0);
    } else {
      free(path);
    }
    free(list[i]);
  }
  free(list);
  free(shown);
  free(folder);
}

struct parts *parts_gather(const char *file, enum parts_programs programs, const char *known)
{
  struct gather g = { .p = xcalloc(1, sizeof *g.p), .programs = programs, .seen = map_new() };
  const char *slash = strrchr(file, '/');
  char *folder = parts_folder(file);
  struct part *site = parts_add(g.p, PART_SITE, xstrdup(file), parts_path(folder, slash ? slash + 1 : file), NULL);
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  if (known && programs == PARTS_KNOWN)
    g.known = parts_of_text(known, &why);
  g.used = xcalloc(g.known ? (size_t)g.known->n + 1 : 1, sizeof *g.used);
  map_set(g.seen, site->path, site);
  read_part(&g, site, NULL, NULL);
  follow(&g, site, 0);
  read_confd(&g, site);
  parts_free(g.known);
  free(g.used);
  map_free(g.seen);
  free(folder);
  buf_free(&why);
  return g.p;
}
