#include "master/steps/report.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/githelper.h"
#include "master/conf/expr_json.h"
#include "master/steps/step.h"
#include "proto/records.h"

enum { TROUBLE_MAX = 300 };

printf_like(2, 3) static bool wrong(struct report *r, const char *fmt, ...)
{
  va_list ap;
  char *text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  free(r->trouble);
  r->trouble = utf8_text(text, strlen(text), TROUBLE_MAX, true);
  free(text);
  return false;
}

/* ---- properties ---- */

static bool is_name(const char *s)
{
  size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

  return n && !s[n] && n <= REPORT_NAME_MAX && !(*s >= '0' && *s <= '9');
}

/* Properties of a build that its checkouts write. */
static const char *const checkouts[] = { "got_revision", "got_revisions" };

static bool is_checkouts(const char *name)
{
  for (size_t i = 0; i < COUNT(checkouts); i++)
    if (!strcmp(name, checkouts[i]))
      return true;
  return false;
}

/* value: taken over. */
static bool set(struct report *r, cJSON *props, const char *name, cJSON *value)
{
  char *text = cJSON_PrintUnformatted(value);
  bool good = false;

  if (!is_name(name))
    (void)wrong(r, "\"%.80s\" is no name of a property: letters, digits and underscores", name);
  else if (is_checkouts(name))
    (void)wrong(r, "the property %s is the checkout's", name);
  else if (!expr_json_ok(value))
    (void)wrong(r, "property %s: a text, a whole number, true or false, or a list of these", name);
  else if (!text || strlen(text) > REPORT_VALUE_MAX)
    (void)wrong(r, "property %s is longer than %d bytes", name, REPORT_VALUE_MAX);
  else
    good = true;
  free(text);
  if (!good) {
    cJSON_Delete(value);
    return false;
  }
  cJSON_DeleteItemFromObjectCaseSensitive(props, name);
  cJSON_AddItemToObject(props, name, value);
  return cJSON_GetArraySize(props) <= REPORT_PROPERTIES_MAX || wrong(r, "more than %d properties", REPORT_PROPERTIES_MAX);
}

/* NAME=VALUE lines; empty ones and those that begin with # don't count. */
static bool take_lines(struct report *r, cJSON *props, const char *text)
{
  bool good = true;
  int n = 0;

  for (const char *p = text; *p && good; p += strcspn(p, "\n"), p += *p == '\n') {
    size_t len = strcspn(p, "\n");
    char *line = xstrndup(p, len && p[len - 1] == '\r' ? len - 1 : len), *eq = strchr(line, '=');
    n++;
    if (*line && *line != '#' && !eq) {
      good = wrong(r, "properties, line %d: NAME=VALUE is wanted", n);
    } else if (*line && *line != '#') {
      *eq = 0;
      good = set(r, props, line, cJSON_CreateString(eq + 1));
    }
    free(line);
  }
  return good;
}

static bool take_json(struct report *r, cJSON *props, const char *text)
{
  cJSON *json = cJSON_Parse(text), *it;
  bool good = cJSON_IsObject(json) || wrong(r, "properties.json is no JSON object");

  while (good && (it = cJSON_DetachItemFromArray(json, 0))) {
    char *name = it->string;
    it->string = NULL;
    good = set(r, props, name, it);
    cJSON_free(name);
  }
  cJSON_Delete(json);
  return good;
}

static bool take_properties(struct report *r, const char *lines, const char *json, const char *before)
{
  cJSON *props = cJSON_CreateObject(), *all = cJSON_Parse(before ? before : "{}"), *it;
  bool good = (!lines || take_lines(r, props, lines)) && (!json || take_json(r, props, json));

  if (good && cJSON_GetArraySize(props)) {
    cJSON_ArrayForEach(it, props) {
      cJSON_DeleteItemFromObjectCaseSensitive(all, it->string);
      cJSON_AddItemToObject(all, it->string, cJSON_Duplicate(it, true));
    }
    r->properties = cJSON_PrintUnformatted(props);
    r->all = cJSON_PrintUnformatted(all);
    if (strlen(r->all) > REPORT_BUILD_MAX)
      good = wrong(r, "the build has more than %u KiB of properties", REPORT_BUILD_MAX >> 10);
  }
  cJSON_Delete(props);
  cJSON_Delete(all);
  return good;
}

/* ---- summary and links ---- */

/* The first line that says something; control characters out. */
static bool take_summary(struct report *r, const char *text)
{
  size_t n;

  text += strspn(text, " \t\r\n");
  n = strcspn(text, "\r\n");
  if (n)
    r->summary = utf8_text(text, n, REPORT_SUMMARY_MAX, true);
  return true;
}

static bool is_url(const char *s)
{
  const char *rest = str_starts(s, "https://") ? s + 8 : str_starts(s, "http://") ? s + 7 : "";

  for (const char *p = s; *p; p++)
    if ((unsigned char)*p <= 0x20 || (unsigned char)*p == 0x7f || strchr("\"<>\\^`{|}", *p))
      return false;
  return *rest && *rest != '/' && strlen(s) <= REPORT_URL_MAX;
}

