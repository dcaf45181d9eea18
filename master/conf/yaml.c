/* A tree with positions from libyaml's events: duplicate keys refused, aliases and merges within a budget, hostile texts refused early. */
#include "master/conf/yaml.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/map.h"
#include "common/str.h"

/* A map or list that is still open. */
struct frame {
  struct yml_node *node, *key; /* key: read, its value is still to come */
  int cap;
  char *anchor; /* of the node; NULL: none */
};

struct builder {
  yaml_parser_t parser;
  struct yml_doc *doc;
  struct diags *d;
  int before; /* errors in d when we began */
  struct frame stack[YML_DEPTH_MAX];
  int depth;
  int nodes, documents;
  size_t bytes, chars; /* of scalars; of the text */
  struct map *anchors; /* name → finished node */
};

struct yml_doc *yml_hold(struct yml_doc *doc)
{
  assert(doc->refs > 0);
  doc->refs++;
  return doc;
}

void yml_drop(struct yml_doc *doc)
{
  if (!doc || --doc->refs)
    return;
  for (struct yml_node *n = doc->made, *next; n; n = next) {
    next = n->next_made;
    free(n->text);
    free(n->items);
    free(n->keys);
    free(n);
  }
  free(doc->file);
  free(doc->text);
  free(doc->folder);
  free(doc);
}

static int find_key(const struct yml_node *map, const char *key)
{
  if (map && map->kind == YML_MAP)
    for (int i = 0; i < map->n; i++)
      if (!strcmp(map->keys[i]->text, key))
        return i;
  return -1;
}

const struct yml_node *yml_get(const struct yml_node *map, const char *key)
{
  int i = find_key(map, key);
  return i < 0 ? NULL : map->items[i];
}

const struct yml_node *yml_get_key(const struct yml_node *map, const char *key)
{
  int i = find_key(map, key);
  return i < 0 ? NULL : map->keys[i];
}

bool yml_is_null(const struct yml_node *n)
{
  return n->kind == YML_SCALAR && n->plain &&
         (!n->text[0] || !strcmp(n->text, "~") || !strcmp(n->text, "null"));
}

void yml_error(struct diags *d, const struct yml_node *n, const char *help, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  diag_vadd(d, n->doc->file, n->doc->text, n->line, n->column, help, fmt, ap);
  va_end(ap);
}

/* --- the text, before libyaml sees it --- */

/* YAML's printable characters, without those libyaml takes for line ends and YAML 1.2 does not. */
bool yml_allowed(uint32_t c)
{
  if (c < 0x20)
    return c == '\t' || c == '\n' || c == '\r';
  return c < 0x7f ||
         (c >= 0xa0 && c != 0x2028 && c != 0x2029 && c != 0xfeff && c != 0xfffe && c != 0xffff);
}

static void refuse_char(const struct yml_doc *doc, int line, int column, size_t len,
                        unsigned char byte, uint32_t c, struct diags *d)
{
  if (!len)
    diag_add(d, doc->file, doc->text, line, column, "save the file as UTF-8",
             "byte 0x%02x is not UTF-8", byte);
  else
    diag_add(d, doc->file, doc->text, line, column,
             c ? "in a string in double quotes it can be written as an escape" : NULL,
             "character U+%04X can't be in a YAML text", (unsigned)c);
}

static size_t bom_len(const char *s, size_t len)
{
  return len >= 3 && !memcmp(s, "\xef\xbb\xbf", 3) ? 3 : 0;
}

/* Only the first thing found is told: what follows is likely more of the same. */
static bool text_is_good(const struct yml_doc *doc, size_t len, bool cut, size_t *chars,
                         struct diags *d)
{
  const char *s = doc->text;
  size_t at = bom_len(s, len);
  int line = 1, column = 1;

  while (at < len) {
    uint32_t c = 0;
    size_t n = str_utf8(s + at, len - at, &c);
    if (!n && cut && len - at < 4)
      break; /* the cut went through a character */
    if (!n || !yml_allowed(c)) {
      refuse_char(doc, line, column, n, (unsigned char)s[at], c, d);
      return false;
    }
    at += n;
    column++;
    ++*chars;
    if (c == '\n' || (c == '\r' && (at == len || s[at] != '\n'))) {
      line++;
      column = 1;
    }
  }
  if (cut)
    diag_add(d, doc->file, doc->text, line, column, NULL,
             "the text is larger than %u KiB, the most that is read", YML_TEXT_MAX / 1024);
  return !cut;
}

/* --- events --- */

static void error_at(struct builder *b, yaml_mark_t at, const char *help, const char *fmt, ...)
    printf_like(4, 5);
