/* The records of a `run`. One table says for each key what its value must be. */
#include "worker/spec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/cut.h"
#include "worker/secrets.h"
#include "worker/terminal.h"

#ifndef SPEC_NATIVE /* NAME=path, as programs of the system want it, and what stands between the paths of a list */
#define SPEC_NATIVE(assignment) (assignment)
#define SPEC_BETWEEN ":"
#endif

enum key { KEY_ARG, KEY_ENV, KEY_PATH, KEY_FRESH, KEY_MKDIR, KEY_CWD, KEY_IDLE, KEY_TOTAL, KEY_GRACE, KEY_ALONE, KEY_STDIN, KEY_SECRET, KEY_SECRET_FILE, KEY_PREPEND, KEY_UNSET, KEY_REPORT, KEY_LIMIT_BYTES, KEY_LIMIT_LINES, KEY_LOG, KEY_STDIN_SECRET, KEY_INPUT, KEY_PTY, KEY_COUNT };
enum kind { KIND_TEXT, KIND_ASSIGN, KIND_ASSIGN_PLACE, KIND_ASSIGN_NAME, KIND_PLACE, KIND_NUMBER, KIND_NAME, KIND_LIMIT, KIND_LOG, KIND_SECRET, KIND_OPEN, KIND_SIZE };

static const struct {
  const char *name;
  enum kind kind;
} keys[KEY_COUNT] = {
  [KEY_ARG] = { "arg", KIND_TEXT },       [KEY_ENV] = { "env", KIND_ASSIGN },     [KEY_PATH] = { "path", KIND_ASSIGN_PLACE },
  [KEY_FRESH] = { "fresh", KIND_PLACE },  [KEY_MKDIR] = { "mkdir", KIND_PLACE },  [KEY_CWD] = { "cwd", KIND_PLACE },
  [KEY_IDLE] = { "idle", KIND_NUMBER },   [KEY_TOTAL] = { "total", KIND_NUMBER }, [KEY_GRACE] = { "grace", KIND_NUMBER },
  [KEY_ALONE] = { "alone", KIND_NUMBER }, [KEY_STDIN] = { "stdin", KIND_TEXT },
  [KEY_PREPEND] = { "prepend", KIND_ASSIGN_PLACE }, [KEY_UNSET] = { "unset", KIND_NAME },
  [KEY_SECRET] = { "secret", KIND_ASSIGN_NAME }, [KEY_SECRET_FILE] = { "secret_file", KIND_ASSIGN_NAME },
  [KEY_REPORT] = { "report", KIND_PLACE },
  [KEY_LIMIT_BYTES] = { "limit_bytes", KIND_LIMIT }, [KEY_LIMIT_LINES] = { "limit_lines", KIND_LIMIT },
  [KEY_LOG] = { "log", KIND_LOG },
  [KEY_STDIN_SECRET] = { "stdin_secret", KIND_SECRET }, [KEY_INPUT] = { "input", KIND_OPEN }, [KEY_PTY] = { "pty", KIND_SIZE },
};

static int find_key(const char *name)
{
  for (int i = 0; i < KEY_COUNT; i++)
    if (!strcmp(keys[i].name, name))
      return i;
  return -1;
}

static const char *check_value(enum key key, const char *value)
{
  const char *eq = strchr(value, '=');
  int64_t n;
  int cols, rows;

  switch (keys[key].kind) {
  case KIND_TEXT:
    return NULL;
  case KIND_ASSIGN:
  case KIND_ASSIGN_PLACE:
  case KIND_ASSIGN_NAME:
    if (!eq || eq == value)
      return "an environment record is not NAME=value";
    if (str_starts(value, "DROVER_COMMAND="))
      return "DROVER_COMMAND can't be set";
    if (keys[key].kind == KIND_ASSIGN_NAME)
      return str_is_name(eq + 1, strlen(eq + 1)) ? NULL : "not the name of a secret";
    return keys[key].kind == KIND_ASSIGN_PLACE && !beneath_valid(eq + 1) ? "a path leaves the work folder" : NULL;
  case KIND_PLACE:
    if (!beneath_valid(value))
      return "a folder leaves the work folder";
    return key == KEY_FRESH && beneath_is_top(value) ? "the work folder itself can't be removed" : NULL;
  case KIND_NAME:
    if (!*value || eq)
      return "that is no name of a variable";
    return !strcmp(value, "DROVER_COMMAND") ? "DROVER_COMMAND can't be unset" : NULL;
  case KIND_NUMBER:
    return str_number(value, strlen(value), &n) ? "a time is not a number" : NULL;
  case KIND_LOG:
    if (!eq || !str_is_name(value, (size_t)(eq - value)))
      return "a log is not NAME=place";
    return beneath_valid(eq + 1) && !beneath_is_top(eq + 1) ? NULL : "a log is not below the work folder";
  case KIND_SECRET:
    return str_is_name(value, strlen(value)) ? NULL : "not the name of a secret";
  case KIND_OPEN:
    return !strcmp(value, "open") ? NULL : "an input that is not open";
  case KIND_SIZE:
    return terminal_size(value, &cols, &rows) ? NULL : "that is no size of a terminal";
  case KIND_LIMIT:
    if (str_number(value, strlen(value), &n))
      return "a limit of output is not a number";
    return n < (key == KEY_LIMIT_BYTES ? CUT_BYTES_MIN : CUT_LINES_MIN) ? "a limit of output is too small" : NULL;
  }
  return "unknown record";
}