/* NAME URL: the address is what stands behind the last blank. */
static bool take_links(struct report *r, const char *text)
{
  cJSON *list = cJSON_CreateArray(), *o;
  bool good = true;
  int n = 0;

  for (const char *p = text; *p && good; p += strcspn(p, "\n"), p += *p == '\n') {
    size_t len = strcspn(p, "\n");
    char *line = xstrndup(p, len && p[len - 1] == '\r' ? len - 1 : len), *blank = strrchr(line, ' '), *name;
    n++;
    if (!*line || *line == '#') {
      free(line);
      continue;
    }
    if (!blank || blank == line || !is_url(blank + 1)) {
      good = wrong(r, "links, line %d: a name and an http or https address are wanted", n);
    } else if (cJSON_GetArraySize(list) == REPORT_LINKS_MAX) {
      good = wrong(r, "more than %d links", REPORT_LINKS_MAX);
    } else {
      name = utf8_text(line, (size_t)(blank - line), REPORT_LINK_NAME_MAX, true);
      o = cJSON_CreateObject();
      cJSON_AddStringToObject(o, "name", name);
      cJSON_AddStringToObject(o, "url", blank + 1);
      cJSON_AddItemToArray(list, o);
      free(name);
    }
    free(line);
  }
  if (good && cJSON_GetArraySize(list))
    r->links = cJSON_PrintUnformatted(list);
  cJSON_Delete(list);
  return good;
}

/* ---- stamps ---- */

/* What is fetched is always named in full: a short one may mean another commit tomorrow. */
bool report_is_revision(enum vcs vcs, const char *s)
{
  return vcs < VCS_COUNT && (gith_is_full(vcs, s) || (vcs == VCS_GIT && gith_is_revision(s) && strlen(s) == 64));
}

/* CODEBASE REVISION [BRANCH]. branch: of Subversion that which is built, where the line has none. */
static bool take_stamp(struct report *r, const struct build_ctx *c, cJSON *list, char *line, int n)
{
  char *rest, *name = strtok_r(line, " ", &rest), *revision = strtok_r(NULL, " ", &rest), *branch = strtok_r(NULL, " ", &rest);
  const struct build_stamp *t = name ? build_stamp_of(c, name) : NULL;
  cJSON *o;

  if (!revision || strtok_r(NULL, " ", &rest))
    return wrong(r, "stamps, line %d: a codebase, a revision and perhaps a branch are wanted", n);
  if (!t)
    return wrong(r, "stamps, line %d: the build has no codebase \"%.80s\"", n, name);
  if (!report_is_revision(t->vcs, revision))
    return wrong(r, "stamps, line %d: this is no whole revision of %s: %.80s", n, name, revision);
  if (branch && !gith_is_branch(branch))
    return wrong(r, "stamps, line %d: this is no branch: %.80s", n, branch);
  if (cJSON_GetArraySize(list) == REPORT_STAMPS_MAX)
    return wrong(r, "more than %d stamps", REPORT_STAMPS_MAX);
  o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "codebase", name);
  cJSON_AddStringToObject(o, "revision", revision);
  cJSON_AddStringToObject(o, "branch", branch ? branch : vcs_is_svn(t->vcs) ? t->branch : "");
  cJSON_AddItemToArray(list, o);
  return true;
}

static bool take_stamps(struct report *r, const struct build_ctx *c, const char *text)
{
  cJSON *list = cJSON_CreateArray();
  bool good = c->nstamps || wrong(r, "stamps: the project has one repository; report a property, and give it as `revision`");
  int n = 0;

  for (const char *p = text; *p && good; p += strcspn(p, "\n"), p += *p == '\n') {
    size_t len = strcspn(p, "\n");
    char *line = xstrndup(p, len && p[len - 1] == '\r' ? len - 1 : len);
    n++;
    if (*line && *line != '#')
      good = take_stamp(r, c, list, line, n);
    free(line);
  }
  if (good && cJSON_GetArraySize(list))
    r->stamps = cJSON_PrintUnformatted(list);
  cJSON_Delete(list);
  return good;
}

char *report_before(const char *properties)
{
  cJSON *json = cJSON_Parse(properties);
  char *s = NULL;

  for (size_t i = 0; i < COUNT(checkouts); i++)
    cJSON_DeleteItemFromObjectCaseSensitive(json, checkouts[i]);
  if (cJSON_IsObject(json) && json->child)
    s = cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  return s;
}

/* All but the trouble. */
static void drop(struct report *r)
{
  struct report left = { .trouble = r->trouble, .has_nodes = r->has_nodes };

  r->trouble = NULL;
  report_free(r);
  *r = left;
}

void report_parse(const char *blob, size_t n, const struct build_ctx *c, struct report *out)
{
  const char *bad, *summary, *links, *stamps;
  bool good;

  memset(out, 0, sizeof *out);
  if (!records_valid(blob, n)) {
    (void)wrong(out, "what the worker sent is no report");
    return;
  }
  out->has_nodes = records_get(blob, n, "nodes") != NULL;
  if ((bad = records_get(blob, n, "bad"))) {
    (void)wrong(out, "%s", bad);
    return;
  }
  summary = records_get(blob, n, "summary");
  links = records_get(blob, n, "links");
  stamps = records_get(blob, n, "stamps");
  good = (utf8_valid(blob, n) || wrong(out, "it is no UTF-8")) && take_properties(out, records_get(blob, n, "properties"), records_get(blob, n, "properties_json"), c->reported) &&
         (!summary || take_summary(out, summary)) && (!links || take_links(out, links)) && (!stamps || take_stamps(out, c, stamps));
  if (good && out->has_nodes)
    out->nodes = xstrdup(records_get(blob, n, "nodes"));
  if (!good)
    drop(out);
}

void report_refuse(struct report *r, const char *why)
{
  drop(r);
  free(r->trouble);
  r->trouble = utf8_text(why, strlen(why), REPORT_TROUBLE_MAX, false);
}

void report_free(struct report *r)
{
  free(r->properties);
  free(r->all);
  free(r->links);
  free(r->stamps);
  free(r->summary);
  free(r->nodes);
  free(r->trouble);
  *r = (struct report){ 0 };
}
