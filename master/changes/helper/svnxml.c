/* Subversion's XML, by expat. */
#include "master/changes/helper/svnxml.h"

#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/str.h"

struct svnxml {
  XML_Parser parser;
  bool (*entry)(void *arg, const struct svnxml_entry *e);
  void *arg;
  struct svnxml_entry now;
  bool inside;           /* of an entry */
  int depth;
  struct buf text;       /* of the element that is open */
  size_t text_max;
  bool text_cut;
  const char *why;
  bool stopped;
};

static void stop(struct svnxml *x, const char *why)
{
  if (!x->stopped)
    x->why = why;
  x->stopped = true;
  XML_StopParser(x->parser, XML_FALSE);
}

static void entry_free(struct svnxml_entry *e)
{
  for (size_t i = 0; i < e->npaths; i++)
    free(e->paths[i].path);
  free(e->paths);
  free(e->name);
  free(e->url);
  free(e->root);
  free(e->author);
  free(e->message);
}

/* The list's own name stays for all of its entries. */
static void entry_begin(struct svnxml *x)
{
  char *list = x->now.list;

  entry_free(&x->now);
  x->now = (struct svnxml_entry){ .revision = -1, .changed = -1, .list = list };
  x->inside = true;
}

static const char *attribute(const char **atts, const char *name)
{
  for (; *atts; atts += 2)
    if (!strcmp(atts[0], name))
      return atts[1];
  return "";
}

static int64_t number(const char *s)
{
  int64_t n;

  return *s && !str_number(s, strlen(s), &n) && n <= INT_MAX ? n : -1;
}

static void begin_path(struct svnxml *x, const char **atts)
{
  struct svnxml_entry *e = &x->now;
  struct svnxml_path *p;

  if (e->npaths == SVNXML_PATHS_MAX) {
    e->paths_cut = true;
    return;
  }
  if (!(e->npaths & (e->npaths - 1))) /* full at each power of two */
    e->paths = xrealloc(e->paths, (e->npaths ? 2 * e->npaths : 1) * sizeof *e->paths);
  p = &e->paths[e->npaths++];
  *p = (struct svnxml_path){ .action = *attribute(atts, "action"), .folder = !strcmp(attribute(atts, "kind"), "dir"), .copied = *attribute(atts, "copyfrom-path") != 0 };
}

static void on_start(void *arg, const char *name, const char **atts)
{
  struct svnxml *x = arg;

  if (++x->depth > SVNXML_DEPTH_MAX) {
    stop(x, "its elements are too deep in each other");
    return;
  }
  buf_reset(&x->text);
  x->text_cut = false;
  x->text_max = strcmp(name, "msg") ? SVNXML_NAME_MAX : SVNXML_TEXT_MAX;
  if (!strcmp(name, "list")) {
    free(x->now.list);
    x->now.list = strlen(attribute(atts, "path")) <= SVNXML_NAME_MAX ? xstrdup(attribute(atts, "path")) : NULL;
  } else if (!strcmp(name, "entry") || !strcmp(name, "logentry")) {
    entry_begin(x);
    x->now.folder = !strcmp(attribute(atts, "kind"), "dir");
    x->now.revision = number(attribute(atts, "revision"));
  } else if (x->inside && !strcmp(name, "commit")) {
    x->now.changed = number(attribute(atts, "revision"));
  } else if (x->inside && !strcmp(name, "path")) {
    begin_path(x, atts);
  }
}

static void on_text(void *arg, const char *p, int n)
{
  struct svnxml *x = arg;
  size_t room = x->text_max - x->text.len;

  x->text_cut |= (size_t)n > room;
  buf_add(&x->text, p, (size_t)n < room ? (size_t)n : room);
}

/* "2026-01-31T12:00:00.123456Z" */
static int64_t time_of(const char *s)
{
  struct tm t = { 0 };
  const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &t);
  int64_t seconds = end ? (int64_t)timegm(&t) : 0, ms = 0;

  if (!end || seconds < 0)
    return 0;
  for (int i = 1, digit = 100; *end == '.' && i <= 3 && end[i] >= '0' && end[i] <= '9'; i++, digit /= 10)
    ms += (end[i] - '0') * digit;
  return seconds * 1000 + ms;
}

