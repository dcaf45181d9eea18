/* Between hook.c and the dialects: the table's rows, and taking values out of JSON that may have any shape. */
#ifndef MASTER_CHANGES_HOOKS_HOOK_INT_H
#define MASTER_CHANGES_HOOKS_HOOK_INT_H
#include <cjson/cJSON.h>

#include "master/changes/hooks/hook.h"

struct hook_dialect {
  const char *name;
  const char *const *event;    /* names of headers, NULL at the end: the first that is there counts */
  const char *const *delivery;
  /* Where a header can carry the signature: the first that is there counts, and what it holds must be `before` and the HMAC-SHA256 of the body in hex. before NULL: it
     holds the secret itself. NULL at the end. */
  const struct hook_proof {
    const char *header, *before;
  } *proofs;
  bool body_in_id;             /* the id is not one of this delivery alone: the body's hash goes with it */
  void (*read)(const char *event, const cJSON *body, struct hook_read *out);
};

extern const struct hook_dialect hook_github, hook_gitlab, hook_gitea, hook_forgejo, hook_bitbucket;

/* path: "a.b.c" from o. Texts: "" where it is missing or no text; borrowed from the JSON. */
const cJSON *pick(const cJSON *o, const char *path);
const char *pick_text(const cJSON *o, const char *path);
int64_t pick_number(const cJSON *o, const char *path); /* 0 where it is not a whole number above 0 */
bool pick_true(const cJSON *o, const char *path);

/* A copy: UTF-8, no control bytes (line: not even ends of lines; else these are LF alone), at most max bytes. */
char *hook_clean(const char *s, size_t max, bool line) must_check;
/* "Name <mail>"; either may be "". */
char *hook_person(const char *name, const char *mail) must_check;
/* "2019-05-15T15:20:41Z", with or without fractions, "+02:00" …: ms since 1970, INT64_MIN where it is none. */
int64_t hook_time(const char *s);

/* A new event, all texts "" but previous and revision; NULL: enough (out->cut is set). */
struct hook_event *hook_add(struct hook_read *out, enum hook_kind kind);
void hook_ignore(struct hook_read *out, const char *fmt, ...) printf_like(2, 3);
void hook_bad(struct hook_read *out, const char *what); /* the body lacks what the event must have */

/* A branch or tag that moved. ref: refs/heads/… or refs/tags/…; before, after: all 0 or "" where there is none. NULL: told (ignored or bad). */
struct hook_event *hook_moved(struct hook_read *out, const char *ref, const char *before, const char *after);
/* Commits of a push, in either order; each made by one of a dialect's own. told: of how many it is, 0 where that is not known. */
void hook_commits(struct hook_event *e, const cJSON *list, int64_t told, bool (*make)(const cJSON *it, struct hook_commit *c));
/* A commit as GitHub, GitLab and Gitea write it: id, message, timestamp, author {name, email}, added, modified, removed. */
bool hook_commit_plain(const cJSON *it, struct hook_commit *c);
/* A pull request; NULL: told. The caller fills in the rest. */
struct hook_event *hook_pull(struct hook_read *out, int64_t number, const char *into, const char *revision, const char *action);
/* Where the repository keeps its head. */
void hook_pull_ref(struct hook_event *e, const char *before, const char *after);
struct hook_event *hook_comment(struct hook_read *out, int64_t number, const char *into, const char *revision, const char *text);

/* What others have from GitHub (github.c). */
struct hook_event *github_moved(const cJSON *body, const char *compare, struct hook_read *out); /* compare: where the page of the difference stands; NULL: told */
void github_head_commit(const cJSON *body, int64_t told, struct hook_event *e);                 /* `head_commit`, where it is there, is all that is listed */
struct hook_event *github_pull(const cJSON *body, const char *action, struct hook_read *out);   /* action: in our words, NULL: ignored. NULL: told. `fork` is the caller's */
void github_comment(const cJSON *c, const char *kind, struct hook_event *e);                    /* kind: before its id; e NULL: nothing */
#endif
