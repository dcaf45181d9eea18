/* Parts and the one text that they make. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/parts_int.h"

#define HEAD "# drover configuration 1\n"
#define MARK "--- # "

static const char *const kinds[PART_KINDS] = {
  [PART_SITE] = "site", [PART_CONFD] = "conf.d", [PART_INCLUDE] = "include", [PART_OUTPUT] = "output", [PART_PIPELINE] = "pipeline",
};

struct part *parts_add(struct parts *p, enum part_kind kind, char *name, char *path, const char *folder)
{
  struct part *x = xcalloc(1, sizeof *x);

  *x = (struct part){ .kind = kind, .name = name, .path = path, .folder = folder ? xstrdup(folder) : parts_folder(path) };
  diag_init(&x->said);
  p->v = xrealloc(p->v, (size_t)(p->n + 1) * sizeof(struct part *));
  return p->v[p->n++] = x;
}

void part_set(struct part *x, char *text, size_t len)
{
  x->text = text;
  x->len = len;
  if (x->kind == PART_PIPELINE)
    return;
  x->doc = yml_parse(x->name, text, len, &x->said);
  if (x->doc)
    x->doc->folder = xstrdup(x->folder);
}

struct part *parts_find(const struct parts *p, enum part_kind kind, const char *path)
{
  for (int i = 0; i < p->n; i++)
    if (p->v[i]->kind == kind && !strcmp(p->v[i]->path, path))
      return p->v[i];
  return NULL;
}

void parts_free(struct parts *p)
{
  if (!p)
    return;
  for (int i = 0; i < p->n; i++) {
    struct part *x = p->v[i];
    yml_drop(x->doc);
    diag_free(&x->said);
    free(x->name);
    free(x->path);
    free(x->folder);
    free(x->text);
    free(x);
  }
  free(p->v);
  free(p);
}

char *parts_text(const struct parts *p)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, HEAD);
  for (int i = 0; i < p->n; i++) {
    const struct part *x = p->v[i];
    buf_addf(&b, MARK "%s %zu %s\n", kinds[x->kind], x->len, x->path);
    buf_add(&b, x->text ? x->text : "", x->len);
    if (x->len && x->text[x->len - 1] != '\n')
      buf_addc(&b, '\n');
  }
  return buf_take(&b);
}

/* ---- reading it ---- */

static int kind_of(const char *s, size_t n)
{
  int i = 0;

  while (i < PART_KINDS && (strlen(kinds[i]) != n || strncmp(kinds[i], s, n)))
    i++;
  return i;
}

/* One part from *at on; false: there is none. */
static bool take(struct parts *p, const char **at)
{
  const char *s = *at + strlen(MARK), *blank, *end;
  size_t left = strlen(*at);
  int64_t len;
  char *path;
  int kind;

  if (!str_starts(*at, MARK) || !(blank = strchr(s, ' ')))
    return false;
  kind = kind_of(s, (size_t)(blank - s));
  s = blank + 1;
  blank = strchr(s, ' ');
  end = blank ? strchr(blank, '\n') : NULL;
  if (kind == PART_KINDS || !end || blank[1] != '/' || str_number(s, (size_t)(blank - s), &len) || (p->n == 0) != (kind == PART_SITE))
    return false;
  left -= (size_t)(end + 1 - *at);
  if (len > PARTS_BYTES_MAX || (size_t)len > left)
    return false;
  path = xstrndup(blank + 1, (size_t)(end - blank - 1));
  if (kind == PART_OUTPUT) {
    const char *name = strstr(path, "/" PARTS_OUTPUT);
    char *folder = name ? xstrndup(path, (size_t)(name - path)) : NULL;
    if (!name) {
      free(path);
      return false;
    }
    part_set(parts_add(p, kind, xstrdup(name + 1), path, *folder ? folder : "/"), xstrndup(end + 1, (size_t)len), (size_t)len);
    free(folder);
  } else {
    part_set(parts_add(p, kind, xstrdup(path), path, NULL), xstrndup(end + 1, (size_t)len), (size_t)len);
  }
  *at = end + 1 + len;
  if (len && (*at)[-1] != '\n')
    *at += **at == '\n';
  return true;
}

struct parts *parts_of_text(const char *text, struct buf *why)
{
  struct parts *p = xcalloc(1, sizeof *p);
  const char *at = text + (str_starts(text, HEAD) ? strlen(HEAD) : 0);

  while (at != text && *at && p->n <= PARTS_MAX && take(p, &at))
    ;
  if (at != text && !*at && p->n)
    return p;
  buf_adds(why, at == text ? "it was stored by another version of drover" : "what is stored of it is damaged");
  parts_free(p);
  return NULL;
}
