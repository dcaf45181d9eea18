/* A tree as YAML text again, each map and list in block style. */
#include <assert.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/yaml.h"

/* A key is a text, also where it looks like nothing at all: `~` and `null` are two. */
static void write_scalar(const struct yml_node *n, bool key, struct buf *out)
{
  static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/";

  if (n->plain && n->text[0] && !n->text[strspn(n->text, safe)]) {
    buf_adds(out, n->text);
    return;
  }
  if (!key && yml_is_null(n)) {
    buf_adds(out, "null");
    return;
  }
  buf_addc(out, '"');
  for (size_t at = 0, len = strlen(n->text), step; at < len; at += step) {
    uint32_t c = 0;
    step = str_utf8(n->text + at, len - at, &c);
    assert(step);
    if (c == '"' || c == '\\')
      buf_addf(out, "\\%c", (int)c);
    else if (c == '\n')
      buf_adds(out, "\\n");
    else if (c < 0x20 || !yml_allowed(c))
      buf_addf(out, "\\u%04x", (unsigned)c);
    else
      buf_add(out, n->text + at, step);
  }
  buf_addc(out, '"');
}

/* A line feed and so many blanks: printf would be a third of reading a large site. */
static void write_indent(int n, struct buf *out)
{
  static const char blanks[] = "                                ";

  buf_addc(out, '\n');
  for (int step; n; n -= step) {
    step = n < (int)sizeof blanks - 1 ? n : (int)sizeof blanks - 1;
    buf_add(out, blanks, (size_t)step);
  }
}

static void write_node(const struct yml_node *n, int indent, bool (*skip)(const char *key),
                       struct buf *out)
{
  bool first = true;

  if (out->failed)
    return;
  if (n->kind == YML_SCALAR) {
    write_scalar(n, false, out);
    return;
  }
  for (int i = 0; i < n->n; i++) {
    const struct yml_node *item = n->items[i];
    if (n->kind == YML_MAP && skip && skip(n->keys[i]->text))
      continue;
    if (!first || indent)
      write_indent(indent, out);
    first = false;
    if (n->kind == YML_MAP) {
      write_scalar(n->keys[i], true, out);
      buf_addc(out, ':');
    } else {
      buf_addc(out, '-');
    }
    if (item->kind == YML_SCALAR || !item->n)
      buf_addc(out, ' ');
    write_node(item, indent + 2, NULL, out);
  }
  if (first)
    buf_adds(out, n->kind == YML_MAP ? "{}" : "[]");
}

void yml_write(const struct yml_node *n, bool (*skip)(const char *key), struct buf *out)
{
  write_node(n, 0, skip, out);
  buf_addc(out, '\n');
}
