/* drover: the operator's command line. Speaks only the HTTP API (docs/api.md), over the master's unix socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/http.h"
#include "master/cli/http_ssh.h"

#define RETRY_MS 60000
#define WIDTH_LEAST 40

static int terminal_width(void)
{
  const char *columns = getenv("COLUMNS");
  struct winsize ws;
  int64_t n;

  if (columns && !str_number(columns, strlen(columns), &n) && n >= WIDTH_LEAST && n < 10000)
    return (int)n;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || ws.ws_col == 0)
    return 0;
  return ws.ws_col < WIDTH_LEAST ? WIDTH_LEAST : ws.ws_col;
}

static void set_up(struct cli *c, const struct args *a)
{
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM"), *env = getenv("DROVER_SOCKET");

  memset(c, 0, sizeof *c);
  buf_init(&c->text, BUF_NO_MAX);
  c->at_line_start = true;
  c->tty = isatty(STDOUT_FILENO);
  c->json = args_has(a, FLAG_JSON);
  c->color = c->tty && !args_has(a, FLAG_NO_COLOR) && !(no_color && *no_color) && !(term && str_eq(term, "dumb"));
  c->width = c->tty ? terminal_width() : 0;
  c->call_ms = CALL_TIMEOUT_MS;
  c->retry_ms = RETRY_MS;
  c->socket = args_value(a, FLAG_SOCKET);
  if (args_has(a, FLAG_HOST))
    c->socket = args_value(a, FLAG_HOST);
  if (!c->socket)
    c->socket = env && *env ? env : CLI_SOCKET;
  c->http = http_new(c->socket);
}

static int usage(struct cli *c, const struct command *cmd)
{
  cli_hint("usage: drover %s%s%s%s", cmd->name, *cmd->args ? " " : "", cmd->args, cmd->flags ? " [flags]" : "");
  cli_hint("drover %s --help says more", cmd->name);
  return c->code;
}

static int run(struct cli *c, const struct args *a)
{
  const struct command *cmd;
  const char *retry = args_value(a, FLAG_RETRY);
  enum flag_id stranger;
  int used, narg;

  if (args_has(a, FLAG_VERSION)) {
    out(c, STYLE_NONE, "drover " DROVER_VERSION);
    out_end(c);
    return CLI_OK;
  }
  if (!a->nwords) {
    if (!args_has(a, FLAG_HELP))
      return cli_error(c, CLI_USAGE, "which command? drover --help shows all");
    command_help_all(c);
    return CLI_OK;
  }
  cmd = command_find(c, a, &used);
  if (!cmd)
    return c->code;
  if (args_has(a, FLAG_HELP)) {
    command_help(c, cmd);
    return CLI_OK;
  }
  narg = a->nwords - used;
  stranger = args_stranger(a, cmd->flags | FLAGS_GLOBAL);
  if (stranger != FLAG_COUNT) {
    cli_error(c, CLI_USAGE, "drover %s takes no --%s", cmd->name, args_flags[stranger].name);
    return usage(c, cmd);
  }
  if (narg < cmd->least || narg > cmd->most) {
    cli_error(c, CLI_USAGE, narg < cmd->least ? "drover %s: %s is missing" : "drover %s: too many arguments", cmd->name, cmd->args);
    return usage(c, cmd);
  }
  if (args_has(a, FLAG_HOST) && !http_ssh_valid(args_value(a, FLAG_HOST)))
    return cli_error(c, CLI_USAGE, "--host wants ssh://[USER@]HOST[:PORT][/SOCKET], not \"%s\"", args_value(a, FLAG_HOST));
  if (retry && str_duration(retry, &c->retry_ms))
    return cli_error(c, CLI_USAGE, "--retry wants a time like 30s or 5m, not \"%s\"", retry);
  return cmd->run(c, a, a->words + used, narg);
}

int main(int argc, char **argv)
{
  struct args a;
  struct cli c;
  struct buf why;
  int code;

  buf_init(&why, BUF_NO_MAX);
  if (args_parse(&a, argc > 0 ? argc - 1 : 0, argv + 1, &why)) {
    set_up(&c, &a);
    code = run(&c, &a);
  } else {
    set_up(&c, &a);
    code = cli_error(&c, CLI_USAGE, "%s", buf_str(&why));
  }
  out_flush(&c);
  if (c.write_errno)
    code = cli_error(&c, CLI_EXCEPTION, "can't write the output: %s", strerror(c.write_errno));
  http_free(c.http);
  buf_free(&c.text);
  buf_free(&why);
  args_free(&a);
  return code;
}
