/* Commits told to the master: which ones are new, oldest first, and what each changed against its first parent. */
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "common/utf8.h"
#include "master/changes/gitwire.h"
#include "master/changes/helper/helper.h"
#include "proto/records.h"

#define TIME_MAX_S INT64_C(253402300799) /* the end of the year 9999 */

static void put_text(struct buf *out, const char *key, const char *s, size_t n, bool line)
{
  struct buf clean;

  buf_init(&clean, BUF_NO_MAX);
  utf8_clean(&clean, s, n, line);
  records_put(out, key, buf_str(&clean));
  buf_free(&clean);
}

static enum err tell_files(struct help *h, git_commit *c)
{
  git_diff_options opts;
  git_commit *parent = NULL;
  git_tree *before = NULL, *after = NULL;
  git_diff *diff = NULL;
  enum err e = ERR_OK;
  int rc = git_commit_tree(&after, c);

  git_diff_options_init(&opts, GIT_DIFF_OPTIONS_VERSION);
  opts.flags = GIT_DIFF_SKIP_BINARY_CHECK;
  if (!rc && git_commit_parentcount(c) > 0 && !(rc = git_commit_parent(&parent, c, 0)))
    rc = git_commit_tree(&before, parent);
  if (!rc)
    rc = git_diff_tree_to_tree(&diff, h->repo, before, after, &opts);
  if (rc) {
    e = help_repo_fail(h, rc, "can't compare a commit with its parent");
  } else {
    size_t n = git_diff_num_deltas(diff);
    for (size_t i = 0; i < n && i < GITH_FILES_MAX; i++) {
      const char *path = git_diff_get_delta(diff, i)->new_file.path;
      put_text(&h->out, "file", path, strlen(path), true);
    }
    if (n > GITH_FILES_MAX)
      records_put(&h->out, "cut", "1");
  }
  git_diff_free(diff);
  git_tree_free(before);
  git_tree_free(after);
  git_commit_free(parent);
  return e;
}

static int64_t author_ms(const git_signature *who)
{
  int64_t s = who->when.time;
  return (s < 0 ? 0 : s > TIME_MAX_S ? TIME_MAX_S : s) * 1000;
}

static void put_person(struct help *h, const char *key, const git_signature *who)
{
  char *text = xasprintf("%s <%s>", who && who->name ? who->name : "", who && who->email ? who->email : "");

  put_text(&h->out, key, text, utf8_cut(text, HELP_SHORT_MESSAGE), true);
  free(text);
}

enum err help_tell_commit(struct help *h, const char *branch, git_commit *c)
{
  const git_signature *who = git_commit_author(c);
  const char *message = git_commit_message(c);
  char hex[GIT_OID_HEXSZ + 1];
  size_t max = h->out.len > HELP_OUT_SHORT ? HELP_SHORT_MESSAGE : GITW_MESSAGE_MAX;

  if (!message)
    message = "";
  records_put(&h->out, "commit", git_oid_tostr(hex, sizeof hex, git_commit_id(c)));
  records_put(&h->out, "branch", branch);
  records_put(&h->out, "previous", git_commit_parentcount(c) ? git_oid_tostr(hex, sizeof hex, git_commit_parent_id(c, 0)) : "");
  put_person(h, "author", who);
  put_person(h, "committer", git_commit_committer(c));
  records_putf(&h->out, "time", "%lld", (long long)(who ? author_ms(who) : 0));
  put_text(&h->out, "message", message, utf8_cut(message, max / 3), false); /* U+FFFD takes three bytes */
  if (h->out.len > HELP_OUT_NO_FILES) {
    records_put(&h->out, "cut", "1");
    return ERR_OK;
  }
  return tell_files(h, c);
}

static enum err tell_oid(struct help *h, const char *branch, const git_oid *oid)
{
  git_commit *c;
  enum err e;
  int rc = git_commit_lookup(&c, h->repo, oid);

  if (rc)
    return help_repo_fail(h, rc, "can't read a commit");
  e = help_tell_commit(h, branch, c);
  git_commit_free(c);
  return e;
}

/* The newest commits of a walk that goes from old to new. */
struct newest {
  git_oid oid[GITH_COMMITS_MAX];
  size_t seen;
};

static enum err walk(struct help *h, const struct help_head *head, struct newest *new, bool *hidden)
{
  git_revwalk *walk;
  git_oid oid;
  int rc = git_revwalk_new(&walk, h->repo);

  if (rc)
    return help_repo_fail(h, rc, "can't walk the history");
  new->seen = 0;
  git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME | GIT_SORT_REVERSE);
  rc = git_revwalk_push(walk, &head->oid);
  for (size_t i = 0; i < h->nknown && !rc; i++)
    if (!git_revwalk_hide(walk, &h->known[i].oid)) /* one that is not here any more hides nothing */
      *hidden = true;
  while (!rc && *hidden && !(rc = git_revwalk_next(&oid, walk)))
    git_oid_cpy(&new->oid[new->seen++ % GITH_COMMITS_MAX], &oid);
  git_revwalk_free(walk);
  return rc && rc != GIT_ITEROVER ? help_repo_fail(h, rc, "can't walk the history") : ERR_OK;
}

static enum err tell_branch(struct help *h, const struct help_head *head, struct newest *new)
{
  bool hidden = false;
  size_t n;
  enum err e = walk(h, head, new, &hidden);

  if (e)
    return e;
  if (!hidden) /* nothing to compare with: all would be new */
    return tell_oid(h, head->branch, &head->oid);
  n = new->seen < GITH_COMMITS_MAX ? new->seen : GITH_COMMITS_MAX;
  h->left_out += (int)(new->seen - n);
  for (size_t i = new->seen - n; i < new->seen && !e; i++) {
    if (h->out.len > HELP_OUT_FULL)
      h->left_out++;
    else
      e = tell_oid(h, head->branch, &new->oid[i % GITH_COMMITS_MAX]);
  }
  return e;
}

enum err help_tell_new(struct help *h)
{
  struct newest *new = h->kind ? NULL : xmalloc(sizeof *new);
  enum err e = ERR_OK;

  for (size_t i = 0; i < h->nheads && !e; i++) {
    const struct help_head *head = &h->heads[i], *known = help_find(h->known, h->nknown, head->branch);
    if (head->wanted && !(known && git_oid_equal(&known->oid, &head->oid)))
      e = h->kind ? h->kind->tell_branch(h, head) : tell_branch(h, head, new);
  }
  free(new);
  return e;
}
