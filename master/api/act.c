/* Actions: the body is parsed and handed on with the caller's name; what dispatch answers goes back as it is. */
#include "master/api/handlers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/api/auth.h"
#include "master/api/routes.h"

static void on_done(int status, const char *body, void *arg)
{
  struct call *c = arg;

  if (call_release(c))
    call_body_text(c, status, "application/json", body && *body ? body : "{}");
}

/* A form of another site's page can't send this type without asking first. */
static bool is_json(const struct call *c)
{
  const char *type = call_header(c, "Content-Type");
  const char *end = type ? type + strcspn(type, "; ") : NULL;

  return type && end - type == 16 && !strncasecmp(type, "application/json", 16);
}

/* *args: NULL where there is no body. false: answered. */
static bool parse_body(struct call *c, cJSON **args)
{
  const struct buf *b = call_body(c);

  *args = NULL;
  if (!b->len)
    return true;
  if (!is_json(c)) {
    call_error(c, 400, "bad_request", NULL, "a body needs Content-Type: application/json");
    return false;
  }
  *args = utf8_valid(b->data, b->len) && !memchr(b->data, 0, b->len) ? cJSON_ParseWithOpts(b->data, NULL, true) : NULL;
  if (cJSON_IsObject(*args))
    return true;
  cJSON_Delete(*args);
  call_error(c, 400, "bad_request", NULL, "the body is not a JSON object");
  return false;
}

/* The path's {names} as one id, with the letter of its kind. */
static char *id_of(const struct call *c)
{
  enum action a = call_route(c)->action;
  const char *letter = a == ACT_CANCEL_REQUEST || a == ACT_PRIORITY_REQUEST ? "r" : a == ACT_CANCEL_BUILDSET || a == ACT_PRIORITY_BUILDSET ? "s" : "";
  struct buf id;

  buf_init(&id, BUF_NO_MAX);
  if (call_args(c) && *letter && *call_arg(c, 0) >= '0' && *call_arg(c, 0) <= '9')
    buf_adds(&id, letter);
  for (int i = 0; i < call_args(c); i++)
    buf_addf(&id, "%s%s", i ? "/" : "", call_arg(c, i));
  return buf_take(&id);
}

void act_call(struct call *c)
{
  char who[AUTH_WHO_MAX], *id;
  cJSON *args;

  if (!parse_body(c, &args))
    return;
  call_who(c, who, sizeof who);
  id = id_of(c);
  if (call_route(c)->action != ACT_INPUT) /* which comes for each key that is pressed, and tells of itself */
    log_info("api", "%s: %s %s", who, call_route(c)->path, id);
  call_hold(c);
  act_run(call_master(c), call_route(c)->action, id, args, who, on_done, c);
  free(id);
  act_wipe(args);
  cJSON_Delete(args);
  call_wipe_body(c);
}
