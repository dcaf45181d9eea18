/* GitHub: push, pull_request, and the comments of pull requests. Tags and branches that are made or deleted come as `push` too. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/hooks/hook_int.h"

/* The list without what the repository had on another branch already, but for the tip. References: the list's items stay the body's. */
static cJSON *distinct(const cJSON *list, const char *tip)
{
  cJSON *copy = cJSON_CreateArray(), *it;

  cJSON_ArrayForEach(it, list)
    if (!cJSON_IsFalse(pick(it, "distinct")) || !strcmp(pick_text(it, "id"), tip))
      cJSON_AddItemReferenceToArray(copy, it);
  return copy;
}

struct hook_event *github_moved(const cJSON *body, const char *compare, struct hook_read *out)
{
  const char *after = pick_text(body, "after"), *ref = pick_text(body, "ref"), *peeled = pick_text(body, "head_commit.id");
  struct hook_event *e;

  if (str_starts(ref, "refs/tags/") && hook_is_revision(after) && hook_is_revision(peeled))
    after = peeled; /* of an annotated tag `after` is the tag itself */
  e = hook_moved(out, ref, pick_text(body, "before"), after);
  if (e)
    e->url = hook_clean(pick_text(body, compare), HOOK_NAME_MAX, true);
  return e;
}

void github_head_commit(const cJSON *body, int64_t told, struct hook_event *e)
{
  const cJSON *head = pick(body, "head_commit");
  cJSON *list = cJSON_CreateArray();

  if (cJSON_IsObject(head))
    cJSON_AddItemReferenceToArray(list, (cJSON *)(uintptr_t)head);
  hook_commits(e, list, told, hook_commit_plain);
  cJSON_Delete(list);
}

static void read_push(const cJSON *body, struct hook_read *out)
{
  struct hook_event *e = github_moved(body, "compare", out);
  cJSON *list;

  if (!e)
    return;
  e->forced = pick_true(body, "forced");
  list = distinct(pick(body, "commits"), e->revision ? e->revision : "");
  if (cJSON_IsObject(pick(body, "head_commit")) && (e->kind == HOOK_TAG || !cJSON_GetArraySize(list)))
    github_head_commit(body, 0, e);
  else
    hook_commits(e, list, 0, hook_commit_plain);
  cJSON_Delete(list);
}

static const char *pull_action(const cJSON *body)
{
  static const struct { const char *theirs, *ours; } table[] = {
    { "opened", "opened" }, { "reopened", "reopened" }, { "synchronize", "changed" }, { "ready_for_review", "ready" } };
  const char *action = pick_text(body, "action");

  for (size_t i = 0; i < COUNT(table); i++)
    if (!strcmp(action, table[i].theirs))
      return table[i].ours;
  return !strcmp(action, "edited") && pick(body, "changes.base") ? "retargeted" : NULL;
}

struct hook_event *github_pull(const cJSON *body, const char *action, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request");
  struct hook_event *e;

  if (!action) {
    hook_ignore(out, "pull request %s: nothing to build", pick_text(body, "action"));
    return NULL;
  }
  e = hook_pull(out, pick_number(p, "number"), pick_text(p, "base.ref"), pick_text(p, "head.sha"), action);
  if (!e)
    return NULL;
  hook_pull_ref(e, "refs/pull/", "/head");
  e->title = hook_clean(pick_text(p, "title"), HOOK_NAME_MAX, true);
  e->who = hook_clean(pick_text(p, "user.login"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(p, "html_url"), HOOK_NAME_MAX, true);
  e->head_repository = hook_clean(pick_text(p, "head.repo.full_name"), HOOK_NAME_MAX, true);
  e->head_branch = hook_clean(pick_text(p, "head.ref"), HOOK_NAME_MAX, true);
  e->head_url = hook_clean(pick_text(p, "head.repo.clone_url"), HOOK_NAME_MAX, true);
  return e;
}

static void read_pull(const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request");
  struct hook_event *e = github_pull(body, pull_action(body), out);

  if (e)
    e->fork = !pick_number(p, "head.repo.id") || pick_number(p, "head.repo.id") != pick_number(p, "base.repo.id");
}

void github_comment(const cJSON *c, const char *kind, struct hook_event *e)
{
  if (!e)
    return;
  e->external = pick_number(c, "id") ? xasprintf("%s%lld", kind, (long long)pick_number(c, "id")) : NULL;
  e->who = hook_clean(pick_text(c, "user.login"), HOOK_NAME_MAX, true);
  e->association = hook_clean(pick_text(c, "author_association"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(c, "html_url"), HOOK_NAME_MAX, true);
}

static void read_comment(const char *event, const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request"), *c = pick(body, "comment");
  const char *action = pick_text(body, "action"), *text = pick_text(c, "body");
  bool on_issue = !strcmp(event, "issue_comment");

  if (strcmp(action, "created"))
    hook_ignore(out, "comment %s: only new ones count", action);
  else if (on_issue && !cJSON_IsObject(pick(body, "issue.pull_request")))
    hook_ignore(out, "a comment on an issue, not on a pull request");
  else if (on_issue)
    github_comment(c, "", hook_comment(out, pick_number(body, "issue.number"), "", "", text));
  else if (!strcmp(event, "commit_comment"))
    github_comment(c, "commit-", hook_comment(out, 0, "", pick_text(c, "commit_id"), text));
  else
    github_comment(c, "review-comment-", hook_comment(out, pick_number(p, "number"), pick_text(p, "base.ref"), pick_text(c, "commit_id"), text));
}

static void read_review(const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request"), *r = pick(body, "review");
  const char *action = pick_text(body, "action"), *text = pick_text(r, "body");

  if (strcmp(action, "submitted") || !*text)
    hook_ignore(out, "review %s%s", action, *text ? "" : " without a word");
  else
    github_comment(r, "review-", hook_comment(out, pick_number(p, "number"), pick_text(p, "base.ref"), pick_text(r, "commit_id"), text));
}

static void read_github(const char *event, const cJSON *body, struct hook_read *out)
{
  out->repository = hook_clean(pick_text(body, "repository.full_name"), HOOK_NAME_MAX, true);
  out->url = hook_clean(pick_text(body, "repository.html_url"), HOOK_NAME_MAX, true);
  if (!strcmp(event, "push"))
    read_push(body, out);
  else if (!strcmp(event, "pull_request"))
    read_pull(body, out);
  else if (!strcmp(event, "issue_comment") || !strcmp(event, "pull_request_review_comment") || !strcmp(event, "commit_comment"))
    read_comment(event, body, out);
  else if (!strcmp(event, "pull_request_review"))
    read_review(body, out);
  else if (!strcmp(event, "ping"))
    hook_ignore(out, "ping: the hook works");
  else if (!strcmp(event, "create") || !strcmp(event, "delete"))
    hook_ignore(out, "%s: the push event tells it", event);
  else
    hook_ignore(out, "%s: nothing that is built", *event ? event : "no event named");
}

static const char *const events[] = { "X-GitHub-Event", NULL }, *const deliveries[] = { "X-GitHub-Delivery", NULL };
static const struct hook_proof proofs[] = { { "X-Hub-Signature-256", "sha256=" }, { 0 } }; /* X-Hub-Signature is SHA-1: it counts as none */

const struct hook_dialect hook_github = { .name = "github", .event = events, .delivery = deliveries, .proofs = proofs, .read = read_github };