static void take_text(struct svnxml *x, char **to)
{
  free(*to);
  *to = x->text_cut && x->text_max == SVNXML_NAME_MAX ? NULL : xstrdup(buf_str(&x->text));
}

static void end_entry(struct svnxml *x)
{
  static char nothing[1];
  struct svnxml_entry shown = x->now;
  char **texts[] = { &shown.list, &shown.name, &shown.url, &shown.root, &shown.author, &shown.message };

  for (size_t i = 0; i < COUNT(texts); i++)
    if (!*texts[i])
      *texts[i] = nothing;
  for (size_t i = 0; i < shown.npaths; i++)
    if (!shown.paths[i].path) { /* too long, or none: then not all of them are known */
      shown.paths_cut = true;
      shown.paths[i].path = xstrdup("");
    }
  x->inside = false;
  if (!x->entry(x->arg, &shown))
    stop(x, NULL);
}

static void on_end(void *arg, const char *name)
{
  struct svnxml *x = arg;
  struct svnxml_entry *e = &x->now;
  const struct { const char *name; char **to; } texts[] = { { "name", &e->name }, { "url", &e->url }, { "root", &e->root }, { "author", &e->author }, { "msg", &e->message } };

  x->depth--;
  if (!x->inside)
    return;
  for (size_t i = 0; i < COUNT(texts); i++)
    if (!strcmp(name, texts[i].name))
      take_text(x, texts[i].to);
  if (!strcmp(name, "date"))
    e->time_ms = time_of(buf_str(&x->text));
  else if (!strcmp(name, "path") && e->npaths && !e->paths[e->npaths - 1].path && !e->paths_cut)
    take_text(x, &e->paths[e->npaths - 1].path);
  else if (!strcmp(name, "entry") || !strcmp(name, "logentry"))
    end_entry(x);
  buf_reset(&x->text);
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public, int internal)
{
  (void)name, (void)system, (void)public, (void)internal;
  stop(arg, "it has a document type, which svn never writes");
}

struct svnxml *svnxml_new(bool (*entry)(void *arg, const struct svnxml_entry *e), void *arg)
{
  struct svnxml *x = xcalloc(1, sizeof *x);

  x->parser = XML_ParserCreate("UTF-8");
  if (!x->parser)
    abort(); /* as all that finds no memory */
  x->entry = entry;
  x->arg = arg;
  buf_init(&x->text, SVNXML_TEXT_MAX + 1);
  x->text_max = SVNXML_NAME_MAX;
  XML_SetUserData(x->parser, x);
  XML_SetElementHandler(x->parser, on_start, on_end);
  XML_SetCharacterDataHandler(x->parser, on_text);
  XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
  return x;
}

static bool parse(struct svnxml *x, const char *p, size_t n, bool last)
{
  while (!x->stopped) {
    int k = n > INT_MAX / 2 ? INT_MAX / 2 : (int)n;
    if (XML_Parse(x->parser, p, k, last) == XML_STATUS_ERROR) {
      if (!x->stopped)
        x->why = XML_ErrorString(XML_GetErrorCode(x->parser));
      x->stopped = true;
      break;
    }
    p += k;
    n -= (size_t)k;
    if (!n)
      return !x->stopped;
  }
  return false;
}

bool svnxml_take(struct svnxml *x, const char *p, size_t n)
{
  return parse(x, p, n, false);
}

bool svnxml_end(struct svnxml *x)
{
  return parse(x, "", 0, true);
}

const char *svnxml_why(const struct svnxml *x)
{
  return x->why;
}

void svnxml_free(struct svnxml *x)
{
  if (!x)
    return;
  XML_ParserFree(x->parser);
  entry_free(&x->now);
  free(x->now.list);
  buf_free(&x->text);
  free(x);
}
