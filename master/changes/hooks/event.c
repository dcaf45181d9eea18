/* Events: made of checked names and cleaned texts, and written as JSON for the database. */
#include "master/changes/hooks/hook_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/changes/githelper.h"

enum { PICK_DEPTH = 8 };
#define EXACT_MAX 9007199254740991.0 /* above it a double skips whole numbers */

const cJSON *pick(const cJSON *o, const char *path)
{
  char name[64];

  for (int i = 0; o && i < PICK_DEPTH && *path; i++) {
    size_t n = strcspn(path, ".");
    if (n >= sizeof name)
      return NULL;
    memcpy(name, path, n);
    name[n] = 0;
    o = cJSON_IsObject(o) ? cJSON_GetObjectItemCaseSensitive(o, name) : NULL;
    path += n + (path[n] == '.');
  }
  return o;
}

const char *pick_text(const cJSON *o, const char *path)
{
  const char *s = cJSON_GetStringValue(pick(o, path));

  return s ? s : "";
}

int64_t pick_number(const cJSON *o, const char *path)
{
  const cJSON *it = pick(o, path);

  return cJSON_IsNumber(it) && it->valuedouble >= 1 && it->valuedouble <= EXACT_MAX ? (int64_t)it->valuedouble : 0;
}

bool pick_true(const cJSON *o, const char *path)
{
  return cJSON_IsTrue(pick(o, path));
}

char *hook_clean(const char *s, size_t max, bool line)
{
  static const char instead[] = "\xef\xbf\xbd";
  size_t n = strlen(s);
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  while (n) {
    size_t len = str_utf8(s, n, NULL), skip = !line && n > 1 && s[0] == '\r' && s[1] == '\n';
    bool bad = !len || (len == 1 && ((unsigned char)*s < ' ' || *s == 127) && (line || !strchr("\n\t", *s)));
    size_t add = skip ? 0 : bad ? sizeof instead - 1 : len;
    if (b.len + add > max)
      break;
    buf_add(&b, bad ? instead : s, add);
    s += len ? len : 1;
    n -= len ? len : 1;
  }
  return buf_take(&b);
}

char *hook_person(const char *name, const char *mail)
{
  char *whole = *mail ? xasprintf("%s%s<%s>", name, *name ? " " : "", mail) : xstrdup(name), *clean = hook_clean(whole, HOOK_NAME_MAX, true);

  free(whole);
  return clean;
}

int64_t hook_time(const char *s)
{
  int year, month, day, hour, minute, second, at = 0, zone_h = 0, zone_m = 0;
  char sign = 'Z';
  struct tm tm;

  if (sscanf(s, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &at) != 6 || !at)
    return INT64_MIN;
  s += at;
  if (*s == '.')
    s += 1 + strspn(s + 1, "0123456789");
  s += *s == ' ';
  if (*s == '+' || *s == '-') {
    sign = *s;
    if (sscanf(s + 1, "%2d%*1[:]%2d", &zone_h, &zone_m) != 2 && sscanf(s + 1, "%2d%2d", &zone_h, &zone_m) != 2)
      return INT64_MIN;
  } else if (strcmp(s, "Z") && strcmp(s, "UTC")) {
    return INT64_MIN;
  }
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || zone_h < 0 || zone_h > 23 ||
      zone_m < 0 || zone_m > 59)
    return INT64_MIN;
  tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second };
  return ((int64_t)timegm(&tm) - (sign == '-' ? -1 : 1) * (zone_h * 3600 + zone_m * 60)) * 1000;
}

/* ---- making ---- */

struct hook_event *hook_add(struct hook_read *out, enum hook_kind kind)
{
  struct hook_event *e;

  if (out->nevents == HOOK_EVENTS_MAX) {
    out->cut = true;
    return NULL;
  }
  if (!(out->nevents & (out->nevents - 1))) /* at 0, 1, 2, 4 … */
    out->events = xrealloc(out->events, (size_t)(out->nevents ? 2 * out->nevents : 1) * sizeof *e);
  e = &out->events[out->nevents++];
  *e = (struct hook_event){ .kind = kind };
  return e;
}