enum err spec_check(const char *blob, size_t n, const char **why)
{
  char name[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0, items = 0, args = 0, logs = 0;
  bool given = false, fed = false;
  enum err e;

  *why = NULL;
  while (!*why && (e = records_next(blob, n, &at, name, &value)) != ERR_NOTFOUND) {
    int key = e ? -1 : find_key(name);
    if (e)
      *why = "not records";
    else if (key < 0)
      *why = "unknown record";
    else if (++items > SPEC_ITEMS_MAX)
      *why = "too many records";
    else
      *why = check_value((enum key)key, value);
    args += key == KEY_ARG;
    logs += key == KEY_LOG;
    given = given || key == KEY_STDIN || key == KEY_STDIN_SECRET;
    fed = fed || key == KEY_INPUT;
    if (!*why && logs > SPOOL_STREAMS_MAX - 1)
      *why = "too many logs";
    if (!*why && given && fed)
      *why = "standard input that is given and open";
    if (!*why && key == KEY_ARG && args == 1 && !*value)
      *why = "an empty program name";
  }
  if (!*why && !args)
    *why = "no argument";
  return *why ? ERR_BADARG : ERR_OK;
}

void spec_set(struct spec *s, char *assignment)
{
  size_t name = (size_t)(strchr(assignment, '=') - assignment) + 1;

  for (size_t i = 0; i < s->nenv; i++)
    if (!strncmp(s->env[i], assignment, name)) {
      free(s->env[i]);
      s->env[i] = assignment;
      return;
    }
  s->env[s->nenv++] = assignment;
}

/* The variable NAME, or NULL. */
static char **variable(struct spec *s, const char *name, size_t n)
{
  for (size_t i = 0; i < s->nenv; i++)
    if (!strncmp(s->env[i], name, n) && s->env[i][n] == '=')
      return &s->env[i];
  return NULL;
}

static void unset(struct spec *s, const char *name)
{
  char **v = variable(s, name, strlen(name));

  if (!v)
    return;
  free(*v);
  *v = s->env[--s->nenv];
  s->env[s->nenv] = NULL;
}

/* NAME=relative: the absolute path of that place in front of the list that NAME holds. */
static void prepend(struct spec *s, const char *value, const char *work)
{
  int n = (int)(strchr(value, '=') - value);
  char **v = variable(s, value, (size_t)n);
  const char *rest = v ? *v + n + 1 : "";

  spec_set(s, SPEC_NATIVE(xasprintf("%.*s=%s/%s%s%s", n, value, work, value + n + 1, *rest ? SPEC_BETWEEN : "", rest)));
}

static void load_number(struct spec *s, enum key key, const char *value)
{
  int64_t n;

  if (str_number(value, strlen(value), &n))
    return;
  if (key == KEY_IDLE)
    s->idle_ms = n;
  else if (key == KEY_TOTAL)
    s->total_ms = n;
  else if (key == KEY_GRACE)
    s->grace_ms = n;
  else if (key == KEY_ALONE)
    s->alone_ms = n;
  else if (key == KEY_LIMIT_BYTES)
    s->limit_bytes = n;
  else if (key == KEY_LIMIT_LINES)
    s->limit_lines = n;
}

int spec_streams(const char *blob, size_t n)
{
  char name[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;
  int streams = 1;

  while (streams < SPOOL_STREAMS_MAX && records_next(blob, n, &at, name, &value) == ERR_OK)
    streams += !strcmp(name, keys[KEY_LOG].name);
  return streams;
}

static bool has(const char *blob, size_t n, enum key key)
{
  char name[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  while (records_next(blob, n, &at, name, &value) == ERR_OK)
    if (!strcmp(name, keys[key].name))
      return true;
  return false;
}

bool spec_is_fed(const char *blob, size_t n)
{
  return has(blob, n, KEY_INPUT);
}

bool spec_has_terminal(const char *blob, size_t n)
{
  return has(blob, n, KEY_PTY);
}

char *spec_input(const struct spec *s, const char *values, size_t nvalues, size_t *n)
{
  struct { const char *p; size_t n; } part;
  char *out = NULL;

  for (int pass = 0; pass < 2; pass++) { /* first how much, since a buffer that grows leaves bytes behind */
    *n = 0;
    for (size_t i = 0; i < s->nin; i++) {
      part.p = s->in[i].secret ? secrets_get(values, nvalues, s->in[i].text) : s->in[i].text;
      if (!part.p) /* checked when the command was taken */
        part.p = "";
      part.n = s->in[i].secret ? secrets_line(part.p) : strlen(part.p);
      if (out)
        memcpy(out + *n, part.p, part.n);
      *n += part.n;
    }
    if (!out && s->nin)
      out = xmalloc(*n + 1);
  }
  return out;
}

static size_t count_items(const char *blob, size_t n)
{
  size_t items = 0;
  for (size_t i = 0; i < n; i++)
    items += !blob[i];
  return items;
}

void spec_load(struct spec *s, const char *blob, size_t n, const char *work, const char *path, const char *cmd)
{
  size_t at = 0, args = 0, places = 0, room = count_items(blob, n) + 4;
  char name[RECORDS_KEY_MAX + 1];
  const char *value;

  memset(s, 0, sizeof *s);
  s->grace_ms = SPEC_GRACE_MS;
  s->alone_ms = SPEC_ALONE_MS;
  s->cwd = ".";
  s->argv = xcalloc(room, sizeof *s->argv);
  s->env = xcalloc(room, sizeof *s->env);
  s->place = xcalloc(room, sizeof *s->place);
  s->fresh = xcalloc(room, 1);
  s->secret = xcalloc(room, sizeof *s->secret);
  s->in = xcalloc(room, sizeof *s->in);
  spec_set(s, xasprintf("PATH=%s", path));
  spec_set(s, xasprintf("DROVER_COMMAND=%s", cmd));
  while (records_next(blob, n, &at, name, &value) == ERR_OK) {
    int key = find_key(name);
    switch (key) {
    case KEY_ARG:
      s->argv[args++] = value;
      break;
    case KEY_ENV:
      spec_set(s, xstrdup(value));
      break;
    case KEY_PATH: {
      int len = (int)(strchr(value, '=') - value);
      spec_set(s, SPEC_NATIVE(xasprintf("%.*s=%s/%s", len, value, work, value + len + 1)));
      break;
    }
    case KEY_PREPEND:
      prepend(s, value, work);
      break;
    case KEY_UNSET:
      unset(s, value);
      break;
    case KEY_SECRET:
    case KEY_SECRET_FILE: {
      const char *eq = strchr(value, '=');
      s->secret[s->nsecrets++] = (struct spec_secret){ xstrndup(value, (size_t)(eq - value)), eq + 1, key == KEY_SECRET_FILE };
      break;
    }
    case KEY_FRESH:
    case KEY_MKDIR:
      s->fresh[places] = key == KEY_FRESH;
      s->place[places++] = value;
      break;
    case KEY_REPORT:
      s->report = value;
      break;
    case KEY_LOG:
      s->log[s->nlogs++] = strchr(value, '=') + 1;
      break;
    case KEY_CWD:
      s->cwd = value;
      break;
    case KEY_STDIN:
    case KEY_STDIN_SECRET:
      s->in[s->nin++] = (struct spec_part){ value, key == KEY_STDIN_SECRET };
      break;
    case KEY_INPUT:
      s->fed = true;
      break;
    case KEY_PTY:
      s->terminal = terminal_size(value, &s->cols, &s->rows);
      break;
    default:
      load_number(s, (enum key)key, value);
    }
  }
  if (s->terminal && !variable(s, "TERM", strlen("TERM")))
    spec_set(s, xstrdup("TERM=xterm-256color"));
  assert(args);
}
