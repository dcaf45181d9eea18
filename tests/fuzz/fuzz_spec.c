/* Arbitrary bytes as the records of a `run`, and behind them values of secrets: what spec_check() accepts is taken apart to the last record and stays within its limits, and written again it is taken apart to the same. The
   first two bytes say how long the run is. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/cut.h"
#include "worker/secrets.h"
#include "worker/spec.h"
#include "worker/terminal.h"

#define WORK "/work"
#define COMMAND "1-7"

static void free_spec(struct spec *s)
{
  for (size_t i = 0; i < s->nenv; i++)
    free(s->env[i]);
  for (size_t i = 0; i < s->nsecrets; i++)
    free((char *)(uintptr_t)s->secret[i].env);
  free(s->argv);
  free(s->env);
  free(s->place);
  free(s->fresh);
  free(s->secret);
  free(s->in);
}

/* How many records of a key there are. */
static size_t count(const char *p, size_t n, const char *key)
{
  char name[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0, found = 0;

  while (!records_next(p, n, &at, name, &value))
    found += !strcmp(name, key);
  return found;
}

static const char *variable(const struct spec *s, const char *name)
{
  for (size_t i = 0; i < s->nenv; i++)
    if (!strncmp(s->env[i], name, strlen(name)) && s->env[i][strlen(name)] == '=')
      return s->env[i] + strlen(name) + 1;
  return NULL;
}

/* Each variable has a name and stands there once; the command's id is the agent's word alone. */
static void environment(const struct spec *s)
{
  must(str_eq(variable(s, "DROVER_COMMAND"), COMMAND));
  must(!s->env[s->nenv]);
  for (size_t i = 0; i < s->nenv; i++) {
    size_t name = strcspn(s->env[i], "=");
    must(name && s->env[i][name] == '=');
    for (size_t k = 0; k < i; k++)
      must(strncmp(s->env[i], s->env[k], name + 1) != 0);
  }
  must(!s->terminal || variable(s, "TERM"));
}

static void size(const struct spec *s)
{
  char text[32];
  int cols, rows;

  snprintf(text, sizeof text, "%dx%d", s->cols, s->rows);
  must(terminal_size(text, &cols, &rows) && cols == s->cols && rows == s->rows);
  must(cols >= 1 && cols <= TERMINAL_SIDE_MAX && rows >= 1 && rows <= TERMINAL_SIDE_MAX);
}

static void limits(const struct spec *s)
{
  must(s->idle_ms >= 0 && s->total_ms >= 0 && s->grace_ms >= 0 && s->alone_ms >= 0);
  must(!s->limit_bytes || s->limit_bytes >= CUT_BYTES_MIN);
  must(!s->limit_lines || s->limit_lines >= CUT_LINES_MIN);
  if (s->terminal)
    size(s);
  must(beneath_valid(s->cwd) && (!s->report || beneath_valid(s->report)));
  for (const char **p = s->place; *p; p++)
    must(beneath_valid(*p) && !(s->fresh[p - s->place] && beneath_is_top(*p)));
  for (int i = 0; i < s->nlogs; i++)
    must(beneath_valid(s->log[i]) && !beneath_is_top(s->log[i]));
  must(!s->fed || !s->nin);
}

static void whole(const char *p, size_t n, const struct spec *s)
{
  size_t args = 0, places = 0;

  while (s->argv[args])
    args++;
  while (s->place[places])
    places++;
  must(args && *s->argv[0] && args == count(p, n, "arg"));
  must(places == count(p, n, "fresh") + count(p, n, "mkdir"));
  must((size_t)s->nlogs == count(p, n, "log") && s->nlogs + 1 == spec_streams(p, n) && s->nlogs < SPOOL_STREAMS_MAX);
  must(s->nsecrets == count(p, n, "secret") + count(p, n, "secret_file"));
  must(s->nin == count(p, n, "stdin") + count(p, n, "stdin_secret"));
  must(s->fed == (count(p, n, "input") > 0) && s->fed == spec_is_fed(p, n));
  must(s->terminal == (count(p, n, "pty") > 0) && s->terminal == spec_has_terminal(p, n));
}

/* A run that asks for the same. Where its files are called what is not asked for again: the log's name is the master's. */
static void put(struct buf *b, const struct spec *s)
{
  buf_init(b, BUF_NO_MAX);
  for (const char **a = s->argv; *a; a++)
    records_put(b, "arg", *a);
  records_put(b, "unset", "PATH");
  for (size_t i = 0; i < s->nenv; i++)
    if (!str_starts(s->env[i], "DROVER_COMMAND="))
      records_put(b, "env", s->env[i]);
  for (size_t i = 0; s->place[i]; i++)
    records_put(b, s->fresh[i] ? "fresh" : "mkdir", s->place[i]);
  for (size_t i = 0; i < s->nsecrets; i++)
    records_putf(b, s->secret[i].file ? "secret_file" : "secret", "%s=%s", s->secret[i].env, s->secret[i].name);
  for (size_t i = 0; i < s->nin; i++)
    records_put(b, s->in[i].secret ? "stdin_secret" : "stdin", s->in[i].text);
  for (int i = 0; i < s->nlogs; i++)
    records_putf(b, "log", "l=%s", s->log[i]);
  records_put(b, "cwd", s->cwd);
  if (s->report)
    records_put(b, "report", s->report);
  if (s->fed)
    records_put(b, "input", "open");
  if (s->terminal)
    records_putf(b, "pty", "%dx%d", s->cols, s->rows);
  records_putf(b, "idle", "%lld", (long long)s->idle_ms);
  records_putf(b, "total", "%lld", (long long)s->total_ms);
  records_putf(b, "grace", "%lld", (long long)s->grace_ms);
  records_putf(b, "alone", "%lld", (long long)s->alone_ms);
  if (s->limit_bytes)
    records_putf(b, "limit_bytes", "%lld", (long long)s->limit_bytes);
  if (s->limit_lines)
    records_putf(b, "limit_lines", "%lld", (long long)s->limit_lines);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void again(const struct spec *s)
{
  struct buf first, second;
  const char *why;
  struct spec t;

  qsort(s->env, s->nenv, sizeof *s->env, by_text); /* in which order they stand nobody says */
  put(&first, s);
  must(spec_check(first.data, first.len, &why) == ERR_OK);
  spec_load(&t, first.data, first.len, WORK, "/bin", COMMAND);
  qsort(t.env, t.nenv, sizeof *t.env, by_text);
  put(&second, &t);
  must(first.len == second.len && !memcmp(first.data, second.data, first.len));
  buf_free(&second);
  free_spec(&t);
  buf_free(&first);
}

/* The bytes of its standard input are those of its parts, in their order, and each secret that it names has come. */
static void input(const struct spec *s, const char *values, size_t nvalues)
{
  size_t n, sum = 0;
  char *in = spec_input(s, values, nvalues, &n);

  must(!in == !s->nin);
  for (size_t i = 0; i < s->nin; i++) {
    const char *text = s->in[i].secret ? secrets_get(values, nvalues, s->in[i].text) : s->in[i].text;
    size_t len = s->in[i].secret ? secrets_line(text) : strlen(text);
    must(sum + len <= n && !memcmp(in + sum, text, len));
    sum += len;
  }
  must(sum == n);
  for (size_t i = 0; i < s->nsecrets; i++)
    must(str_is_name(s->secret[i].name, strlen(s->secret[i].name)) && secrets_get(values, nvalues, s->secret[i].name));
  free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  size_t nrun = n < 2 ? 0 : (size_t)p[0] << 8 | p[1];
  const char *why = NULL, *secrets_why = NULL;
  char *run, *values;
  struct spec s;

  if (n < 2)
    return 0;
  nrun = nrun < n - 2 ? nrun : n - 2;
  run = xmemdup(p + 2, nrun);
  values = xmemdup(p + 2 + nrun, n - 2 - nrun);
  must((spec_check(run, nrun, &why) == ERR_OK) == !why);
  if (!why) {
    spec_load(&s, run, nrun, WORK, "/bin", COMMAND);
    whole(run, nrun, &s);
    environment(&s);
    limits(&s);
    must(secrets_check(run, nrun, values, n - 2 - nrun, &secrets_why) == !secrets_why);
    if (!secrets_why)
      input(&s, values, n - 2 - nrun);
    again(&s);
    free_spec(&s);
  }
  free(run);
  free(values);
  return 0;
}
