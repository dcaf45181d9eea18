/* Workers that the master dials: drover worker key and its rotation, drover worker trust, and what drover worker show tells of the dialling. */
#include <stdlib.h>
#include <string.h>

#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/work.h"

/* The line by itself on standard output: it may go on into a file. What there is to do with it beside that. */
static void print_key(struct cli *c, const char *line, const char *old)
{
  cJSON *o;
  char *text;

  if (!c->json) {
    out(c, STYLE_NONE, "%s", line), out_end(c);
    if (*old)
      cli_hint("a rotation is under way: put this line into authorized_keys of all hosts, beside that of before, then: drover worker key --drop");
    return;
  }
  o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "ssh_key", line);
  if (*old)
    cJSON_AddStringToObject(o, "ssh_key_old", old);
  text = cJSON_PrintUnformatted(o);
  buf_reset(&c->text);
  buf_adds(&c->text, text);
  out_json(c);
  free(text);
  cJSON_Delete(o);
}

static int rotate(struct cli *c)
{
  cJSON *answer = call_send(c, "POST", "/api/v1/ssh-key/rotate", NULL);

  if (answer)
    print_key(c, js_text(answer, "ssh_key"), js_text(answer, "ssh_key_old"));
  cJSON_Delete(answer);
  return c->code;
}

static void shown_dropped(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *host;

  (void)name;
  out_label(c, STYLE_NONE, "dropped");
  out(c, STYLE_NONE, "the ssh key of before the rotation: its line may go out of authorized_keys");
  out_end(c);
  cJSON_ArrayForEach(host, cJSON_GetObjectItemCaseSensitive(answer, "hosts")) {
    out_label(c, STYLE_NONE, "not reached");
    out(c, STYLE_NONE, "%s, until it has the new line", cJSON_GetStringValue(host));
    out_end(c);
  }
}

static int drop(struct cli *c, bool force)
{
  cJSON *body = cJSON_CreateObject(), *answer;

  if (force)
    cJSON_AddTrueToObject(body, "force");
  answer = call_send(c, "POST", "/api/v1/ssh-key/drop", body);
  cJSON_Delete(body);
  return call_show(c, answer, shown_dropped, NULL);
}

int cmd_worker_key(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *status;
  const char *line;

  (void)arg, (void)narg;
  if (args_has(a, FLAG_ROTATE) + args_has(a, FLAG_DROP) > 1 || (args_has(a, FLAG_FORCE) && !args_has(a, FLAG_DROP)))
    return cli_error(c, CLI_USAGE, "either --rotate or --drop, and --force only with --drop");
  if (args_has(a, FLAG_ROTATE))
    return rotate(c);
  if (args_has(a, FLAG_DROP))
    return drop(c, args_has(a, FLAG_FORCE));
  status = call_get(c, "/api/v1/status");
  if (!status)
    return c->code;
  line = js_text(status, "listen.ssh_key");
  if (!*line)
    cli_error(c, CLI_EXCEPTION, "the master has no key yet: its database was not there so far");
  else
    print_key(c, line, js_text(status, "listen.ssh_key_old"));
  cJSON_Delete(status);
  return c->code;
}

/* Nothing is trusted by this: it says what there is to compare. */
static int show_mark(struct cli *c, const char *name)
{
  char *path = id_path("workers/%s", name);
  cJSON *w = call_get(c, path);
  const char *mark, *trusted;

  free(path);
  if (!w)
    return c->code;
  mark = js_text(w, "ssh.mark");
  trusted = js_text(w, "ssh.trusted");
  if (!js_has(w, "ssh")) {
    cli_error(c, CLI_USAGE, "%s is not a worker that the master dials: `ssh` in the configuration makes it one", name);
  } else if (c->json) {
    out_json(c);
  } else if (*mark) {
    lines_text(c, "worker", name);
    lines_text(c, "address", js_text(w, "ssh.address"));
    lines_text(c, "shown", mark);
    lines_text(c, "trusted", trusted);
    out(c, STYLE_NONE, "compare it on the host itself:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
    out_end(c);
    out(c, STYLE_NONE, "and where it is the same:  drover worker trust %s %s", name, mark);
    out_end(c);
  } else {
    out(c, STYLE_NONE, *trusted ? "%s has shown no other host key than the trusted one: %s" : "%s has shown no host key that would have to be trusted%s", name, trusted);
    out_end(c);
  }
  cJSON_Delete(w);
  return c->code;
}

static void trusted_now(struct cli *c, const cJSON *answer, const char *name)
{
  out_label(c, STYLE_NONE, "trusted");
  out(c, STYLE_NONE, "%s of %s: it is dialled now", js_text(answer, "host_key"), name);
  out_end(c);
}

int cmd_worker_trust(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path;
  cJSON *body, *answer;

  (void)a;
  if (narg < 2)
    return show_mark(c, arg[0]);
  path = id_path("workers/%s/trust", arg[0]);
  body = cJSON_CreateObject();
  cJSON_AddStringToObject(body, "host_key", arg[1]);
  answer = call_send(c, "POST", path, body);
  cJSON_Delete(body);
  free(path);
  return call_show(c, answer, trusted_now, arg[0]);
}

void ssh_show(struct cli *c, const cJSON *w)
{
  if (!js_has(w, "ssh"))
    return;
  lines_text(c, "ssh", js_text(w, "ssh.address"));
  lines_text(c, "trouble", js_text(w, "ssh.why"));
  if (js_has(w, "ssh.trouble"))
    lines_f(c, "tried", "%lld times", (long long)js_num(w, "ssh.failures"));
  lines_time(c, "trouble since", js_num(w, "ssh.since"));
  lines_text(c, "trusted", js_text(w, "ssh.trusted"));
  if (js_true(w, "ssh.old_key"))
    lines_text(c, "key", "the one of before the rotation: the new one has not been let in yet (drover worker key)");
}
