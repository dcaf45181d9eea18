/* What people give the command line, what it shows them, and a backup's manifest: arbitrary bytes as a log for a terminal, as ids and addresses, as manifest.json, by the first byte. Whatever a build writes, a terminal gets
   nothing but text and colours; what is taken as an address can be no option of ssh; a manifest that is taken names files below its folder, and is written as it was read. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/cli/http_ssh.h"
#include "master/cli/ids.h"
#include "master/cli/safe.h"
#include "master/cli/ssh.h"
#include "master/keep/manifest.h"

/* ---- a terminal ---- */

/* Length of an escape sequence that sets looks and nothing else; 0: it is another one. */
static size_t looks(const char *p, size_t n)
{
  size_t i = 2;

  if (n < 3 || p[0] != 033 || p[1] != '[')
    return 0;
  while (i < n && ((p[i] >= '0' && p[i] <= '9') || p[i] == ';'))
    i++;
  return i < n && p[i] == 'm' ? i + 1 : 0;
}

/* As a terminal reads it: characters, line feeds, tabs, and with sgr colours. Whether colours are off at its end. */
static void check_harmless(const struct buf *b, bool sgr, bool line)
{
  bool off = true;

  for (size_t i = 0, len; i < b->len; i += len) {
    const char *p = b->data + i;
    uint32_t c;
    if (sgr && (len = looks(p, b->len - i))) {
      off = len == 3 || (p[len - 2] == '0' && (p[len - 3] == ';' || p[len - 3] == '[' || p[len - 3] == '0')) || p[len - 2] == ';';
      for (size_t k = 2; k + 1 < len; k++)
        must(strncmp(p + k, "8m", 2) || (p[k - 1] >= '0' && p[k - 1] <= '9') || p[k - 1] == ';');
      continue;
    }
    len = str_utf8(p, b->len - i, &c);
    must(len && c != 127 && !(c >= 0x80 && c < 0xa0) && (c >= ' ' || (!line && (c == '\n' || c == '\t'))));
    must(c != 0x061c && c != 0x200e && c != 0x200f && !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069));
  }
  must(off || !b->len || b->data[b->len - 1] == 'm');
}

static void show(struct buf *out, bool sgr, const char *p, size_t n, size_t piece)
{
  struct safe s;

  safe_init(&s, sgr);
  buf_init(out, BUF_NO_MAX);
  for (size_t at = 0; at < n; at += piece)
    safe_add(&s, p + at, n - at < piece ? n - at : piece, out);
  must(s.nheld <= SAFE_SEQUENCE_MAX);
  safe_end(&s, out);
  must(!s.nheld && !s.coloured);
}

static void terminal(const char *p, size_t n)
{
  char *text = xstrndup(p, n), *line = safe_line(text);
  struct buf whole, cut;

  for (int sgr = 0; sgr < 2; sgr++) {
    show(&whole, sgr, p, n, n ? n : 1);
    show(&cut, sgr, p, n, 1 + n % 5);
    must(whole.len == cut.len && !memcmp(buf_str(&whole), buf_str(&cut), whole.len));
    check_harmless(&whole, sgr, false);
    buf_free(&whole);
    buf_free(&cut);
  }
  buf_init(&whole, BUF_NO_MAX);
  buf_adds(&whole, line);
  check_harmless(&whole, false, true);
  buf_free(&whole);
  free(text);
  free(line);
}

/* ---- ids and addresses ---- */

static void check_id(const char *text)
{
  struct cli_id id;
  char *path;

  if (!id_parse(text, &id))
    return;
  must(id.kind >= ID_BUILD && id.kind <= ID_NAME && strlen(id.text) < ID_PART_MAX);
  must(str_starts(text, id.text));
  if (id.kind == ID_BUILD || id.kind == ID_STEP)
    must(*id.builder && *id.number && !strchr(id.builder, '/') && !strchr(id.project, '/') && (id.kind == ID_STEP) == (*id.step != 0));
  if (id.kind == ID_BUILDER)
    must(*id.builder && *id.project);
  path = id_path("builds/%p/logs/%s", id.text, id.step);
  must(str_starts(path, "/api/v1/builds/") && !path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%-._~/")]); /* nothing of it ends the path */
  free(path);
}

static void address(const char *text)
{
  char *url = xasprintf("ssh://%s", text);

  if (ssh_target_ok(text))
    must(*text && *text != '-' && !strpbrk(text, " \t\n;'\"\\$`/") && !strstr(text, "@-"));
  if (http_ssh_valid(url))
    must(*text && *text != '-' && !strpbrk(text, " \t\n;'\"\\$`") && !strstr(text, "@-"));
  free(url);
}

/* ---- a backup ---- */

static void manifest(const char *p, size_t n)
{
  struct manifest m, again;
  struct buf why;
  char *first, *second;

  buf_init(&why, BUF_NO_MAX);
  if (manifest_read(&m, p, n, &why)) {
    must(why.len > 0);
  } else {
    must(!why.len && m.schema >= 0 && m.incarnation >= 0 && m.made_ms >= 0 && manifest_file(&m, MANIFEST_DATABASE) && m.nfiles <= MANIFEST_FILES_MAX && m.ntables <= MANIFEST_TABLES_MAX);
    for (int i = 0; i < m.nfiles; i++) {
      const struct manifest_file *f = &m.files[i];
      must(manifest_name_ok(f->name) && *f->name != '/' && *f->name != '.' && !strstr(f->name, "/."));
      must(f->mode >= 0 && f->mode <= 0777 && f->size >= 0 && strlen(f->sha256) == 64 && (!f->path || *f->path == '/'));
      must(manifest_file(&m, f->name) == f);
    }
    first = manifest_write(&m);
    must(!manifest_read(&again, first, strlen(first), &why));
    second = manifest_write(&again);
    must(!strcmp(first, second));
    free(first);
    free(second);
    manifest_free(&again);
  }
  manifest_free(&m);
  buf_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *text;

  if (!n)
    return 0;
  text = xstrndup((const char *)p + 1, n - 1);
  switch (*p % 4) {
  case 0: terminal((const char *)p + 1, n - 1); break;
  case 1: check_id(text); break;
  case 2: address(text); break;
  case 3: manifest(text, strlen(text)); break;
  }
  free(text);
  return 0;
}