static void error_at(struct builder *b, yaml_mark_t at, const char *help, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  diag_vadd(b->d, b->doc->file, b->doc->text, (int)at.line + 1, (int)at.column + 1, help, fmt, ap);
  va_end(ap);
}

static const char *syntax_help(const yaml_parser_t *p)
{
  static const struct { const char *problem, *help; } rows[] = {
    { "found character that cannot start any token",
      "indent with blanks, not tabs; put a value that starts with @, ` or % in quotes" },
    { "found a tab character", "indent with blanks" },
    { "mapping values are not allowed in this context", "put a value with a colon and a blank in it in quotes" },
    { "could not find expected ':'", "a key is followed by a colon and a blank" },
    { "did not find expected key", "check the indentation here and of the lines above" },
    { "did not find expected <document start>", "check the indentation here and of the lines above" },
    { "did not find expected '-' indicator", "check the indentation here and of the lines above" },
    { "did not find expected alphabetic or numeric character", "put a value that starts with * or & in quotes" },
  };

  for (size_t i = 0; i < COUNT(rows); i++)
    if (p->problem && str_starts(p->problem, rows[i].problem))
      return rows[i].help;
  return NULL;
}

static void syntax_error(struct builder *b)
{
  const yaml_parser_t *p = &b->parser;
  const char *problem = p->problem ? p->problem : "not well-formed";
  bool context = p->context && p->context_mark.index != p->problem_mark.index;

  if (p->error == YAML_MEMORY_ERROR)
    abort();
  /* At the end of the text: what was never closed says more. */
  if (!context && b->depth && p->problem_mark.index >= b->chars)
    yml_error(b->d, b->stack[b->depth - 1].node, NULL,
              "the text ends inside the %s that begins here",
              b->stack[b->depth - 1].node->kind == YML_MAP ? "map" : "list");
  else if (context && p->problem_mark.index >= b->chars)
    error_at(b, p->context_mark, syntax_help(p), "the text ends %s that begins here", p->context);
  else if (context)
    error_at(b, p->problem_mark, syntax_help(p), "%s, %s at %zu:%zu", problem, p->context,
             p->context_mark.line + 1, p->context_mark.column + 1);
  else
    error_at(b, p->problem_mark, syntax_help(p), "%s", problem);
}

static struct yml_node *new_node(struct builder *b, enum yml_kind kind, yaml_mark_t at)
{
  struct yml_node *n = xcalloc(1, sizeof *n);

  n->doc = b->doc;
  n->kind = kind;
  n->line = (int)at.line + 1;
  n->column = (int)at.column + 1;
  n->size = 1;
  n->next_made = b->doc->made;
  b->doc->made = n;
  return n;
}

/* Every node and every alias goes through here: whoever walks the tree, aliases and all, has no more than the budget to do. */
static bool spend(struct builder *b, int nodes, size_t bytes, yaml_mark_t at)
{
  if (nodes > YML_NODES_MAX - b->nodes) {
    error_at(b, at, NULL, "more than %d values, aliases written out", YML_NODES_MAX);
    return false;
  }
  if (bytes > YML_BYTES_MAX - b->bytes) {
    error_at(b, at, NULL, "more than %u MiB, aliases written out", YML_BYTES_MAX >> 20);
    return false;
  }
  b->nodes += nodes;
  b->bytes += bytes;
  return true;
}

static bool is_merge(const struct yml_node *key)
{
  return key->plain && !strcmp(key->text, "<<");
}

static void append(struct frame *f, struct yml_node *key, struct yml_node *item)
{
  struct yml_node *n = f->node;

  if (n->n == f->cap) {
    f->cap = f->cap ? f->cap * 2 : 4;
    n->items = xrealloc(n->items, (size_t)f->cap * sizeof(struct yml_node *));
    if (key)
      n->keys = xrealloc(n->keys, (size_t)f->cap * sizeof(struct yml_node *));
  }
  if (key)
    n->keys[n->n] = key;
  n->items[n->n++] = item;
}

/* Puts a finished node (or one that is about to be filled) where it belongs; at: where it stands, its anchor may be elsewhere. */
static bool place(struct builder *b, struct yml_node *n, yaml_mark_t at)
{
  struct frame *f = b->depth ? &b->stack[b->depth - 1] : NULL;

  if (!f) {
    b->doc->root = n;
  } else if (f->node->kind == YML_LIST) {
    append(f, NULL, n);
  } else if (f->key) {
    append(f, f->key, n);
    f->key = NULL;
  } else if (n->kind == YML_SCALAR) {
    f->key = n;
  } else {
    error_at(b, at, NULL, "a key must be a plain word or string, this is a %s",
             n->kind == YML_MAP ? "map" : "list");
    return false;
  }
  return true;
}

