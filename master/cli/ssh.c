/* The operator's own ssh. It asks for passwords and host keys on the terminal itself; what we give it is an argv and a pipe on each side. */
#include "master/cli/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/safe.h"

enum { PART = 65536, TARGET_MAX = 255, NOT_FOUND = 127 };

static bool is_part(const char *s, size_t n, const char *more)
{
  static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

  for (size_t i = 0; i < n; i++)
    if (!strchr(common, s[i]) && !(i && strchr(more, s[i])))
      return false;
  return n > 0;
}

bool ssh_target_ok(const char *target)
{
  const char *at = strchr(target, '@'), *host = at ? at + 1 : target;

  return strlen(target) <= TARGET_MAX && (!at || is_part(target, (size_t)(at - target), "-")) && is_part(host, strlen(host), "-:");
}

/* 'word', for the shell over there. */
static void put_quoted(struct buf *out, const char *word)
{
  buf_addc(out, '\'');
  for (; *word; word++)
    if (*word == '\'')
      buf_adds(out, "'\\''");
    else
      buf_addc(out, *word);
  buf_addc(out, '\'');
}

static char *remote_line(const char *script, const char *const *words, int nwords)
{
  struct buf line;

  buf_init(&line, BUF_NO_MAX);
  buf_adds(&line, "sh -c ");
  put_quoted(&line, script);
  buf_adds(&line, " sh");
  for (int i = 0; i < nwords; i++) {
    buf_addc(&line, ' ');
    put_quoted(&line, words[i]);
  }
  return buf_take(&line);
}

/* Becomes ssh: pipes on 0 and 1, the terminal's 2. */
static void be_ssh(const struct ssh *s, char *line, int in, int out)
{
  char *argv[SSH_WORDS_MAX + 4], *words = xstrdup(s->command), *rest = NULL;
  int n = 0;

  for (char *w = strtok_r(words, " ", &rest); w && n < SSH_WORDS_MAX; w = strtok_r(NULL, " ", &rest))
    argv[n++] = w;
  argv[n++] = (char *)(uintptr_t)"--";
  argv[n++] = (char *)(uintptr_t)s->target;
  argv[n++] = line;
  argv[n] = NULL;
  dup2(in, 0);
  dup2(out, 1);
  signal(SIGPIPE, SIG_DFL);
  execvp(argv[0], argv);
  _exit(NOT_FOUND);
}

struct talk {
  struct cli *c;
  const char *in;
  size_t nin;
  int to, from; /* descriptors; -1: closed */
  struct buf *out;
  struct safe safe;
};

static void give(struct talk *t)
{
  ssize_t w = t->nin ? write(t->to, t->in, t->nin) : 0;

  if (w > 0) {
    t->in += w;
    t->nin -= (size_t)w;
  }
  if (!t->nin || (w < 0 && errno != EAGAIN && errno != EINTR)) {
    close(t->to);
    t->to = -1;
  }
}

static void show(struct talk *t, const char *p, size_t n)
{
  struct buf harmless;

  buf_init(&harmless, BUF_NO_MAX);
  safe_add(&t->safe, p, n, &harmless);
  out_bytes(t->c, harmless.data, harmless.len);
  out_flush(t->c);
  buf_free(&harmless);
}

static void take(struct talk *t)
{
  static char part[PART];
  ssize_t n = read(t->from, part, sizeof part);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    close(t->from);
    t->from = -1;
  } else if (t->out) {
    buf_add(t->out, part, (size_t)n);
  } else {
    show(t, part, (size_t)n);
  }
}

/* Until the other side has closed. */
static void talk(struct talk *t)
{
  safe_init(&t->safe, false);
  while (t->from >= 0) {
    struct pollfd p[2] = { { t->from, POLLIN, 0 }, { t->to, POLLOUT, 0 } };
    if (poll(p, 2, -1) < 0 && errno != EINTR)
      break;
    if (t->to >= 0 && p[1].revents)
      give(t);
    if (p[0].revents)
      take(t);
  }
  if (t->to >= 0)
    close(t->to);
}

int ssh_run(struct cli *c, const struct ssh *s, const char *script, const char *const *words, int nwords, const void *in, size_t nin, struct buf *out)
{
  struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
  char *line = remote_line(script, words, nwords);
  struct talk t = { .c = c, .in = in, .nin = nin, .out = out };
  int to[2], from[2], state = 0;
  pid_t pid;

  if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
    free(line);
    return cli_error(c, SSH_FAILED, "no pipe: %s", strerror(errno));
  }
  out_flush(c);
  pid = fork();
  if (!pid)
    be_ssh(s, line, to[0], from[1]);
  free(line);
  close(to[0]);
  close(from[1]);
  t.to = to[1];
  t.from = from[0];
  fcntl(t.to, F_SETFL, O_NONBLOCK);
  sigaction(SIGPIPE, &ignore, &old);
  if (pid > 0)
    talk(&t);
  sigaction(SIGPIPE, &old, NULL);
  while (pid > 0 && waitpid(pid, &state, 0) < 0 && errno == EINTR)
    ;
  if (pid < 0)
    return cli_error(c, SSH_FAILED, "can't start ssh: %s", strerror(errno));
  if (WIFEXITED(state) && WEXITSTATUS(state) == NOT_FOUND && !out)
    cli_error(c, 0, "\"%s\" could not be started, or `sh` is not there on %s", s->command, s->target);
  return WIFEXITED(state) ? WEXITSTATUS(state) : SSH_FAILED;
}
