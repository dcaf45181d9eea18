/* What the programs that the helper runs are given to reach a private repository (steps/login.c says what each reads). Secret bytes are in files that are nowhere: in memory, of this process, and gone with
   it, whatever ends it; programs open them by this process's descriptors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "master/changes/helper/helper.h"
#include "master/conf/vcs_ssh.h"
#include "master/steps/login.h"

static enum err put(struct help *h, const char *text)
{
  size_t n = strlen(text);
  int fd = memfd_create("secret", MFD_CLOEXEC);

  if (fd < 0 || fchmod(fd, 0600) || write(fd, text, n) != (ssize_t)n) {
    int e = errno;
    if (fd >= 0)
      close(fd);
    return help_fail(h, ERR_NOSPACE, "no memory for a credential: %s", strerror(e));
  }
  h->program.fd = fd;
  h->program.path = xasprintf("/proc/%d/fd/%d", (int)getpid(), fd);
  return ERR_OK;
}

static void add_env(struct help_program *p, char *assignment)
{
  p->env[p->nenv++] = assignment;
}

static void join_pins(struct help *h)
{
  struct buf pins;

  buf_init(&pins, BUF_NO_MAX);
  for (size_t i = 0; i < h->nhost_keys; i++)
    buf_addf(&pins, "%s%s", i ? " " : "", h->host_keys[i]);
  add_env(&h->program, xasprintf(VCS_SSH_HOSTS "=%s", buf_str(&pins)));
  buf_free(&pins);
}

enum err help_program(struct help *h)
{
  struct help_program *p = &h->program;
  char *made;
  enum err e;

  p->fd = -1;
  if (!h->key && !h->token)
    return ERR_OK;
  p->login.kind = h->key ? VCS_LOGIN_KEY : h->bearer ? VCS_LOGIN_BEARER : VCS_LOGIN_PASSWORD;
  p->login.user = h->user && *h->user ? h->user : NULL;
  made = login_made(&p->login, h->vcs, h->url, h->key ? h->key : h->token);
  e = put(h, made);
  mem_wipe(made, strlen(made));
  free(made);
  if (e)
    return e;
  if (h->key) {
    add_env(p, xasprintf(VCS_SSH_KEY "=%s", p->path));
    join_pins(h);
    add_env(p, xasprintf("GIT_SSH_COMMAND=%s", vcs_ssh_command));
    add_env(p, xstrdup("GIT_SSH_VARIANT=ssh"));
  } else if (h->vcs == VCS_HG) {
    add_env(p, xasprintf("HGRCPATH=%s", p->path));
  } else if (vcs_is_svn(h->vcs)) {
    p->in = p->fd;
  }
  p->noptions = login_options(&p->login, h->vcs, h->url, p->options, &p->held);
  return ERR_OK;
}

void help_program_end(struct help *h)
{
  struct help_program *p = &h->program;

  for (int i = 0; i < p->nenv; i++)
    free(p->env[i]);
  free(p->path);
  free(p->held);
  if (p->fd >= 0)
    close(p->fd);
}

/* ---- what is said when it is not taken ---- */

const char *help_asked(const struct help *h)
{
  if (h->key)
    return "the server does not take the project's key";
  return h->token ? "the server does not take the project's user or password" : "the server asks for credentials, and none are set for this address";
}

enum err help_host_key(struct help *h, const char *host, const char *mark)
{
  if (h->nhost_keys)
    return help_fail(h, ERR_DENIED, "the host key of %s is %s, which is none of the project's host_keys: it was changed, or somebody else answers", host, mark);
  return help_fail(h, ERR_DENIED, "the host key of %s is not known; if it is %s (ssh-keygen -lf there), write to the project: host_keys: [\"%s\"]", host, mark, mark);
}

/* "the host key of [HOST]:PORT is MARK, which is none of host_keys" */
static bool host_key_said(struct help *h, const char *text)
{
  static const char begin[] = "the host key of ";
  const char *host = strstr(text, begin), *is = host ? strstr(host, " is SHA256:") : NULL;
  char *name, *mark;
  size_t n;

  if (!is)
    return false;
  host += sizeof begin - 1;
  n = (size_t)(is - host);
  if (*host == '[' && memchr(host, ']', n)) {
    host++;
    n = strcspn(host, "]");
  }
  name = xstrndup(host, n);
  is += strlen(" is ");
  mark = xstrndup(is, strcspn(is, ", \r\n"));
  (void)!help_host_key(h, name, mark);
  free(name);
  free(mark);
  return true;
}

bool help_ssh_said(struct help *h, const char *what, const char *text, enum err *e)
{
  static const struct help_words known[] = {
    { "Bad configuration option", ERR_FAILED, "the program ssh of this host is too old: version 8.5 is the first that will do" },
    { "ssh: command not found", ERR_NOTFOUND, "there is no program ssh on this host: install the package openssh-client" },
    { "ssh: not found", ERR_NOTFOUND, "there is no program ssh on this host: install the package openssh-client" },
    { "Permission denied (", ERR_DENIED, HELP_ASKED },
    { "Too many authentication failures", ERR_DENIED, HELP_ASKED },
    { "Host key verification failed", ERR_DENIED, "the server has no host key of a kind that is pinned" },
    { "no matching host key type", ERR_DENIED, "the server has no host key of a kind that is taken" },
    { "Could not resolve hostname", ERR_AWAY, "its server's name is not known" },
    { "ssh: connect to host", ERR_AWAY, "its server can't be reached" },
    { "kex_exchange_identification", ERR_AWAY, "its server ends the connection at once" },
    { "Connection closed by", ERR_AWAY, "its server ends the connection" },
    { "Connection reset by", ERR_AWAY, "its server ends the connection" },
    { "Connection timed out", ERR_AWAY, "its server can't be reached" },
  };
  const struct help_words *w;

  if (!h->key)
    return false;
  *e = ERR_DENIED;
  if (host_key_said(h, text))
    return true;
  w = help_words_in(text, known, COUNT(known));
  if (w)
    *e = help_words_fail(h, what, w, "");
  return w != NULL;
}
