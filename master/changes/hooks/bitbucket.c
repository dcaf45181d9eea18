/* Bitbucket Cloud (repo:push, pullrequest:…) and Bitbucket Data Center (repo:refs_changed, pr:…), told apart by the event's name. Neither says which files a commit changed, so the
   repository is looked at after each push. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/hooks/hook_int.h"

static bool commit_cloud(const cJSON *it, struct hook_commit *c)
{
  const char *id = pick_text(it, "hash");

  if (!hook_is_revision(id))
    return false;
  c->revision = xstrdup(id);
  c->author = hook_clean(pick_text(it, "author.raw"), HOOK_NAME_MAX, true);
  c->message = hook_clean(pick_text(it, "message"), HOOK_TEXT_MAX, false);
  c->author_ms = hook_time(pick_text(it, "date"));
  return true;
}

static bool commit_server(const cJSON *it, struct hook_commit *c)
{
  const char *id = pick_text(it, "id");
  int64_t ms = pick_number(it, "authorTimestamp");

  if (!hook_is_revision(id))
    return false;
  c->revision = xstrdup(id);
  c->author = hook_person(pick_text(it, "author.name"), pick_text(it, "author.emailAddress"));
  if (pick(it, "committer"))
    c->committer = hook_person(pick_text(it, "committer.name"), pick_text(it, "committer.emailAddress"));
  c->message = hook_clean(pick_text(it, "message"), HOOK_TEXT_MAX, false);
  c->author_ms = ms ? ms : INT64_MIN;
  return true;
}

static const char *cloud_prefix(const cJSON *side)
{
  const char *type = pick_text(side, "type");

  return !strcmp(type, "branch") || !strcmp(type, "named_branch") ? "refs/heads/" : !strcmp(type, "tag") || !strcmp(type, "annotated_tag") ? "refs/tags/" : "refs/other/";
}

static void push_cloud(const cJSON *body, struct hook_read *out)
{
  const cJSON *it, *changes = pick(body, "push.changes");

  if (!cJSON_GetArraySize(changes)) {
    hook_ignore(out, "nothing moved");
    return;
  }
  cJSON_ArrayForEach(it, changes) {
    const cJSON *was = pick(it, "old"), *is = pick(it, "new"), *side = cJSON_IsObject(is) ? is : was;
    char *ref = xasprintf("%s%s", cloud_prefix(side), pick_text(side, "name"));
    struct hook_event *e = hook_moved(out, ref, pick_text(was, "target.hash"), pick_text(is, "target.hash"));
    free(ref);
    if (!e)
      continue;
    e->forced = pick_true(it, "forced");
    e->url = hook_clean(pick_text(it, "links.html.href"), HOOK_NAME_MAX, true);
    if (e->kind == HOOK_PUSH) {
      hook_commits(e, pick(it, "commits"), 0, commit_cloud);
    } else {
      cJSON *list = cJSON_CreateArray();
      cJSON_AddItemReferenceToArray(list, (cJSON *)pick(is, "target"));
      hook_commits(e, list, 0, commit_cloud);
      cJSON_Delete(list);
    }
    e->left_out++;
  }
}

static void push_server(const cJSON *body, struct hook_read *out)
{
  const cJSON *it, *changes = pick(body, "changes"), *commits = pick(body, "commits");
  int n = cJSON_GetArraySize(changes);

  if (!n)
    hook_ignore(out, "nothing moved");
  cJSON_ArrayForEach(it, changes) {
    struct hook_event *e = hook_moved(out, pick_text(it, "ref.id"), pick_text(it, "fromHash"), pick_text(it, "toHash"));
    if (!e)
      continue;
    hook_commits(e, n == 1 && e->kind == HOOK_PUSH ? commits : NULL, 0, commit_server); /* with several it is not said whose they are */
    e->left_out++;
  }
}

