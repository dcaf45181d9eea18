/* Inside drover-git-helper: a request, the repository it is about, and the answer as it grows. */
#ifndef MASTER_CHANGES_HELPER_HELPER_H
#define MASTER_CHANGES_HELPER_HELPER_H
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"

#define HELP_REF_PREFIX "refs/drover/heads/" /* where a mirror keeps the remote's branches */
#define HELP_PACKS_MAX 1000                  /* one a fetch; a mirror with more is made anew, small and in one piece */

/* Growing answer: from the first mark on commits tell no files, from the second only the first KiB of their message, from the third they are left out and counted. */
#define HELP_OUT_NO_FILES (4u << 20)
#define HELP_OUT_SHORT (8u << 20)
#define HELP_OUT_FULL (12u << 20)
#define HELP_SHORT_MESSAGE 1024u

struct help_head {
  char *branch;
  git_oid oid;
  bool wanted; /* matches the globs */
};

struct help {
  /* the request */
  bool poll, allow_local;
  const char *mirrors, *name, *url, *branch, *revision, *path;
  int64_t deadline_ms;
  const char *key, *token, *user; /* NULL: none; user "": whom the URL names, or any */
  bool bearer;
  const char **host_keys;
  size_t nhost_keys;
  const char **globs;
  size_t nglobs;
  struct help_head *known;
  size_t nknown;
  bool with_tags, tell_tags;    /* list them; tell the commits of those that are new or were moved */
  struct help_head *known_tags; /* name as `branch` */
  size_t nknown_tags;

  /* the repository: a mirror and its remote, or a local one as it lies there */
  git_repository *repo;
  git_remote *remote; /* NULL: local */
  int lock_fd;        /* of the mirror; -1: not locked */
  bool fresh;         /* mirror made by this process */
  bool broken;        /* the failure lies in the mirror, not in the remote */
  struct help_head *heads;
  size_t nheads;
  struct help_head *tags; /* name as `branch`, oid of the commit as the remote says it; wanted: to be told now */
  size_t ntags;
  bool tags_over;
  int ignored;        /* branches with names that are not taken */
  git_oid ref;        /* read: where the ref is that `branch` names, where it names one and the remote has it */
  bool has_ref;

  int64_t told_ms;    /* the last sign of progress, and how far it was */
  size_t told_bytes;
  unsigned told_objects;
  int shown;          /* how often the server was shown key or token in this connection */

  struct buf out;
  int left_out;
  char *why;
};

/* helper/fail.c. Both keep the first sentence only and return the code. help_git_fail makes code and sentence from what libgit2 says. */
enum err help_fail(struct help *h, enum err e, const char *fmt, ...) printf_like(3, 4);
enum err help_git_fail(struct help *h, int rc, const char *what);
/* As help_git_fail, for what can only fail where the repository on this machine is damaged: marks a mirror as broken. */
enum err help_repo_fail(struct help *h, int rc, const char *what);

/* githelper_main.c: end this process a little after the master would have killed it. */
void help_set_alarm(const struct help *h);

/* helper/mirror.c. Opens the mirror (made where missing) under its lock, or the local repository. */
enum err help_open(struct help *h) must_check;
void help_close(struct help *h);
void help_unlock(struct help *h);
enum err help_mirror_remove(struct help *h) must_check;

/* helper/remote.c. Fills heads; then brings the objects of the heads that are asked for and not here. `want`: a branch's name, or the ref where has_ref; NULL: those that are wanted. */
enum err help_list(struct help *h) must_check;
enum err help_fetch(struct help *h, const char *want) must_check;
bool help_is_ref(const struct help *h); /* a read whose `branch` is a ref of another kind */
const struct help_head *help_find(const struct help_head *heads, size_t n, const char *branch);

/* helper/login.c. Into options for the remote: who we are, whom we speak to, and which redirections are followed. Lives as long as they are used. */
struct help_login {
  char *header, *headers[1];
};
void help_login(struct help *h, struct help_login *l, git_remote_callbacks *callbacks, git_strarray *headers, git_remote_redirect_t *redirects);
void help_login_free(struct help_login *l);

/* helper/commits.c. */
enum err help_tell_new(struct help *h) must_check;                              /* of all heads that moved */
enum err help_tell_commit(struct help *h, const char *branch, git_commit *c) must_check;

/* helper/tags.c. Tags as they are listed; which of them are told now, once all are; and telling them, when their objects are here. */
void help_add_tag(struct help *h, const char *name, const git_oid *oid);
bool help_pick_tags(struct help *h); /* true: there are some to be told */
enum err help_tell_tags(struct help *h) must_check;

/* helper/read.c. */
enum err help_read(struct help *h) must_check;
#endif
