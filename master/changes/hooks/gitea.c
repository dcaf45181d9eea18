/* Gitea, Forgejo (and Gogs): like GitHub's, with other headers, fewer fields, and a list of commits that is cut short. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/hooks/hook_int.h"

static void read_push(const cJSON *body, struct hook_read *out)
{
  const cJSON *commits = pick(body, "commits");
  struct hook_event *e = github_moved(body, "compare_url", out);

  if (!e)
    return;
  if (e->kind == HOOK_PUSH && cJSON_GetArraySize(commits))
    hook_commits(e, commits, pick_number(body, "total_commits"), hook_commit_plain);
  else
    github_head_commit(body, pick_number(body, "total_commits"), e);
}

static const char *pull_action(const cJSON *body)
{
  static const struct { const char *theirs, *ours; } table[] = { { "opened", "opened" }, { "reopened", "reopened" }, { "synchronized", "changed" } };
  const char *action = pick_text(body, "action");

  for (size_t i = 0; i < COUNT(table); i++)
    if (!strcmp(action, table[i].theirs))
      return table[i].ours;
  return !strcmp(action, "edited") && pick(body, "changes.ref") ? "retargeted" : NULL;
}

static void read_pull(const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request");
  struct hook_event *e = github_pull(body, pull_action(body), out);

  if (e)
    e->fork = !pick_number(p, "head.repo_id") || pick_number(p, "head.repo_id") != pick_number(p, "base.repo_id");
}

static void read_comment(const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pull_request");
  const char *action = pick_text(body, "action");

  if (strcmp(action, "created"))
    hook_ignore(out, "comment %s: only new ones count", action);
  else if (!pick_true(body, "is_pull") && !cJSON_IsObject(pick(body, "issue.pull_request")))
    hook_ignore(out, "a comment on an issue, not on a pull request");
  else
    github_comment(pick(body, "comment"), "", hook_comment(out, pick_number(body, "issue.number"), pick_text(p, "base.ref"), pick_text(p, "head.sha"), pick_text(body, "comment.body")));
}

static void read_gitea(const char *event, const cJSON *body, struct hook_read *out)
{
  out->repository = hook_clean(pick_text(body, "repository.full_name"), HOOK_NAME_MAX, true);
  out->url = hook_clean(pick_text(body, "repository.html_url"), HOOK_NAME_MAX, true);
  if (!strcmp(event, "push"))
    read_push(body, out);
  else if (!strcmp(event, "pull_request"))
    read_pull(body, out);
  else if (!strcmp(event, "issue_comment"))
    read_comment(body, out);
  else if (!strcmp(event, "create") || !strcmp(event, "delete"))
    hook_ignore(out, "%s: the push event tells it", event);
  else
    hook_ignore(out, "%s: nothing that is built", *event ? event : "no event named");
}

static const char *const events[] = { "X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event", "X-GitHub-Event", NULL };
static const char *const deliveries[] = { "X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery", "X-GitHub-Delivery", NULL };
static const struct hook_proof proofs[] = { { "X-Forgejo-Signature", "" }, { "X-Gitea-Signature", "" }, { "X-Hub-Signature-256", "sha256=" }, { "X-Gogs-Signature", "" }, { 0 } };

const struct hook_dialect hook_gitea = { .name = "gitea", .event = events, .delivery = deliveries, .proofs = proofs, .read = read_gitea };
const struct hook_dialect hook_forgejo = { .name = "forgejo", .event = events, .delivery = deliveries, .proofs = proofs, .read = read_gitea };