static void pull_cloud(const char *action, const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pullrequest");
  const char *from = pick_text(p, "source.repository.full_name"), *to = pick_text(p, "destination.repository.full_name");
  struct hook_event *e = hook_pull(out, pick_number(p, "id"), pick_text(p, "destination.branch.name"), pick_text(p, "source.commit.hash"), action);

  if (!e)
    return;
  e->title = hook_clean(pick_text(p, "title"), HOOK_NAME_MAX, true);
  e->who = hook_clean(pick_text(p, "author.display_name"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(p, "links.html.href"), HOOK_NAME_MAX, true);
  e->head_repository = hook_clean(from, HOOK_NAME_MAX, true);
  e->head_branch = hook_clean(pick_text(p, "source.branch.name"), HOOK_NAME_MAX, true);
  e->head_url = hook_clean(pick_text(p, "source.repository.links.html.href"), HOOK_NAME_MAX, true);
  e->fork = !*from || strcmp(from, to);
}

static const char *server_branch(const cJSON *p)
{
  const char *id = pick_text(p, "toRef.id");

  return str_starts(id, "refs/heads/") ? id + 11 : id;
}

static void pull_server(const char *action, const cJSON *body, struct hook_read *out)
{
  const cJSON *p = pick(body, "pullRequest"), *from = pick(p, "fromRef"), *links = pick(p, "links.self");
  struct hook_event *e = hook_pull(out, pick_number(p, "id"), server_branch(p), pick_text(from, "latestCommit"), action);

  if (!e)
    return;
  hook_pull_ref(e, "refs/pull-requests/", "/from");
  e->title = hook_clean(pick_text(p, "title"), HOOK_NAME_MAX, true);
  e->who = hook_clean(pick_text(p, "author.user.name"), HOOK_NAME_MAX, true);
  e->url = hook_clean(cJSON_IsArray(links) ? pick_text(links->child, "href") : "", HOOK_NAME_MAX, true);
  e->head_repository = hook_clean(pick_text(from, "repository.slug"), HOOK_NAME_MAX, true);
  e->head_branch = hook_clean(pick_text(from, "displayId"), HOOK_NAME_MAX, true);
  e->fork = !pick_number(from, "repository.id") || pick_number(from, "repository.id") != pick_number(p, "toRef.repository.id");
}

static void comment_cloud(const cJSON *body, struct hook_read *out)
{
  const cJSON *c = pick(body, "comment"), *p = pick(body, "pullrequest");
  struct hook_event *e = hook_comment(out, pick_number(p, "id"), pick_text(p, "destination.branch.name"), pick_text(p, "source.commit.hash"), pick_text(c, "content.raw"));

  if (!e)
    return;
  e->external = pick_number(c, "id") ? xasprintf("%lld", (long long)pick_number(c, "id")) : NULL;
  e->who = hook_clean(pick_text(body, "actor.display_name"), HOOK_NAME_MAX, true);
  e->url = hook_clean(pick_text(c, "links.html.href"), HOOK_NAME_MAX, true);
}

static void comment_server(const cJSON *body, struct hook_read *out)
{
  const cJSON *c = pick(body, "comment"), *p = pick(body, "pullRequest");
  struct hook_event *e = hook_comment(out, pick_number(p, "id"), server_branch(p), pick_text(p, "fromRef.latestCommit"), pick_text(c, "text"));

  if (!e)
    return;
  e->external = pick_number(c, "id") ? xasprintf("%lld", (long long)pick_number(c, "id")) : NULL;
  e->who = hook_clean(pick_text(body, "actor.name"), HOOK_NAME_MAX, true);
}

/* An update does not say whether commits came: at the same revision the change is known already. */
static const struct {
  const char *event, *action;
  void (*pull)(const char *action, const cJSON *body, struct hook_read *out);
  void (*other)(const cJSON *body, struct hook_read *out);
} table[] = {
  { "repo:push", NULL, NULL, push_cloud },
  { "pullrequest:created", "opened", pull_cloud, NULL },
  { "pullrequest:updated", "changed", pull_cloud, NULL },
  { "pullrequest:comment_created", NULL, NULL, comment_cloud },
  { "repo:refs_changed", NULL, NULL, push_server },
  { "pr:opened", "opened", pull_server, NULL },
  { "pr:from_ref_updated", "changed", pull_server, NULL },
  { "pr:modified", "retargeted", pull_server, NULL },
  { "pr:comment:added", NULL, NULL, comment_server },
};

static void read_bitbucket(const char *event, const cJSON *body, struct hook_read *out)
{
  const char *name = pick_text(body, "repository.full_name");

  out->repository = hook_clean(*name ? name : pick_text(body, "repository.slug"), HOOK_NAME_MAX, true);
  out->url = hook_clean(pick_text(body, "repository.links.html.href"), HOOK_NAME_MAX, true);
  for (size_t i = 0; i < COUNT(table); i++)
    if (!strcmp(event, table[i].event)) {
      if (table[i].pull)
        table[i].pull(table[i].action, body, out);
      else
        table[i].other(body, out);
      return;
    }
  if (!strcmp(event, "diagnostics:ping"))
    hook_ignore(out, "ping: the hook works");
  else
    hook_ignore(out, "%s: nothing that is built", *event ? event : "no event named");
}

static const char *const events[] = { "X-Event-Key", NULL }, *const deliveries[] = { "X-Request-UUID", "X-Request-Id", NULL };
static const struct hook_proof proofs[] = { { "X-Hub-Signature", "sha256=" }, { 0 } }; /* sha1=… counts as none */

const struct hook_dialect hook_bitbucket = { .name = "bitbucket", .event = events, .delivery = deliveries, .proofs = proofs, .read = read_bitbucket };
