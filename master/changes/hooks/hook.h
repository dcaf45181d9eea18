/* What forges say when something happens in a repository: head lines and bytes in, events out. No I/O, nothing kept.

   Happy path: hook_find (the dialect that the site's configuration names), hook_signed (does the delivery carry what it takes?), hook_verify (the secret and all bytes of the
   body), hook_read. Only what was verified may be read: a body may take ten times its size while it is taken apart.
   Failures: no signature, a weak or a wrong one (one answer for all); not JSON, or another shape than the event has (ERR_SYNTAX); an event of no interest is no failure but an
   event of kind HOOK_IGNORED that says why. Names and revisions in events have passed gith_is_branch and hook_is_revision; all other texts are valid UTF-8 and cut to a limit. */
#ifndef MASTER_CHANGES_HOOKS_HOOK_H
#define MASTER_CHANGES_HOOKS_HOOK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "master/conf/secret.h"

#define HOOK_BODY_MAX (25u << 20)     /* bytes; GitHub sends no larger ones */
#define HOOK_DEPTH_MAX 64             /* of maps and lists in the JSON */
#define HOOK_EVENTS_MAX 100           /* of one delivery: branches and tags that were pushed together */
#define HOOK_COMMITS_MAX 200          /* of one push; the newest, older ones are counted */
#define HOOK_FILES_MAX 2000           /* of one commit */
#define HOOK_NAME_MAX 512             /* bytes of an author, an address, a title */
#define HOOK_PATH_MAX 4096            /* bytes of a file's name; a longer one is left out */
#define HOOK_TEXT_MAX (64u << 10)     /* bytes of a message, a comment */
#define HOOK_EVENT_MAX 64             /* bytes of an event's name */
#define HOOK_DELIVERY_MAX 128         /* bytes of a delivery's id */

enum hook_kind { HOOK_IGNORED, HOOK_PUSH, HOOK_TAG, HOOK_PULL, HOOK_COMMENT };

struct hook_commit {
  char *revision, *author, *committer, *message; /* "Name <mail>"; committer NULL: not told */
  int64_t author_ms;                 /* since 1970; INT64_MIN: not told */
  char **files;                      /* added, changed and removed ones */
  int nfiles;
  bool files_cut;                    /* there are more */
};

struct hook_event {
  enum hook_kind kind;
  char *why;             /* ignored: why, for people */
  char *branch;          /* push: the branch. tag: its name. pull request: what it goes into. comment: as its pull request, or "" */
  char *revision;        /* push, tag: where it is now; NULL: it was deleted. pull request: its head. comment: what it is about, or "" */
  char *previous;        /* push, tag: where it was; NULL: it is new */
  bool forced;           /* push: the forge says that history was rewritten (not all say it) */
  struct hook_commit *commits; /* push: oldest first, the last is `revision`; just that one where nothing is told about others */
  int ncommits;
  int left_out;          /* push: older commits that are not in the list; where the forge doesn't say how many, 1 */
  int64_t number;        /* pull request, comment: the pull request's; 0: a comment on a commit */
  char *action;          /* pull request: opened, changed, reopened, retargeted */
  char *title, *who, *url;     /* for people; who: author of a pull request or comment */
  char *text;            /* of a comment */
  char *external;        /* a comment's id at the forge */
  char *association;     /* what the commenter is to the repository, as the forge says it ("OWNER", …); "" where it doesn't */
  char *head_repository, *head_branch, *head_url; /* pull request: where it comes from; "" where that is gone */
  char *ref;             /* pull request: where the repository keeps its head ("refs/pull/7/head"); NULL: only on its branch */
  bool fork;             /* pull request: from another repository, or from one that is gone */
};

struct hook_read {
  char *event;           /* "push" …: as the forge names it */
  char *repository, *url;/* for people: the project was chosen by the hook's address; "" where not told */
  struct hook_event *events;
  int nevents;
  bool cut;              /* there were more than HOOK_EVENTS_MAX */
  char *why;             /* sentence where hook_read failed */
};

/* One delivery: head lines by name (NULL: not there), and the body. All borrowed. */
struct hook_in {
  const char *(*header)(void *arg, const char *name);
  void *arg;
  const char *body;
  size_t len;
};

struct hook_dialect;
/* By the name in the configuration: github, gitlab, gitea, forgejo, bitbucket; NULL: there is none. */
const struct hook_dialect *hook_find(const char *name);
const char *hook_name(const struct hook_dialect *d);
/* Whether the head has a signature strong enough to be looked at; the body need not be there yet. */
bool hook_signed(const struct hook_dialect *d, const struct hook_in *in);
/* Whether it is right. Takes the same time wherever it is wrong. */
bool hook_verify(const struct hook_dialect *d, const struct hook_in *in, const char *secret, size_t n) must_check;
/* The delivery's id, the same for each time that it is sent again; where the forge gives none, a hash of the body. */
void hook_delivery(const struct hook_dialect *d, const struct hook_in *in, char out[HOOK_DELIVERY_MAX + 1]);
/* ERR_OK, or ERR_SYNTAX with why. hook_read_free in any case. */
enum err hook_read(const struct hook_dialect *d, const struct hook_in *in, struct hook_read *out) must_check;
void hook_read_free(struct hook_read *r);

bool hook_is_revision(const char *s); /* a whole one: 40 or 64 hex digits, not all 0 */
/* The events as a JSON list for the statement hook_told (db/sql_world.def). */
void hook_json(const struct hook_read *r, struct buf *out);
#endif