void hook_ignore(struct hook_read *out, const char *fmt, ...)
{
  struct hook_event *e = hook_add(out, HOOK_IGNORED);
  va_list ap;
  char *text;

  if (!e)
    return;
  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  e->why = hook_clean(text, HOOK_NAME_MAX, true);
  free(text);
}

void hook_bad(struct hook_read *out, const char *what)
{
  if (!out->why)
    out->why = xasprintf("the body %s", what);
}

/* Whether s says that there is a revision; false with *ok: that there is none. */
static bool there_is(const char *s, bool *ok)
{
  *ok = strspn(s, "0") == strlen(s) || hook_is_revision(s);
  return *ok && hook_is_revision(s);
}

struct hook_event *hook_moved(struct hook_read *out, const char *ref, const char *before, const char *after)
{
  bool tag = str_starts(ref, "refs/tags/"), ok_before, ok_after, was = there_is(before, &ok_before), is = there_is(after, &ok_after);
  const char *name = tag ? ref + 10 : ref + 11;
  struct hook_event *e;

  if (!*ref || !ok_before || !ok_after) {
    hook_bad(out, "does not tell what was pushed");
  } else if (!tag && !str_starts(ref, "refs/heads/")) {
    hook_ignore(out, "%s is neither a branch nor a tag", ref);
  } else if (!gith_is_branch(name)) {
    hook_ignore(out, "%s is a name that is not taken", ref);
  } else if (!was && !is) {
    hook_ignore(out, "%s did not move", ref);
  } else if ((e = hook_add(out, tag ? HOOK_TAG : HOOK_PUSH))) {
    e->branch = xstrdup(name);
    e->previous = was ? xstrdup(before) : NULL;
    e->revision = is ? xstrdup(after) : NULL;
    return e;
  }
  return NULL;
}

static void commit_free(struct hook_commit *c)
{
  for (int i = 0; i < c->nfiles; i++)
    free(c->files[i]);
  free(c->files);
  free(c->revision);
  free(c->author);
  free(c->committer);
  free(c->message);
}

static void add_files(struct hook_commit *c, const cJSON *list)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, list) {
    const char *s = cJSON_GetStringValue(it);
    if (!s || !*s)
      continue;
    if (c->nfiles == HOOK_FILES_MAX || strlen(s) > HOOK_PATH_MAX) {
      c->files_cut = true;
      continue;
    }
    if (!(c->nfiles & (c->nfiles - 1)))
      c->files = xrealloc(c->files, (size_t)(c->nfiles ? 2 * c->nfiles : 1) * sizeof *c->files);
    c->files[c->nfiles++] = hook_clean(s, HOOK_PATH_MAX, true);
  }
}

bool hook_commit_plain(const cJSON *it, struct hook_commit *c)
{
  const char *id = pick_text(it, "id");

  if (!hook_is_revision(id))
    return false;
  c->revision = xstrdup(id);
  c->author = hook_person(pick_text(it, "author.name"), pick_text(it, "author.email"));
  if (pick(it, "committer")) /* GitLab does not tell */
    c->committer = hook_person(pick_text(it, "committer.name"), pick_text(it, "committer.email"));
  c->message = hook_clean(pick_text(it, "message"), HOOK_TEXT_MAX, false);
  c->author_ms = hook_time(pick_text(it, "timestamp"));
  add_files(c, pick(it, "added"));
  add_files(c, pick(it, "modified"));
  add_files(c, pick(it, "removed"));
  return true;
}

static void reverse(struct hook_commit *v, int n)
{
  for (int i = 0; i < n / 2; i++) {
    struct hook_commit c = v[i];
    v[i] = v[n - 1 - i];
    v[n - 1 - i] = c;
  }
}

