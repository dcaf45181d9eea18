/* Events as the JSON that the statement hook_told takes; docs in db/schema_0004.sql. */
#include <stdlib.h>
#include <string.h>

#include "master/changes/hooks/hook_int.h"

static void put_text(cJSON *o, const char *key, const char *s)
{
  if (s && *s)
    cJSON_AddStringToObject(o, key, s);
}

/* What only people read of a commit, or that its list of files is not whole. */
static void put_commit(cJSON *list, const struct hook_commit *c, const char *previous)
{
  cJSON *o = cJSON_CreateObject(), *files;

  put_text(o, "revision", c->revision);
  put_text(o, "previous", previous);
  put_text(o, "author", c->author);
  put_text(o, "committer", c->committer);
  if (c->author_ms != INT64_MIN)
    cJSON_AddNumberToObject(o, "at", (double)c->author_ms);
  put_text(o, "message", c->message);
  if (c->nfiles) {
    files = cJSON_CreateStringArray((const char *const *)c->files, c->nfiles);
    cJSON_AddItemToObject(o, "files", files);
  }
  if (c->files_cut)
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(o, "properties"), "files_cut");
  cJSON_AddItemToArray(list, o);
}

static void put_push(cJSON *o, const struct hook_event *e)
{
  cJSON *list = cJSON_AddArrayToObject(o, "commits");
  const char *previous = e->left_out ? NULL : e->previous;

  cJSON_AddBoolToObject(o, "whole", !e->left_out);
  for (int i = 0; i < e->ncommits; i++) {
    put_commit(list, &e->commits[i], previous);
    previous = e->commits[i].revision;
  }
}

static void put_pull(cJSON *o, const struct hook_event *e)
{
  cJSON *p = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "properties"), "pull_request"), *head;

  cJSON_AddNumberToObject(p, "number", (double)e->number);
  put_text(p, "action", e->action);
  put_text(p, "title", e->title);
  cJSON_AddBoolToObject(p, "fork", e->fork);
  put_text(p, "ref", e->ref);
  head = cJSON_AddObjectToObject(p, "head");
  put_text(head, "repository", e->head_repository);
  put_text(head, "branch", e->head_branch);
  put_text(head, "url", e->head_url);
  put_text(o, "message", e->title);
}

static void put_comment(cJSON *o, const struct hook_event *e)
{
  cJSON *p = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "properties"), "comment");

  put_text(p, "who", e->who);
  put_text(p, "association", e->association);
  put_text(o, "message", e->text);
}

static void put_tag(cJSON *o, const struct hook_event *e)
{
  if (!e->ncommits)
    return;
  put_text(o, "author", e->commits[0].author);
  put_text(o, "committer", e->commits[0].committer);
  put_text(o, "message", e->commits[0].message);
  if (e->commits[0].author_ms != INT64_MIN)
    cJSON_AddNumberToObject(o, "at", (double)e->commits[0].author_ms);
}

static cJSON *event_json(const struct hook_event *e)
{
  static const char *const kinds[] = { [HOOK_IGNORED] = "ignored", [HOOK_PUSH] = "branch", [HOOK_TAG] = "tag", [HOOK_PULL] = "pull_request", [HOOK_COMMENT] = "comment" };
  cJSON *o = cJSON_CreateObject();

  cJSON_AddStringToObject(o, "kind", kinds[e->kind]);
  put_text(o, "why", e->why);
  put_text(o, "branch", e->branch);
  put_text(o, "previous", e->previous);
  put_text(o, "url", e->url);
  if (e->kind == HOOK_COMMENT) /* "": about no revision */
    cJSON_AddStringToObject(o, "revision", e->revision);
  else
    put_text(o, "revision", e->revision);
  if (e->number)
    cJSON_AddNumberToObject(o, "number", (double)e->number);
  if (e->kind == HOOK_PULL || e->kind == HOOK_COMMENT)
    put_text(o, "author", e->who);
  put_text(o, "external", e->external);
  switch (e->kind) {
  case HOOK_PUSH: put_push(o, e); break;
  case HOOK_TAG: put_tag(o, e); break;
  case HOOK_PULL: put_pull(o, e); break;
  case HOOK_COMMENT: put_comment(o, e); break;
  case HOOK_IGNORED: break;
  }
  return o;
}

void hook_json(const struct hook_read *r, struct buf *out)
{
  cJSON *list = cJSON_CreateArray();
  char *text;

  for (int i = 0; i < r->nevents; i++)
    cJSON_AddItemToArray(list, event_json(&r->events[i]));
  text = cJSON_PrintUnformatted(list);
  buf_adds(out, text);
  free(text);
  cJSON_Delete(list);
}
