/* Where a master does not answer: is there a socket, may we, does the service run, would it start with its configuration? */
#include "master/cli/look.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/cli.h"

#define LOOK_CONFIG "/etc/drover/master.yaml"
enum { LOOK_TEXT_MAX = 4096, LOOK_MS = 10000, LOOK_GROUPS = 128 };

cJSON *look_check(const char *name, const char *level, const char *text, const char *todo)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddStringToObject(o, "name", name);
  cJSON_AddStringToObject(o, "level", level);
  cJSON_AddStringToObject(o, "text", text ? text : "");
  if (todo)
    cJSON_AddStringToObject(o, "todo", todo);
  else
    cJSON_AddNullToObject(o, "todo");
  return o;
}

/* ---- other programs ---- */

static void be(char *const *argv, int to)
{
  int null = open("/dev/null", O_RDWR);

  dup2(null, 0);
  dup2(to, 1);
  dup2(to, 2);
  execvp(argv[0], argv);
  _exit(127);
}

/* Runs it for at most LOOK_MS; its output, cut; the exit code, -1 where it had none. */
static int ask(char *const *argv, struct buf *text)
{
  int64_t until = clock_mono_ms() + LOOK_MS;
  int fds[2], status = 0;
  bool over = false;
  pid_t pid;

  if (pipe2(fds, O_CLOEXEC))
    return -1;
  pid = fork();
  if (!pid)
    be(argv, fds[1]);
  close(fds[1]);
  while (pid > 0 && !over) {
    struct pollfd p = { .fd = fds[0], .events = POLLIN };
    char part[512];
    ssize_t n;

    if (clock_mono_ms() > until)
      kill(pid, SIGKILL);
    if (poll(&p, 1, 100) <= 0)
      continue;
    n = read(fds[0], part, sizeof part);
    over = n <= 0;
    if (n > 0 && text->len + (size_t)n < LOOK_TEXT_MAX)
      buf_add(text, part, (size_t)n);
  }
  close(fds[0]);
  if (pid < 0 || waitpid(pid, &status, 0) != pid)
    return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* drover-master as it lies beside us, or where packages put it. NULL: not on this host. */
static char *find_master(void)
{
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  char *path;

  if (n > 0) {
    self[n] = 0;
    path = xasprintf("%s/drover-master", dirname(self));
    if (!access(path, X_OK))
      return path;
    free(path);
  }
  return access("/usr/sbin/drover-master", X_OK) ? NULL : xstrdup("/usr/sbin/drover-master");
}

/* ---- the checks ---- */

static bool in_group(gid_t gid)
{
  gid_t groups[LOOK_GROUPS];
  int n = getgroups(LOOK_GROUPS, groups);

  for (int i = 0; i < n; i++)
    if (groups[i] == gid)
      return true;
  return getegid() == gid;
}

static cJSON *look_socket(const struct cli *c, const char *why)
{
  struct stat st;
  struct passwd *owner;
  struct group *group;
  char *text, *todo;
  cJSON *check;

  if (stat(c->socket, &st)) {
    text = xasprintf("%s: %s", c->socket, strerror(errno));
    todo = xstrdup(errno == EACCES ? "you may not look into that folder: ask root" : "no master listens there: start it, or name its socket with --socket or DROVER_SOCKET");
  } else {
    owner = getpwuid(st.st_uid);
    group = getgrgid(st.st_gid);
    text = xasprintf("%s belongs to %s, group %s, mode %04o: %s", c->socket, owner ? owner->pw_name : "?", group ? group->gr_name : "?", (unsigned)st.st_mode & 07777, why);
    if (geteuid() && geteuid() != st.st_uid && !(in_group(st.st_gid) && (st.st_mode & 020)) && !(st.st_mode & 02))
      todo = xasprintf("you may not use it: adduser YOU %s, then log in again", group && st.st_mode & 020 ? group->gr_name : "drover");
    else
      todo = xstrdup("it is there, but nobody answers: the master has ended, or hangs");
  }
  check = look_check("socket", "fail", text, todo);
  free(text);
  free(todo);
  return check;
}

static cJSON *look_service(void)
{
  char *argv[] = { "systemctl", "is-active", "drover-master.service", NULL };
  struct buf text;
  cJSON *check;
  int code;

  if (access("/run/systemd/system", F_OK))
    return look_check("service", "unknown", "no systemd runs here", NULL);
  buf_init(&text, BUF_NO_MAX);
  code = ask(argv, &text);
  while (text.len && text.data[text.len - 1] == '\n')
    text.data[--text.len] = 0;
  if (code < 0 || code == 127)
    check = look_check("service", "unknown", "systemctl could not be asked", NULL);
  else
    check = look_check("service", code ? "fail" : "ok", buf_str(&text), code ? "journalctl -u drover-master -n 50; systemctl start drover-master" : NULL);
  buf_free(&text);
  return check;
}

static cJSON *look_config(void)
{
  char *master = find_master();
  char *argv[] = { master, "--check", "--config", LOOK_CONFIG, NULL };
  struct buf text;
  cJSON *check;
  int code;

  if (!master)
    return look_check("configuration", "unknown", "drover-master is not installed on this host", NULL);
  if (access(LOOK_CONFIG, R_OK)) {
    char *why = xasprintf(LOOK_CONFIG ": %s", strerror(errno));
    check = look_check("configuration", "unknown", why, errno == EACCES ? "as root: drover doctor" : NULL);
    free(why);
  } else {
    buf_init(&text, BUF_NO_MAX);
    code = ask(argv, &text);
    check = code ? look_check("configuration", "fail", *buf_str(&text) ? buf_str(&text) : "drover-master --check could not be run", "drover-master --check --config " LOOK_CONFIG)
                 : look_check("configuration", "ok", LOOK_CONFIG, NULL);
    buf_free(&text);
  }
  free(master);
  return check;
}

cJSON *look_around(const struct cli *c, const char *why)
{
  cJSON *checks = cJSON_CreateArray();

  cJSON_AddItemToArray(checks, look_socket(c, why));
  cJSON_AddItemToArray(checks, look_service());
  cJSON_AddItemToArray(checks, look_config());
  return checks;
}
