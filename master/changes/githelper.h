/* Remote operations of the master on repositories, in helper processes: one process a request at a time, killed at its deadline, at most N at once. The master itself never speaks to a git server, nor
   to one of Subversion or Mercurial, for which the helper runs the programs svn and hg.

   The helper program (drover-git-helper, beside drover-master; `drover-master --git-helper` runs it) reads a request as records on stdin, answers records on stdout, and so on until stdin ends; what needs a key or a token has a process of its own. It keeps a bare mirror
   of each repository, which is a cache: it may be deleted at any time.
   Failures: no such repository, refused, silent server (deadline), a mirror that is broken (made anew once), output over the limit. Each with a sentence for people. */
#ifndef MASTER_CHANGES_GITHELPER_H
#define MASTER_CHANGES_GITHELPER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err.h"
#include "common/mem.h"
#include "master/conf/vcs.h"

#define GITH_DEADLINE_MS 60000   /* without a sign of life: an answer, or progress of a fetch */
#define GITH_TOTAL_FACTOR 10     /* deadlines in total, however lively */
#define GITH_OUTPUT_MAX (16u << 20)
#define GITH_COMMITS_MAX 200      /* new commits of one branch told one by one; older ones of a larger push are left out and counted */
#define GITH_FILES_MAX 2000       /* changed files listed for one commit */
#define GITH_FILE_BYTES_MAX (1u << 20)
#define GITH_HEADS_MAX 20000      /* branches of one repository; tags */
#define GITH_TAGS_MAX 200         /* new or moved tags told in one look; the others are told in the next ones */

struct gith_head {
  char *branch, *revision;    /* revision: 40 hex digits; of Subversion a number: the last one that changed something in the branch */
};
struct gith_commit {          /* oldest first within a branch */
  char *branch, *revision, *previous; /* previous: first parent, "" for a root */
  char *author, *committer, *message; /* "Name <mail>"; valid UTF-8, at most 64 KiB */
  int64_t author_ms;          /* since 1970 */
  char **files;               /* paths, valid UTF-8 */
  int nfiles;
  bool files_cut;
  char *tag;                  /* poll: the commit is that of this tag, which is new or was moved; branch is "" then; NULL: of a branch */
};
struct gith_result {
  enum err err;               /* ERR_OK; ERR_TIMEOUT, ERR_AWAY: try later, as ERR_NOSPACE; ERR_NOTFOUND, ERR_DENIED, ERR_BADARG, ERR_FAILED, ERR_TOOBIG (a limit above) */
  char *why;                  /* sentence where err is not ERR_OK */
  struct gith_head *heads;    /* poll: all branches that match */
  int nheads;
  struct gith_head *tags;     /* poll: the tags, where they were asked for, in the order of their names (strcmp): name as `branch`, and the commit; one that is left for the next look is as it was known, or missing */
  int ntags;
  bool tags_more, tags_over;  /* some are left for the next look; there are more than GITH_HEADS_MAX, so none are told */
  struct gith_commit *commits;/* poll: of branches whose head moved; read: the commit itself */
  int ncommits;
  int left_out;               /* commits over the limit */
  int ignored;                /* branches of the remote whose names are not taken (gith_is_branch) */
  char *revision;             /* read: full 40 digits of what was read */
  bool found;                 /* read: the file is there */
  char *text;                 /* read: its bytes */
  size_t text_len;
};
typedef void gith_cb(const struct gith_result *r, void *arg); /* r is valid during the call */

struct gith;
/* program: path of the helper; mirrors: folder for the bare mirrors (made where missing); max: helpers at once, the rest wait in order, but polls and reads of one mirror never run at once. */
const char *gith_program(const struct gith *g);
struct gith *gith_new(uv_loop_t *loop, const char *program, const char *mirrors, int max) must_check;
void gith_set_max(struct gith *g, int max); /* those that run go on */
void gith_set_deadline(struct gith *g, int64_t ms); /* tests */
/* Kills what runs. Whoever still waits is answered ERR_AWAY: what waits in line within this call, what runs from the loop. Nothing may be asked any more.
   done from the loop, after the last answer; then g is freed. */
void gith_close(struct gith *g, void (*done)(void *arg), void *arg);

/* Nothing more about that mirror: who waits or runs is answered ERR_AWAY from the loop, with why. */
void gith_kill(struct gith *g, const char *name, const char *why);

/* By what a remote is read; NULL or empty: by its URL alone. Copied, told to the helper through its pipe and nowhere else, wiped. */
struct gith_login {
  const char *key;            /* private key of ssh, its text */
  const char *token, *user;   /* user NULL: whom the URL names, else any */
  bool bearer;
  const char *const *host_keys; /* fingerprints "SHA256:…"; where the server's is none of them, ERR_DENIED with what to write */
  int nhost_keys;
};

struct gith_poll {
  const char *name;           /* of the mirror (gith_is_mirror) */
  const char *url;
  enum vcs vcs;
  bool allow_local;           /* file: and plain paths */
  const struct gith_login *login;
  const char *const *branches;/* globs, none: all */
  int nbranches;
  const struct gith_head *known; /* what is known of each branch; a head that is not in it is new: its commits that no known head reaches are told; with no known head at all: only its tip */
  int nknown;
  enum gith_tags { GITH_TAGS_NO, GITH_TAGS_LIST, GITH_TAGS_TELL } tags; /* just which there are; or also the commits of those that are not as known */
  const struct gith_head *known_tags;
  int nknown_tags;
};
/* Lists the remote's branches; fetches only when a head moved. A local repository is read where it lies, without a mirror. A force push tells the commits that the old head did not reach; a deleted branch is just not in heads. */
void gith_poll(struct gith *g, const struct gith_poll *q, gith_cb *cb, void *arg);
/* Fetches branch ("" : all; then revision must be given) unless the mirror has revision ("" : the branch's tip), then reads path at it and tells the commit. With a revision branch may
   also be a ref of another kind (gith_is_ref); where the remote has none of that name, all branches are fetched. */
void gith_read(struct gith *g, enum vcs vcs, const char *name, const char *url, bool allow_local, const struct gith_login *login, const char *branch, const char *revision, const char *path, gith_cb *cb, void *arg);

/* Names and addresses that may go to git (faults.md S17 of the design's papers): no option, no "..", no "@{", no control byte … */
bool gith_is_branch(const char *s);
bool gith_is_ref(const char *s);           /* refs/tags/NAME, refs/pull/N/head, refs/merge-requests/N/head, refs/pull-requests/N/from */
bool gith_is_mirror(const char *s);        /* PROJECT or PROJECT@CODEBASE: the name of a mirror's folder */
bool gith_is_revision(const char *s);      /* 7 to 64 hex digits */
bool gith_is_url(const char *s, bool allow_local); /* https http git ssh with "://", user@host:path; local: file:///x, /x */
/* The same of repositories of any kind. Of Subversion a revision is a number, and names of branches are paths below the URL. */
bool gith_is_url_of(enum vcs vcs, const char *s, bool allow_local);
bool gith_is_revision_of(enum vcs vcs, const char *s);
bool gith_is_full(enum vcs vcs, const char *s);    /* just one is meant: 40 hex digits, or a number */
const char *gith_revision_rule(enum vcs vcs);      /* what one looks like, for people */
#endif
