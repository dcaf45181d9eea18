/* drover worker install: makes a host a worker, by the operator's own ssh.

   Happy path: what kind of host it is, and a folder there → the worker program into it → a token from the master → `drover-worker install` there, which gets the token by standard
   input and says what the master answered → the folder goes.
   Failures: told by whom they come from (ssh, the program over there, the master). The token is asked for last, because it makes an older one of that name useless. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/ssh.h"
#include "master/cli/worker.h"

#define THERE_PREFIX "/tmp/drover-worker."
enum { PROGRAM_MAX = 64 << 20, KIND_MAX = 64, PROBE_MAX = 4096 };

/* Nothing but constants: what differs comes as words of its own. */
static const char probe_script[] = "umask 077; uname -s -m && mktemp -d " THERE_PREFIX "XXXXXXXXXX";
static const char upload_script[] = "cat > \"$1/drover-worker\" && chmod 700 \"$1/drover-worker\"";
static const char install_script[] = "d=$1; shift; s=; [ \"$(id -u)\" = 0 ] || s='sudo -n'; $s \"$d/drover-worker\" install \"$@\" 2>&1; code=$?; rm -rf -- \"$d\"; exit $code";
static const char clean_script[] = "rm -rf -- \"$1\"";

struct there {
  struct ssh ssh;
  char kind[KIND_MAX]; /* linux-x86_64 */
  char folder[PROBE_MAX];
};

/* ---- our side ---- */

/* "Linux x86_64" becomes "linux-x86_64". */
static void to_kind(char *s)
{
  for (; *s; s++)
    if (*s == ' ')
      *s = '-';
    else if (*s >= 'A' && *s <= 'Z')
      *s = (char)(*s - 'A' + 'a');
}

char *worker_kind_here(void)
{
  struct utsname u;
  char text[KIND_MAX];

  memset(&u, 0, sizeof u);
  uname(&u);
  snprintf(text, sizeof text, "%.20s %.40s", u.sysname, u.machine);
  to_kind(text);
  return xstrdup(text);
}

char *worker_program(const char *kind)
{
  char self[PATH_MAX], *slash, *path, *here;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  bool ours;

  self[n > 0 ? n : 0] = 0;
  slash = strrchr(self, '/');
  if (!slash)
    return NULL;
  *slash = 0;
  path = xasprintf("%s/../lib/drover/worker/%s", self, kind);
  if (!access(path, R_OK))
    return path;
  free(path);
  here = worker_kind_here();
  ours = !strcmp(here, kind);
  free(here);
  path = ours ? xasprintf("%s/drover-worker", self) : NULL;
  if (path && !access(path, R_OK))
    return path;
  free(path);
  return NULL;
}

/* All of the program's file; false: told. */
static bool read_program(struct cli *c, const char *kind, struct buf *out)
{
  char *path = worker_program(kind), part[16384];
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  ssize_t n = 0;

  if (!path)
    cli_error(c, c->code = CLI_USAGE, "there is no worker program for %s in this installation's lib/drover/worker: put one there, or copy it to the host by hand and call `drover-worker install` there", kind);
  else if (fd < 0)
    cli_error(c, c->code = CLI_EXCEPTION, "%s: %s", path, strerror(errno));
  while (fd >= 0 && (n = read(fd, part, sizeof part)) > 0)
    buf_add(out, part, (size_t)n);
  if (fd >= 0)
    close(fd);
  if (fd >= 0 && (n < 0 || out->failed))
    cli_error(c, c->code = CLI_EXCEPTION, "%s can't be read", path);
  free(path);
  return fd >= 0 && !n && !out->failed;
}

/* The first label of the host: "build1" of root@build1.example.org. NULL: told. */
static char *name_of(struct cli *c, const char *target)
{
  const char *at = strchr(target, '@'), *host = at ? at + 1 : target;
  size_t n = strcspn(host, ".:");

  if (host[n] != ':' && strspn(host, "0123456789.") < strlen(host) && str_is_name(host, n))
    return xstrndup(host, n);
  cli_error(c, c->code = CLI_USAGE, "give the worker a name: --name NAME");
  return NULL;
}

/* ---- over there ---- */

