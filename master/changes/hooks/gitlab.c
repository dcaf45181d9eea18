/* GitLab: push, tag_push, merge_request, note. What a delivery is stands in its body (object_kind); the header only repeats it for people. The secret itself comes as a header:
   nothing is signed, so TLS up to the proxy is what keeps it. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/hooks/hook_int.h"

static void read_push(const cJSON *body, struct hook_read *out)
{
  const char *after = pick_text(body, "after"), *peeled = pick_text(body, "checkout_sha"), *ref = pick_text(body, "ref");
  struct hook_event *e;

  if (str_starts(ref, "refs/tags/") && hook_is_revision(after) && hook_is_revision(peeled))
    after = peeled; /* of an annotated tag `after` is the tag itself */
  e = hook_moved(out, ref, pick_text(body, "before"), after);
  if (e)
    hook_commits(e, pick(body, "commits"), pick_number(body, "total_commits_count"), hook_commit_plain);
}

static const char *pull_action(const cJSON *body, const cJSON *m)
{
  const char *action = pick_text(m, "action");

  if (!strcmp(action, "open"))
    return "opened";
  if (!strcmp(action, "reopen"))
    return "reopened";
  if (strcmp(action, "update"))
    return NULL;
  return *pick_text(m, "oldrev") ? "changed" : pick(body, "changes.target_branch") ? "retargeted" : pick(body, "changes.draft") && !pick_true(m, "draft") ? "ready" : NULL;
}

static void read_pull(const cJSON *body, struct hook_read *out)
{
  const cJSON *m = pick(body, "object_attributes");
  const char *action = pull_action(body, m);
  struct hook_event *e;

  if (!action) {
    hook_ignore(out, "merge request %s: nothing to build", pick_text(m, "action"));
    return;
  }
  e = hook_pull(out, pick_number(m, "iid"), pick_text(m, "target_branch"), pick_text(m, "last_commit.id"), action);
  if (!e)
    return;
  hook_pull_ref(e, "refs/merge-requests/", "/head");
  e->title = hook_clean(pick_text(m, "title"), HOOK_NAME_MAX, true);
  e->who = hook_clean(pick_text(body, "user.username"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(m, "url"), HOOK_NAME_MAX, true);
  e->head_repository = hook_clean(pick_text(m, "source.path_with_namespace"), HOOK_NAME_MAX, true);
  e->head_branch = hook_clean(pick_text(m, "source_branch"), HOOK_NAME_MAX, true);
  e->head_url = hook_clean(pick_text(m, "source.git_http_url"), HOOK_NAME_MAX, true);
  e->fork = !pick_number(m, "source_project_id") || pick_number(m, "source_project_id") != pick_number(m, "target_project_id");
}

static void read_note(const cJSON *body, struct hook_read *out)
{
  const cJSON *n = pick(body, "object_attributes"), *m = pick(body, "merge_request");
  const char *on = pick_text(n, "noteable_type"), *action = pick_text(n, "action"), *text = pick_text(n, "note");
  struct hook_event *e = NULL;

  if (*action && strcmp(action, "create")) /* older versions don't name it, and send new ones only */
    hook_ignore(out, "comment %s: only new ones count", action);
  else if (pick_true(n, "system"))
    hook_ignore(out, "a note of GitLab's own");
  else if (!strcmp(on, "MergeRequest"))
    e = hook_comment(out, pick_number(m, "iid"), pick_text(m, "target_branch"), pick_text(m, "last_commit.id"), text);
  else if (!strcmp(on, "Commit"))
    e = hook_comment(out, 0, "", pick_text(body, "commit.id"), text);
  else
    hook_ignore(out, "a comment on something else than a merge request or commit");
  if (!e)
    return;
  e->external = pick_number(n, "id") ? xasprintf("%lld", (long long)pick_number(n, "id")) : NULL;
  e->who = hook_clean(pick_text(body, "user.username"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(n, "url"), HOOK_NAME_MAX, true);
}

static void read_gitlab(const char *event, const cJSON *body, struct hook_read *out)
{
  const char *kind = pick_text(body, "object_kind");

  (void)event;
  out->repository = hook_clean(pick_text(body, "project.path_with_namespace"), HOOK_NAME_MAX, true);
  out->url = hook_clean(pick_text(body, "project.web_url"), HOOK_NAME_MAX, true);
  if (!strcmp(kind, "push") || !strcmp(kind, "tag_push"))
    read_push(body, out);
  else if (!strcmp(kind, "merge_request"))
    read_pull(body, out);
  else if (!strcmp(kind, "note"))
    read_note(body, out);
  else
    hook_ignore(out, "%s: nothing that is built", *kind ? kind : "no object_kind");
}

/* Idempotency-Key (17.4 and newer) stays the same when a delivery is sent again. The older id is shared by events that follow from one another, so the body goes with it. */
static const char *const events[] = { "X-Gitlab-Event", NULL }, *const deliveries[] = { "Idempotency-Key", "X-Gitlab-Event-UUID", NULL };
static const struct hook_proof proofs[] = { { "X-Gitlab-Token", NULL }, { 0 } };

const struct hook_dialect hook_gitlab = { .name = "gitlab", .event = events, .delivery = deliveries, .proofs = proofs, .body_in_id = true, .read = read_gitlab };