/* A name may be used again: the last before an alias counts. */
static void remember(struct builder *b, const char *anchor, struct yml_node *n)
{
  if (anchor)
    map_set(b->anchors, anchor, n);
}

static bool on_scalar(struct builder *b, const yaml_event_t *e)
{
  struct yml_node *n;

  if (!spend(b, 1, e->data.scalar.length, e->start_mark))
    return false;
  if (memchr(e->data.scalar.value, 0, e->data.scalar.length)) {
    error_at(b, e->start_mark, NULL, "a string can't have a NUL in it");
    return false;
  }
  n = new_node(b, YML_SCALAR, e->start_mark);
  n->text = xstrndup((const char *)e->data.scalar.value, e->data.scalar.length);
  n->bytes = e->data.scalar.length;
  n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  remember(b, (const char *)e->data.scalar.anchor, n);
  return place(b, n, e->start_mark);
}

static bool on_alias(struct builder *b, const yaml_event_t *e)
{
  const char *name = (const char *)e->data.alias.anchor;
  struct yml_node *n = map_get(b->anchors, name);

  for (int i = 0; i < b->depth; i++)
    if (str_eq(b->stack[i].anchor, name)) {
      error_at(b, e->start_mark, NULL, "*%s stands inside what it names", name);
      return false;
    }
  if (!n) {
    error_at(b, e->start_mark, "an anchor, &name, comes before its alias, *name",
             "there is no anchor &%s above", name);
    return false;
  }
  if (!spend(b, n->size, n->bytes, e->start_mark))
    return false;
  if (b->depth + n->height > YML_DEPTH_MAX) {
    error_at(b, e->start_mark, NULL, "more than %d levels inside each other", YML_DEPTH_MAX);
    return false;
  }
  return place(b, n, e->start_mark);
}

static bool on_open(struct builder *b, const yaml_event_t *e, enum yml_kind kind,
                    const char *anchor)
{
  struct yml_node *n;

  if (!spend(b, 1, 0, e->start_mark))
    return false;
  if (b->depth == YML_DEPTH_MAX) {
    error_at(b, e->start_mark, NULL, "more than %d levels inside each other", YML_DEPTH_MAX);
    return false;
  }
  n = new_node(b, kind, e->start_mark);
  if (!place(b, n, e->start_mark))
    return false;
  b->stack[b->depth++] = (struct frame){ .node = n, .anchor = xstrdup(anchor) };
  return true;
}

/* --- a finished map: `<<` and duplicates --- */

struct pair {
  struct yml_node *key, *value;
  int place;  /* in the text, and below it in the order of merging */
  bool merged;
};

struct pairs {
  struct pair *v;
  int n, cap;
};

static void add_pairs(struct pairs *p, const struct yml_node *map, bool merged)
{
  for (int i = 0; i < map->n; i++) {
    if (p->n == p->cap) {
      p->cap = p->cap ? p->cap * 2 : 16;
      p->v = xrealloc(p->v, (size_t)p->cap * sizeof *p->v);
    }
    p->v[p->n] = (struct pair){ map->keys[i], map->items[i], p->n, merged };
    p->n++;
  }
}

static void merge_from(struct builder *b, struct pairs *p, const struct yml_node *value)
{
  if (value->kind == YML_MAP)
    add_pairs(p, value, true);
  else
    yml_error(b->d, value, NULL, "<< wants a map or a list of maps");
}

/* Same keys together, the one that counts first: own before merged, then in order. */
static int by_key(const void *x, const void *y)
{
  const struct pair *a = x, *b = y;
  int c = strcmp(a->key->text, b->key->text);

  if (c)
    return c;
  return a->merged != b->merged ? a->merged - b->merged : a->place - b->place;
}

static int by_place(const void *x, const void *y)
{
  const struct pair *a = x, *b = y;
  return a->place - b->place;
}

static void drop_doubles(struct builder *b, struct pairs *p)
{
  int kept = 0;

  qsort(p->v, (size_t)p->n, sizeof *p->v, by_key);
  for (int i = 0; i < p->n; i++) {
    const struct pair *last = kept ? &p->v[kept - 1] : NULL;
    if (!last || strcmp(last->key->text, p->v[i].key->text)) {
      p->v[kept++] = p->v[i];
    } else if (!p->v[i].merged) {
      yml_error(b->d, p->v[i].key, NULL, "key \"%s\" stands twice, first at %d:%d",
                p->v[i].key->text, last->key->line, last->key->column);
    }
  }
  p->n = kept;
  qsort(p->v, (size_t)p->n, sizeof *p->v, by_place);
}