/* The probe's two lines: "Linux x86_64" and the folder. False: they are something else. */
static bool take_probe(struct there *t, const char *text)
{
  const char *lf = strchr(text, '\n'), *folder = lf ? lf + 1 : "";
  size_t n = strcspn(folder, "\n"), kind = lf ? (size_t)(lf - text) : 0;

  if (!kind || kind >= KIND_MAX || !str_starts(folder, THERE_PREFIX) || n >= sizeof t->folder)
    return false;
  snprintf(t->kind, sizeof t->kind, "%.*s", (int)kind, text);
  to_kind(t->kind);
  snprintf(t->folder, sizeof t->folder, "%.*s", (int)n, folder);
  return str_is_name(t->kind, strlen(t->kind)) && str_is_name(t->folder + strlen(THERE_PREFIX), strlen(t->folder) - strlen(THERE_PREFIX));
}

static int probe(struct cli *c, struct there *t)
{
  struct buf out;
  int code;

  buf_init(&out, PROBE_MAX);
  code = ssh_run(c, &t->ssh, probe_script, NULL, 0, NULL, 0, &out);
  if (code)
    code = cli_error(c, CLI_EXCEPTION, "%s could not be looked at by ssh (it ended with %d)", t->ssh.target, code);
  else if (!take_probe(t, buf_str(&out)))
    code = cli_error(c, CLI_EXCEPTION, "what `uname -s -m` and `mktemp -d` say on %s is not understood", t->ssh.target);
  buf_free(&out);
  return code;
}

static int upload(struct cli *c, struct there *t)
{
  const char *const words[] = { t->folder };
  struct buf program;
  int code = CLI_EXCEPTION;

  buf_init(&program, PROGRAM_MAX);
  if (!read_program(c, t->kind, &program)) {
    code = c->code;
  } else {
    code = ssh_run(c, &t->ssh, upload_script, words, 1, program.data, program.len, NULL);
    if (code)
      code = cli_error(c, CLI_EXCEPTION, "the program could not be copied to %s (ssh ended with %d)", t->ssh.target, code);
  }
  buf_free(&program);
  return code;
}

/* As an exit code of ours; what went wrong was said over there. */
static int told_there(struct cli *c, const struct there *t, int code)
{
  if (!code)
    return CLI_OK;
  if (code == SSH_FAILED)
    return cli_error(c, CLI_EXCEPTION, "ssh to %s broke off; call it again: what was done there does no harm", t->ssh.target);
  cli_error(c, 0, "`drover-worker install` on %s ended with %d", t->ssh.target, code);
  return code == 2 ? CLI_USAGE : CLI_EXCEPTION;
}

static int install(struct cli *c, struct there *t, const cJSON *body, const char *const *more, int nmore)
{
  const char *words[SSH_WORDS_MAX] = { t->folder };
  cJSON *answer = call_send(c, "POST", "/api/v1/workers", body);
  const char *token = answer ? js_text(answer, "token") : NULL;
  char *line;
  int code;

  if (!answer)
    return c->code;
  for (int i = 0; i < nmore; i++)
    words[i + 1] = more[i];
  line = xasprintf("%s\n", token);
  code = ssh_run(c, &t->ssh, install_script, words, nmore + 1, line, strlen(line), NULL);
  mem_wipe(line, strlen(line));
  free(line);
  cJSON_Delete(answer);
  return told_there(c, t, code);
}

int cmd_worker_install(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static struct there t;
  const char *given = args_value(a, FLAG_NAME), *words[1];
  char *name;
  cJSON *body;
  int code;

  t.ssh = (struct ssh){ args_value(a, FLAG_SSH) ? args_value(a, FLAG_SSH) : "ssh", arg[0] };
  if (!ssh_target_ok(arg[0]))
    return cli_error(c, CLI_USAGE, "\"%s\" is not [USER@]HOST", arg[0]);
  name = given ? xstrdup(given) : name_of(c, arg[0]);
  body = name ? worker_body(c, a, name) : NULL;
  free(name);
  if (!body)
    return c->code;
  code = probe(c, &t);
  if (!code) {
    code = upload(c, &t);
    if (!code)
      code = install(c, &t, body, arg + 1, narg - 1); /* takes the folder away itself, unless it never came to that */
    words[0] = t.folder;
    if (code)
      (void)ssh_run(c, &t.ssh, clean_script, words, 1, NULL, 0, NULL);
  }
  cJSON_Delete(body);
  return code;
}
