/* One request to the API. Failure modes: the master is not there (exit 5), it says no in its own words (the table below), or what
   answers is no drover (exit 3). */
#include "master/cli/call.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/http.h"
#include "master/cli/js.h"

/* Of the last call_try. One call at a time, so one is enough. */
static struct {
  enum err error;  /* of http_*; ERR_OK: status says it */
  int status;
  char *code, *message, *help;
} last;

static void forget_last(void)
{
  free(last.code);
  free(last.message);
  free(last.help);
  memset(&last, 0, sizeof last);
}

static enum call_result failed(enum err e, const char *message)
{
  last.error = e;
  last.message = xstrdup(message);
  return e == ERR_AWAY || e == ERR_TIMEOUT ? CALL_AWAY : CALL_ERROR;
}

static enum err read_text(struct cli *c)
{
  const void *p;
  size_t n;
  enum err e;

  buf_free(&c->text);
  buf_init(&c->text, CALL_TEXT_MAX);
  while (!(e = http_read(c->http, &p, &n, c->call_ms)))
    buf_add(&c->text, p, n);
  if (e == ERR_AGAIN)
    return ERR_TIMEOUT;
  return e != ERR_NOTFOUND ? e : c->text.failed ? ERR_TOOBIG : ERR_OK;
}

static enum call_result take_error(const cJSON *answer)
{
  const char *message = js_text(answer, "error.message"), *help = js_text(answer, "error.help");

  last.code = xstrdup(js_text(answer, "error.code"));
  last.message = *message ? xstrdup(message) : xasprintf("the master answered %d", last.status);
  last.help = *help ? xstrdup(help) : NULL;
  return last.status == 503 ? CALL_AWAY : CALL_ERROR;
}

enum call_result call_try(struct cli *c, const char *method, const char *path, const cJSON *body, cJSON **answer)
{
  char *json = body ? cJSON_PrintUnformatted(body) : NULL;
  enum call_result result;
  enum err e;

  forget_last();
  *answer = NULL;
  e = http_start(c->http, method, path, NULL, json, c->call_ms);
  free(json);
  if (!e) {
    last.status = http_status(c->http);
    e = read_text(c);
  }
  if (e)
    return failed(e, e == ERR_TOOBIG ? "the master's answer is too large" : http_why(c->http));
  *answer = cJSON_ParseWithLength(buf_str(&c->text), c->text.len);
  if (last.status >= 200 && last.status < 300) {
    if (*answer || !c->text.len)
      return CALL_OK;
    return failed(ERR_SYNTAX, "the master's answer is no JSON");
  }
  result = take_error(*answer);
  cJSON_Delete(*answer);
  *answer = NULL;
  return result;
}

static int tell_unreachable(struct cli *c)
{
  bool nonsense = last.error == ERR_SYNTAX || last.error == ERR_TOOBIG || last.error == ERR_CORRUPT;

  cli_error(c, last.error == ERR_BADARG ? CLI_USAGE : nonsense ? CLI_EXCEPTION : CLI_AWAY, "%s", last.message);
  if (last.error == ERR_DENIED)
    cli_hint("root, the service's user and group drover may: adduser YOU drover, then log in again");
  else if (c->code == CLI_AWAY)
    cli_hint("start it (systemctl start drover-master), or name another socket with --socket PATH or DROVER_SOCKET");
  return c->code;
}

static int exit_of_status(void)
{
  return last.status == 503 ? CLI_AWAY : last.status >= 500 ? CLI_EXCEPTION : CLI_USAGE;
}

int call_report(struct cli *c)
{
  if (last.error)
    return tell_unreachable(c);
  cli_error(c, exit_of_status(), "%s", last.message);
  if (last.help)
    cli_hint("%s", last.help);
  return c->code;
}

const char *call_why(struct cli *c)
{
  (void)c;
  return last.message ? last.message : "";
}

const char *call_help(struct cli *c)
{
  (void)c;
  return last.help ? last.help : "";
}

const char *call_code(struct cli *c)
{
  (void)c;
  return last.code ? last.code : "";
}

int call_status(const struct cli *c)
{
  (void)c;
  return last.status;
}

cJSON *call_send(struct cli *c, const char *method, const char *path, const cJSON *body)
{
  cJSON *answer;

  if (call_try(c, method, path, body, &answer) == CALL_OK)
    return answer ? answer : cJSON_CreateObject();
  call_report(c);
  return NULL;
}

cJSON *call_get(struct cli *c, const char *path)
{
  return call_send(c, "GET", path, NULL);
}

