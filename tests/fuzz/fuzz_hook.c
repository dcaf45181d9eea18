/* Deliveries of forges, every dialect: what comes out is bounded, clean, and nothing that git must not get; the JSON for the database is JSON. The first byte picks the dialect, the
   second the event's name, the third what goes with the head; the rest is the body. tests/fuzz/seeds/fuzz_hook.py makes seeds of it: where a whole run (not a single input) has read nothing in
   one of the dialects, that is a failure, because nothing was tested then. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/hooks/hook.h"

static const char *const names[] = { "github", "gitlab", "gitea", "forgejo", "bitbucket" };
static const char *const events[] = { "push", "pull_request", "issue_comment", "pull_request_review", "pull_request_review_comment", "commit_comment", "repo:push", "repo:refs_changed",
  "pullrequest:created", "pullrequest:updated", "pullrequest:approved", "pullrequest:comment_created", "pr:opened", "pr:from_ref_updated", "pr:comment:added", "diagnostics:ping", "create", "release",
  "Push Hook", "Tag Push Hook", "Merge Request Hook", "Note Hook", "Pipeline Hook", "\x1b[2J\xff", "" };
static long inputs, reached[COUNT(names)][HOOK_COMMENT + 1]; /* events that were read */

static void was_all_reached(void)
{
  enum { WHOLE_RUN = 10000 };
  bool all = true;

  for (size_t i = 0; i < COUNT(names); i++)
    for (int kind = 0; kind <= HOOK_COMMENT; kind++)
      if (!reached[i][kind]) {
        fprintf(stderr, "fuzz_hook: no event of kind %d of %s was ever read\n", kind, names[i]);
        all = false;
      }
  if (!all && inputs >= WHOLE_RUN)
    _exit(1);
}

struct head {
  const char *event;
  int how;
  char proof[160];
};

static const char *header(void *arg, const char *name)
{
  struct head *h = arg;

  if (strstr(name, "Event"))
    return h->event;
  if (!strcmp(name, "Content-Type"))
    return h->how & 1 ? "application/x-www-form-urlencoded; charset=x" : "application/json";
  if (strstr(name, "Signature") || strstr(name, "Token"))
    return h->how & 2 ? h->proof : NULL;
  return h->how & 4 ? h->proof : NULL;
}

static void check_text(const char *s, size_t max, bool line)
{
  size_t n = s ? strlen(s) : 0;

  assert(n <= max);
  while (n) {
    size_t k = str_utf8(s, n, NULL);
    assert(k && (k > 1 || (unsigned char)*s >= ' ' || (!line && (*s == '\n' || *s == '\t'))));
    s += k;
    n -= k;
  }
}

static void check_event(const struct hook_event *e)
{
  check_text(e->why, HOOK_NAME_MAX, true);
  check_text(e->title, HOOK_NAME_MAX, true);
  check_text(e->who, HOOK_NAME_MAX, true);
  check_text(e->head_branch, HOOK_NAME_MAX, true);
  check_text(e->text, HOOK_TEXT_MAX, false);
  if (e->kind == HOOK_IGNORED) {
    assert(e->why);
    return;
  }
  assert(e->kind == HOOK_COMMENT ? !*e->branch || gith_is_branch(e->branch) : gith_is_branch(e->branch));
  assert(!e->revision || (e->kind == HOOK_COMMENT && !*e->revision) || gith_is_revision(e->revision));
  assert(!e->previous || hook_is_revision(e->previous));
  assert(e->kind != HOOK_PULL || (e->number > 0 && e->revision && e->action));
  if (e->kind == HOOK_PUSH || e->kind == HOOK_TAG) {
    assert(e->revision || e->previous);
    assert(e->ncommits <= HOOK_COMMITS_MAX + 1 && !e->revision == !e->ncommits);
    assert(!e->ncommits || !strcmp(e->commits[e->ncommits - 1].revision, e->revision));
  }
  for (int i = 0; i < e->ncommits; i++) {
    const struct hook_commit *c = &e->commits[i];
    assert(hook_is_revision(c->revision) && c->nfiles <= HOOK_FILES_MAX);
    check_text(c->author, HOOK_NAME_MAX, true);
    if (c->committer)
      check_text(c->committer, HOOK_NAME_MAX, true);
    check_text(c->message, HOOK_TEXT_MAX, false);
    for (int k = 0; k < c->nfiles; k++)
      check_text(c->files[k], HOOK_PATH_MAX, true);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct head h = { 0 };
  struct hook_in in = { header, &h, NULL, 0 };
  const struct hook_dialect *d;
  char delivery[HOOK_DELIVERY_MAX + 1], *body;
  struct hook_read r;
  struct buf json;
  enum err err;
  cJSON *back;

  if (!inputs++)
    atexit(was_all_reached);
  if (size < 3)
    return 0;
  d = hook_find(names[data[0] % COUNT(names)]);
  h.event = events[data[1] % COUNT(events)];
  h.how = data[2];
  in.len = size - 3;
  in.body = body = xmemdup(data + 3, in.len);
  snprintf(h.proof, sizeof h.proof, "%s%.*s", h.how & 8 ? "sha256=" : "", (int)(in.len < 100 ? strnlen(body, in.len) : 64), body);
  hook_delivery(d, &in, delivery);
  assert(strlen(delivery) <= HOOK_DELIVERY_MAX);
  if (hook_verify(d, &in, "sixteen bytes or so", 19))
    assert(hook_signed(d, &in));
  err = hook_read(d, &in, &r);
  assert(!err == !r.why && r.nevents <= HOOK_EVENTS_MAX);
  assert(err || r.nevents);
  check_text(r.event, HOOK_EVENT_MAX, true);
  check_text(r.repository, HOOK_NAME_MAX, true);
  for (int i = 0; i < r.nevents; i++)
    check_event(&r.events[i]), reached[data[0] % COUNT(names)][r.events[i].kind]++;
  buf_init(&json, BUF_NO_MAX);
  hook_json(&r, &json);
  back = cJSON_Parse(buf_str(&json));
  assert(cJSON_IsArray(back) && cJSON_GetArraySize(back) == r.nevents);
  cJSON_Delete(back);
  buf_free(&json);
  hook_read_free(&r);
  free(body);
  return 0;
}