/* The tip last: moved there, or made where the forge does not tell it. */
static void tip_last(struct hook_event *e)
{
  int at = 0;

  while (at < e->ncommits && strcmp(e->commits[at].revision, e->revision))
    at++;
  if (at < e->ncommits) {
    struct hook_commit tip = e->commits[at];
    memmove(&e->commits[at], &e->commits[at + 1], (size_t)(e->ncommits - at - 1) * sizeof tip);
    e->commits[e->ncommits - 1] = tip;
    return;
  }
  e->commits = xrealloc(e->commits, (size_t)(e->ncommits + 1) * sizeof *e->commits);
  e->commits[e->ncommits++] = (struct hook_commit){ .revision = xstrdup(e->revision), .author_ms = INT64_MIN };
  e->left_out++; /* nothing is known of it */
}

void hook_commits(struct hook_event *e, const cJSON *list, int64_t told, bool (*make)(const cJSON *it, struct hook_commit *c))
{
  int all = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0, i = 0, from = 0, to = all;
  struct hook_commit first = { 0 };
  bool newest_first = false;
  const cJSON *it;

  if (!e->revision)
    return;
  if (all > 1 && make(list->child, &first))
    newest_first = !strcmp(first.revision, e->revision);
  commit_free(&first);
  if (newest_first && all > HOOK_COMMITS_MAX)
    to = HOOK_COMMITS_MAX;
  else if (all > HOOK_COMMITS_MAX)
    from = all - HOOK_COMMITS_MAX;
  e->commits = xcalloc((size_t)(to - from), sizeof *e->commits);
  cJSON_ArrayForEach(it, list) {
    struct hook_commit *c = &e->commits[e->ncommits];
    if (i >= from && i < to) {
      if (make(it, c))
        e->ncommits++;
      else
        e->left_out++;
    }
    i++;
  }
  e->left_out += all - (to - from) + (told > all ? (int)(told - all < 1000000 ? told - all : 1000000) : 0);
  if (newest_first)
    reverse(e->commits, e->ncommits);
  tip_last(e);
}

struct hook_event *hook_pull(struct hook_read *out, int64_t number, const char *into, const char *revision, const char *action)
{
  struct hook_event *e;

  if (!number || !gith_is_revision(revision)) {
    hook_bad(out, "does not tell the pull request's number and revision");
  } else if (!gith_is_branch(into)) {
    hook_ignore(out, "it goes into %s, a name that is not taken", into);
  } else if ((e = hook_add(out, HOOK_PULL))) {
    e->number = number;
    e->branch = xstrdup(into);
    e->revision = xstrdup(revision);
    e->action = xstrdup(action);
    return e;
  }
  return NULL;
}

void hook_pull_ref(struct hook_event *e, const char *before, const char *after)
{
  free(e->ref);
  e->ref = xasprintf("%s%lld%s", before, (long long)e->number, after);
}

struct hook_event *hook_comment(struct hook_read *out, int64_t number, const char *into, const char *revision, const char *text)
{
  struct hook_event *e = hook_add(out, HOOK_COMMENT);

  if (!e)
    return NULL;
  e->number = number;
  e->branch = xstrdup(gith_is_branch(into) ? into : "");
  e->revision = xstrdup(gith_is_revision(revision) ? revision : "");
  e->text = hook_clean(text, HOOK_TEXT_MAX, false);
  return e;
}

void hook_read_free(struct hook_read *r)
{
  for (int i = 0; i < r->nevents; i++) {
    struct hook_event *e = &r->events[i];
    char *own[] = { e->why, e->branch, e->revision, e->previous, e->action, e->title, e->who, e->url, e->text, e->external, e->association, e->head_repository, e->head_branch, e->head_url, e->ref };
    for (size_t k = 0; k < COUNT(own); k++)
      free(own[k]);
    for (int k = 0; k < e->ncommits; k++)
      commit_free(&e->commits[k]);
    free(e->commits);
  }
  free(r->events);
  free(r->event);
  free(r->repository);
  free(r->url);
  free(r->why);
  *r = (struct hook_read){ 0 };
}
