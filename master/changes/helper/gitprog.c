/* What libgit2 can't do on the way to a server, by the program git: RSA keys, which its libssh2 (1.10) signs with SHA-1 only, and OpenSSH has not taken that since 8.8. The list and the objects come by git,
   into the same mirror; all else is libgit2's, as ever.
   Failures: git and ssh have no codes, so their words say which. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"

enum { LIST_BYTES_MAX = 64 << 20, ARGS_MAX = 24 };

static const struct help_words known_words[] = {
  { "does not appear to be a git repository", ERR_NOTFOUND, "no such repository" },
  { "not found", ERR_NOTFOUND, "no such repository" },
  { "No space left", ERR_NOSPACE, NULL },
  { "Disk quota", ERR_NOSPACE, NULL },
  { "Could not read from remote repository", ERR_AWAY, NULL },
  { "early EOF", ERR_AWAY, NULL },
  { "hung up unexpectedly", ERR_AWAY, NULL },
};

static enum err said(struct help *h, const char *what, struct buf *errors)
{
  const char *text = buf_str(errors);
  const struct help_words *w = help_words_in(text, known_words, COUNT(known_words));
  enum err e;

  return help_ssh_said(h, what, text, &e) ? e : help_words_fail(h, what, w, help_said(errors));
}

/* Nothing of the host's settings, and windows that fit this process's memory. */
#define ALONE "git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "fetch.unpackLimit=1", "-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m", "-c", "pack.threads=1"

static enum err run(struct help *h, const char *what, const char *const *argv, help_sink *sink, void *arg)
{
  struct buf errors;
  int code;
  enum err e;

  buf_init(&errors, HELP_ERRORS_MAX);
  e = help_run(h, argv, sink, arg, &errors, &code);
  if (!e && code)
    e = said(h, what, &errors);
  buf_free(&errors);
  return e;
}

/* "HEX\tREF" */
static enum err take_line(struct help *h, const char *line, size_t n)
{
  char *ref;
  git_oid oid;
  enum err e;

  if (n <= GIT_OID_HEXSZ + 1 || line[GIT_OID_HEXSZ] != '\t' || git_oid_fromstrn(&oid, line, GIT_OID_HEXSZ))
    return n > GIT_OID_HEXSZ && line[GIT_OID_HEXSZ] != '\t' ? help_fail(h, ERR_FAILED, "can't read from the repository: it is a SHA-256 repository; only SHA-1 repositories can be read") : ERR_OK;
  ref = xstrndup(line + GIT_OID_HEXSZ + 1, n - GIT_OID_HEXSZ - 1);
  e = help_add_ref(h, ref, &oid);
  free(ref);
  return e;
}

enum err help_git_list(struct help *h)
{
  const char *argv[ARGS_MAX] = { ALONE, "ls-remote", "--", h->url, "refs/heads/*" };
  struct buf list;
  int n = 0;
  enum err e;

  while (argv[n])
    n++;
  if (h->with_tags)
    argv[n++] = "refs/tags/*";
  if (help_is_ref(h))
    argv[n++] = h->branch;
  buf_init(&list, LIST_BYTES_MAX);
  e = run(h, "can't read from the repository", argv, help_sink_buf, &list);
  if (e == ERR_TOOBIG)
    e = help_fail(h, e, "the list of branches is larger than %d bytes", LIST_BYTES_MAX);
  for (const char *p = buf_str(&list); !e && *p; p += strcspn(p, "\n"), p += *p == '\n')
    e = take_line(h, p, strcspn(p, "\n"));
  buf_free(&list);
  return e;
}

enum err help_git_fetch(struct help *h, const git_strarray *specs)
{
  char *folder = help_mirror_path(h), *place = xasprintf("--git-dir=%s", folder);
  const char *const argv[] = { ALONE, place, "fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--force", "--progress", "--stdin", "--", h->url, NULL };
  struct buf in;
  enum err e;

  buf_init(&in, BUF_NO_MAX);
  for (size_t i = 0; i < specs->count; i++)
    buf_addf(&in, "%s\n", specs->strings[i]);
  h->program.in = memfd_create("refspecs", MFD_CLOEXEC); /* there may be more than a command line takes */
  if (h->program.in < 0 || write(h->program.in, in.data, in.len) != (ssize_t)in.len)
    e = help_fail(h, ERR_NOSPACE, "no memory for a list of branches");
  else
    e = run(h, "can't fetch from the repository", argv, help_sink_none, NULL);
  if (h->program.in >= 0)
    close(h->program.in);
  h->program.in = -1;
  buf_free(&in);
  free(place);
  free(folder);
  return e;
}