static cJSON *get_and_free(struct cli *c, char *path)
{
  cJSON *answer = call_get(c, path);

  free(path);
  return answer;
}

static int64_t number_of(const char *build)
{
  const char *slash = strrchr(build, '/');
  int64_t n = 0;

  return slash && !str_number(slash + 1, strlen(slash + 1), &n) ? n : 0;
}

static cJSON *newest_of_request(struct cli *c, const char *request)
{
  cJSON *r = get_and_free(c, id_path("requests/%s", request));
  const cJSON *b;
  char *newest = NULL;
  cJSON *build = NULL;

  if (!r)
    return NULL;
  cJSON_ArrayForEach(b, js_get(r, "builds"))
    if (cJSON_IsString(b) && (!newest || number_of(b->valuestring) > number_of(newest))) {
      free(newest);
      newest = xstrdup(b->valuestring);
    }
  if (newest)
    build = get_and_free(c, id_path("builds/%p", newest));
  else
    cli_error(c, CLI_USAGE, "request %s has no build yet", request);
  free(newest);
  cJSON_Delete(r);
  return build;
}

int call_show(struct cli *c, cJSON *answer, call_shown *show, const char *name)
{
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    show(c, answer, name);
  cJSON_Delete(answer);
  return CLI_OK;
}

cJSON *call_build(struct cli *c, const struct cli_id *id)
{
  if (id->kind == ID_REQUEST)
    return newest_of_request(c, id->text);
  if (id->kind != ID_BUILD && id->kind != ID_STEP) {
    cli_error(c, CLI_USAGE, "\"%s\" names no build", id->text);
    cli_hint("a build is PROJECT/BUILDER/NUMBER, BUILDER/NUMBER, or …/last");
    return NULL;
  }
  return get_and_free(c, id_path("builds/%p", id->text));
}

/* What call_builder() looks for, and what it met. */
struct search {
  const char *name;      /* with a project, or without */
  cJSON *found, *second; /* the first two that match */
  char **names;          /* of all that were looked at */
  int n;
};

static void look_at(struct search *s, const cJSON *b)
{
  char *id = xasprintf("%s/%s", js_text(b, "project"), js_text(b, "name"));
  cJSON **slot = s->found ? &s->second : &s->found;

  if (str_eq(s->name, strchr(s->name, '/') ? id : js_text(b, "name")) && !*slot)
    *slot = cJSON_Duplicate(b, true);
  s->names = xrealloc(s->names, (size_t)(s->n + 1) * sizeof *s->names);
  s->names[s->n++] = strchr(s->name, '/') ? xstrdup(id) : xstrdup(js_text(b, "name"));
  free(id);
}

static void search_free(struct search *s)
{
  for (int i = 0; i < s->n; i++)
    free(s->names[i]);
  free(s->names);
  cJSON_Delete(s->found);
  cJSON_Delete(s->second);
}

/* The API gives all of them at once. False: it failed, and it was told. */
static bool search_builders(struct cli *c, struct search *s)
{
  cJSON *list = call_get(c, "/api/v1/builders");
  const cJSON *b;

  cJSON_ArrayForEach(b, js_get(list, "items"))
    look_at(s, b);
  if (!list)
    return false;
  cJSON_Delete(list);
  return true;
}

cJSON *call_find_builder(struct cli *c, const char *name)
{
  struct search s = { .name = name };
  cJSON *found;

  c->code = CLI_OK;
  (void)search_builders(c, &s);
  found = s.found;
  s.found = NULL;
  search_free(&s);
  return found;
}

char *call_builder(struct cli *c, const char *name)
{
  struct search s = { .name = name };
  char *id = NULL;

  if (strchr(name, '/'))
    return xstrdup(name);
  if (!search_builders(c, &s)) {
    search_free(&s);
    return NULL;
  }
  if (s.second) {
    cli_error(c, CLI_USAGE, "more than one project has a builder \"%s\": %s/%s, %s/%s", name, js_text(s.found, "project"), name,
              js_text(s.second, "project"), name);
  } else if (s.found) {
    id = xasprintf("%s/%s", js_text(s.found, "project"), name);
  } else {
    const char *near = args_nearest(name, (const char *const *)s.names, s.n);
    if (near)
      cli_error(c, CLI_USAGE, "there is no builder \"%s\" (did you mean %s?)", name, near);
    else
      cli_error(c, CLI_USAGE, "there is no builder \"%s\"; see: drover list builders", name);
  }
  search_free(&s);
  return id;
}