static void finish_map(struct builder *b, struct yml_node *n)
{
  struct pairs p = { 0 };

  if (!n->n)
    return;
  for (int i = 0; i < n->n; i++) {
    struct yml_node *value = n->items[i];
    struct yml_node one = { .kind = YML_MAP, .n = 1, .keys = &n->keys[i], .items = &n->items[i] };
    if (!is_merge(n->keys[i]))
      add_pairs(&p, &one, false);
    else if (value->kind == YML_LIST)
      for (int k = 0; k < value->n; k++)
        merge_from(b, &p, value->items[k]);
    else
      merge_from(b, &p, value);
  }
  if (p.n > 1)
    drop_doubles(b, &p);
  if (p.n > n->n) {
    n->keys = xrealloc(n->keys, (size_t)p.n * sizeof(struct yml_node *));
    n->items = xrealloc(n->items, (size_t)p.n * sizeof(struct yml_node *));
  }
  n->n = p.n;
  for (int i = 0; i < p.n; i++) {
    n->keys[i] = p.v[i].key;
    n->items[i] = p.v[i].value;
  }
  free(p.v);
}

static void on_close(struct builder *b)
{
  struct frame *f = &b->stack[--b->depth];
  struct yml_node *n = f->node;

  if (n->kind == YML_MAP)
    finish_map(b, n);
  n->height = 1;
  for (int i = 0; i < n->n; i++) {
    n->size += n->items[i]->size + (n->kind == YML_MAP);
    n->bytes += n->items[i]->bytes + (n->kind == YML_MAP ? n->keys[i]->bytes : 0);
    if (n->items[i]->height >= n->height)
      n->height = n->items[i]->height + 1;
  }
  remember(b, f->anchor, n);
  free(f->anchor);
}

static bool tagged(struct builder *b, const yaml_event_t *e, const yaml_char_t *tag)
{
  if (tag)
    error_at(b, e->start_mark, "put the value in quotes to make it a string",
             "tags are not supported: %s", (const char *)tag);
  return tag != NULL;
}

/* False: enough, there was an error that makes the rest worthless. */
static bool on_event(struct builder *b, const yaml_event_t *e)
{
  switch (e->type) {
  case YAML_DOCUMENT_START_EVENT:
    if (b->documents++) {
      error_at(b, e->start_mark, NULL, "only one document can be in a file");
      return false;
    }
    return true;
  case YAML_SCALAR_EVENT:
    return !tagged(b, e, e->data.scalar.tag) && on_scalar(b, e);
  case YAML_ALIAS_EVENT:
    return on_alias(b, e);
  case YAML_SEQUENCE_START_EVENT:
    return !tagged(b, e, e->data.sequence_start.tag) &&
           on_open(b, e, YML_LIST, (char *)e->data.sequence_start.anchor);
  case YAML_MAPPING_START_EVENT:
    return !tagged(b, e, e->data.mapping_start.tag) &&
           on_open(b, e, YML_MAP, (char *)e->data.mapping_start.anchor);
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT:
    on_close(b);
    return true;
  default:
    return true;
  }
}

static void read_events(struct builder *b)
{
  bool on = true;

  while (on) {
    yaml_event_t e;
    if (!yaml_parser_parse(&b->parser, &e)) {
      syntax_error(b);
      return;
    }
    on = e.type != YAML_STREAM_END_EVENT && on_event(b, &e);
    yaml_event_delete(&e);
  }
}

struct yml_doc *yml_parse(const char *file, const char *text, size_t len, struct diags *d)
{
  bool cut = len > YML_TEXT_MAX;
  size_t n = cut ? YML_TEXT_MAX : len, bom;
  struct yml_doc *doc = xcalloc(1, sizeof *doc);
  struct builder b = { .doc = doc, .d = d, .before = diag_count(d) };

  doc->file = xstrdup(file);
  doc->text = xstrndup(text, n);
  doc->refs = 1;
  if (!text_is_good(doc, n, cut, &b.chars, d)) {
    yml_drop(doc);
    return NULL;
  }
  if (!yaml_parser_initialize(&b.parser))
    abort();
  yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
  bom = bom_len(doc->text, n);
  yaml_parser_set_input_string(&b.parser, (const unsigned char *)doc->text + bom, n - bom);
  b.anchors = map_new();
  read_events(&b);
  while (b.depth)
    free(b.stack[--b.depth].anchor);
  map_free(b.anchors);
  yaml_parser_delete(&b.parser);
  if (diag_count(d) != b.before) {
    yml_drop(doc);
    return NULL;
  }
  if (!doc->root) {
    doc->root = new_node(&b, YML_SCALAR, (yaml_mark_t){ 0 });
    doc->root->text = xstrdup("");
    doc->root->plain = true;
  }
  return doc;
}
