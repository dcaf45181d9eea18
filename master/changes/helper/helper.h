/* Inside drover-git-helper: a request, the repository it is about, and the answer as it grows.
   Git's are read by libgit2 (mirror.c, remote.c, commits.c, tags.c, read.c; gitprog.c for what it can't), others by their programs (svn.c, hg.c). What they share is a revision in the 20 bytes of a git_oid: of git and Mercurial its
   hash, of Subversion its number (rev.c). */
#ifndef MASTER_CHANGES_HELPER_HELPER_H
#define MASTER_CHANGES_HELPER_HELPER_H
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "master/conf/vcs.h"
#include "master/steps/login.h"

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

struct help_kind;

/* What the programs that are run are given (program.c). */
#define HELP_ENV_MAX 8
struct help_program {
  struct step_login login;
  int fd;             /* of the secret file, -1: none */
  char *path;         /* by which programs open it */
  char *env[HELP_ENV_MAX + 1];
  int nenv;
  const char *options[LOGIN_OPTIONS_MAX];
  char *held;
  int noptions;
  int in;             /* standard input, read from its beginning; -1: nothing */
};

struct help {
  const struct help_kind *kind; /* NULL: git */
  /* the request */
  enum vcs vcs;
  bool poll, allow_local;
  const char *mirrors, *name, *url, *branch, *revision, *path;
  int64_t deadline_ms;
  const char *key, *token, *user; /* NULL: none; user "": whom the URL names, or any */
  bool bearer;
  const char **host_keys;
  size_t nhost_keys;
  struct help_program program;
  bool led;           /* svn: where the URL leads was looked at */
  bool by_git;        /* the program git asks the server, and not libgit2 */
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

  struct help_svn {   /* the repository, as it was when the look began */
    int64_t head;     /* its newest revision */
    char *prefix;     /* the path of the URL's folder in it: "" or "/a/b" */
    bool branches, tags; /* there are such folders */
  } svn;

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

/* helper/mirror.c. Opens the mirror (made where missing) under its lock, or the local repository. help_folder: a folder <mirrors>/<name>.<kind> of a repository of another kind, under the lock. */
char *help_mirror_path(const struct help *h) must_check;
enum err help_folder(struct help *h) must_check;
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

enum err help_add_ref(struct help *h, const char *ref, const git_oid *oid) must_check; /* one of the remote's, into the lists */

/* helper/gitprog.c. As help_list and help_fetch, by the program git. */
enum err help_git_list(struct help *h) must_check;
enum err help_git_fetch(struct help *h, const git_strarray *specs) must_check;

/* helper/program.c. Once a request, before any program is run; and behind it. */
enum err help_program(struct help *h) must_check;
void help_program_end(struct help *h);
/* What others' words mean here: of a table the first row whose words are in the text, or NULL. sentence: for people; NULL: their own words; HELP_ASKED: what help_asked says. */
#define HELP_ASKED ""
struct help_words {
  const char *words;
  enum err err;
  const char *sentence;
};
const struct help_words *help_words_in(const char *text, const struct help_words *known, size_t n);
/* "what: sentence" with the row's code, which is returned; w NULL: their own words, ERR_FAILED. */
enum err help_words_fail(struct help *h, const char *what, const struct help_words *w, const char *own) must_check;
/* What is said where a server wants credentials, or others. */
const char *help_asked(const struct help *h);
/* A server whose key is not pinned; returns the code. */
enum err help_host_key(struct help *h, const char *host, const char *mark) must_check;
/* Whether that is what ssh says of why it did not come through; then *e is the code, with a sentence. */
bool help_ssh_said(struct help *h, const char *what, const char *text, enum err *e) must_check;

/* helper/commits.c. */
enum err help_tell_new(struct help *h) must_check;                              /* of all heads that moved */
enum err help_tell_commit(struct help *h, const char *branch, git_commit *c) must_check;

/* helper/tags.c. Tags as they are listed; which of them are told now, once all are; and telling them, when their objects are here. */
void help_add_tag(struct help *h, const char *name, const git_oid *oid);
bool help_pick_tags(struct help *h); /* true: there are some to be told */
enum err help_tell_tags(struct help *h) must_check;

/* helper/read.c. */
enum err help_read(struct help *h) must_check;

/* helper/rev.c. Text of a revision: at least HELP_REV_MAX bytes; false: it is none. */
#define HELP_REV_MAX (GIT_OID_HEXSZ + 1)
const char *help_rev(const struct help *h, const git_oid *oid, char out[HELP_REV_MAX]);
bool help_rev_read(const struct help *h, const char *text, git_oid *out);
void help_rev_of_number(int64_t n, git_oid *out);
int64_t help_rev_number(const git_oid *oid);

/* helper/tell.c. A commit of a repository that is not git's, into the answer. Texts may be any bytes. */
struct help_commit {
  const char *revision, *previous, *author, *message;
  int64_t time_ms;
  const char *const *files;
  size_t nfiles;
  bool files_cut;
};
void help_tell(struct help *h, const char *branch, const struct help_commit *c);
void help_put_text(struct buf *out, const char *key, const char *s, size_t n, bool line); /* as UTF-8, whatever it is */

/* helper/run.c. Runs a program of a repository's kind: argv[0] is looked up in PATH, stdin is program.in or empty, its stdout goes to the sink as it comes, until that says no (then it is killed), its stderr into
   errors (4 KiB). It dies with this process. *code: its exit status. ERR_NOTFOUND with a sentence: there is no such program. */
typedef enum err help_sink(void *arg, const char *p, size_t n);
#define HELP_ERRORS_MAX 4096
enum err help_run(struct help *h, const char *const *argv, help_sink *sink, void *arg, struct buf *errors, int *code) must_check;
enum err help_sink_buf(void *arg, const char *p, size_t n); /* arg: a struct buf; ERR_TOOBIG where that is full */
enum err help_sink_none(void *arg, const char *p, size_t n);
/* The first lines of what it said, as one; for sentences. */
const char *help_said(struct buf *errors);

/* helper/svn.c, helper/hg.c. The lists of heads and tags; the commits of a head that moved; one commit, for a tag; a file. */
struct help_kind {
  enum err (*list)(struct help *h);
  enum err (*tell_branch)(struct help *h, const struct help_head *head);
  enum err (*tell_one)(struct help *h, const char *tag, const git_oid *oid);
  enum err (*read)(struct help *h);
};
extern const struct help_kind help_svn, help_hg;
void help_add_branch(struct help *h, const char *name, const git_oid *oid); /* remote.c: where its name is taken; else it is counted */
enum err help_over(struct help *h); /* ERR_TOOBIG where there are too many branches */
enum err help_sort(struct help *h); /* both lists, by name, once they are whole */
void help_alive(struct help *h);    /* a sign of life to the master, at most one a second */
#endif
