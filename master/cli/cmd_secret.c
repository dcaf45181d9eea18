/* drover secret set, list, remove, rotate. A value comes from standard input, or from a prompt without echo: never from an argument, which others would see. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/ids.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/table.h"

enum { VALUE_MAX = 16384 };

static struct termios terminal;
static const int enders[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static void on_end(int sig)
{
  tcsetattr(0, TCSANOW, &terminal);
  signal(sig, SIG_DFL);
  raise(sig);
}

/* To the end of the input, of a terminal one line; -1 and errno. */
static ssize_t read_value(char *out, size_t most, bool line)
{
  size_t n = 0;
  ssize_t r;

  while (n < most && (r = read(0, out + n, line ? 1 : most - n)) != 0) {
    if (r < 0 && errno != EINTR)
      return -1;
    if (line && r == 1 && out[n] == '\n')
      break;
    n += r > 0 ? (size_t)r : 0;
  }
  return (ssize_t)n;
}

static ssize_t ask_value(const char *name, char *out, size_t most)
{
  struct sigaction end = { .sa_handler = on_end }, old[COUNT(enders)];
  struct termios quiet;
  ssize_t n;

  if (!isatty(0) || tcgetattr(0, &terminal))
    return read_value(out, most, false);
  quiet = terminal;
  quiet.c_lflag &= (tcflag_t)~ECHO;
  for (size_t i = 0; i < COUNT(enders); i++)
    sigaction(enders[i], &end, &old[i]);
  tcsetattr(0, TCSAFLUSH, &quiet); /* first: it drops what was typed so far */
  fprintf(stderr, "Value of %s: ", name);
  n = read_value(out, most, true);
  tcsetattr(0, TCSANOW, &terminal);
  for (size_t i = 0; i < COUNT(enders); i++)
    sigaction(enders[i], &old[i], NULL);
  fputc('\n', stderr);
  return n;
}

static void wipe(cJSON *body)
{
  cJSON *value = cJSON_GetObjectItemCaseSensitive(body, "value");

  if (cJSON_IsString(value))
    mem_wipe(value->valuestring, strlen(value->valuestring));
  cJSON_Delete(body);
}

/* NULL: told. */
static cJSON *body_of(struct cli *c, const char *name)
{
  static char value[VALUE_MAX + 2];
  ssize_t n = ask_value(name, value, VALUE_MAX + 1);
  cJSON *body = NULL;

  if (n < 0) {
    cli_error(c, CLI_USAGE, "the value can't be read: %s", strerror(errno));
  } else if (!n) {
    cli_error(c, CLI_USAGE, "there is no value on standard input");
  } else if (n > VALUE_MAX) {
    cli_error(c, CLI_USAGE, "the value is larger than %d KiB", VALUE_MAX / 1024);
  } else if (memchr(value, 0, (size_t)n) || !utf8_valid(value, (size_t)n)) {
    cli_error(c, CLI_USAGE, "the value is no text: encode it, in base64 for example");
  } else {
    body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "name", name);
    cJSON_AddStringToObject(body, "value", value);
  }
  mem_wipe(value, sizeof value);
  if (!body)
    c->code = CLI_USAGE;
  return body;
}

int cmd_secret_set(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *body, *answer;

  (void)a, (void)narg;
  if (!str_is_name(arg[0], strlen(arg[0])))
    return cli_error(c, CLI_USAGE, "\"%s\" is no name: 1 to 64 letters, digits, dots, hyphens and underscores, first a letter or digit", arg[0]);
  body = body_of(c, arg[0]);
  if (!body)
    return c->code;
  answer = call_send(c, "POST", "/api/v1/secrets", body);
  wipe(body);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_NONE, "stored");
    out(c, STYLE_BOLD, "%s", arg[0]);
    out(c, STYLE_NONE, "%s", js_true(answer, "declared") ? ", encrypted; steps get it from now on" : ", encrypted; no step can take it before the site's configuration says");
    if (!js_true(answer, "declared"))
      out(c, STYLE_BOLD, " secrets: {%s: {store: true}}", arg[0]);
    out_end(c);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

static void secret_row(struct table *t, const cJSON *s, int64_t now)
{
  char text[FMT_MAX];
  struct buf builders;

  buf_init(&builders, BUF_NO_MAX);
  js_join(s, "builders", " ", &builders);
  if (cJSON_GetArraySize(js_get(s, "repositories"))) {
    buf_addf(&builders, "%srepositories of ", builders.len ? "; " : "");
    js_join(s, "repositories", " ", &builders);
  }
  table_cell(t, STYLE_BOLD, js_text(s, "name"));
  table_cell(t, STYLE_NONE, js_has(s, "file") ? js_text(s, "file") : "the store");
  table_cell(t, STYLE_NONE, js_has(s, "set_at") ? fmt_ago(js_num(s, "set_at"), now, text) : "");
  table_cell(t, STYLE_NONE, js_text(s, "set_by"));
  table_cell(t, STYLE_NONE, buf_str(&builders));
  table_cell(t, STYLE_WARN, js_text(s, "trouble"));
  buf_free(&builders);
}

int cmd_secret_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const struct column columns[] = { { "SECRET", 0 }, { "IN", TABLE_FLEX }, { "SET", 0 }, { "BY", 0 }, { "FOR", TABLE_FLEX }, { "TROUBLE", TABLE_FLEX } };
  cJSON *answer = call_get(c, "/api/v1/secrets");
  const cJSON *s;
  struct table *t;

  (void)a, (void)arg, (void)narg;
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else if (!cJSON_GetArraySize(js_get(answer, "items"))) {
    out(c, STYLE_NONE, "no secrets: `secrets` in the site's configuration declares them");
    out_end(c);
  } else {
    t = table_new(columns, COUNT(columns));
    cJSON_ArrayForEach(s, js_get(answer, "items"))
      secret_row(t, s, clock_wall_ms());
    lines_all_of(c, t);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

static void removed(struct cli *c, const cJSON *answer, const char *name)
{
  (void)answer;
  out_label(c, STYLE_NONE, "removed");
  out(c, STYLE_NONE, "%s is not in the store any more; backups may have it, encrypted", name);
  out_end(c);
}

int cmd_secret_remove(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("secrets/%s", arg[0]);
  cJSON *answer = call_send(c, "DELETE", path, NULL);

  (void)a, (void)narg;
  free(path);
  return call_show(c, answer, removed, arg[0]);
}

int cmd_secret_rotate(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *answer = call_send(c, "POST", "/api/v1/site-key/rotate", NULL);
  struct buf lost;

  (void)a, (void)arg, (void)narg;
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_NONE, "rotated");
    out(c, STYLE_NONE, "the site's key is %s now, and %lld secrets are encrypted with it; back it up: drover-master backup", js_text(answer, "key"), (long long)js_num(answer, "secrets"));
    out_end(c);
    buf_init(&lost, BUF_NO_MAX);
    js_join(answer, "unreadable", ", ", &lost);
    if (lost.len) {
      out_label(c, STYLE_WARN, "lost");
      out(c, STYLE_WARN, "set these again, their key is not here: %s", buf_str(&lost));
      out_end(c);
    }
    buf_free(&lost);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}
