/* drover doctor: the master's own checks, or, where it does not answer, what this host shows of it. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/look.h"

static enum style style_of(const char *level)
{
  return str_eq(level, "fail") ? STYLE_BAD : str_eq(level, "warn") ? STYLE_WARN : str_eq(level, "ok") ? STYLE_GOOD : STYLE_DIM;
}

/* "ok        ports (7420, 7421), clock (±1 ms), …": everything that is well on lines of its own, as wide as the terminal. */
static void show_all(struct cli *c, const cJSON *checks, const char *level)
{
  const cJSON *check;
  int used = 0;

  cJSON_ArrayForEach(check, checks) {
    char *item;
    int width;

    if (!str_eq(js_text(check, "level"), level))
      continue;
    item = *js_text(check, "text") ? xasprintf("%s (%s)", js_text(check, "name"), js_text(check, "text")) : xstrdup(js_text(check, "name"));
    width = fmt_width(item) + 2;
    if (used && c->width && used + width > c->width) {
      out(c, STYLE_NONE, ",");
      out_end(c);
      used = 0;
    }
    if (!used) {
      out_label(c, style_of(level), level);
      used = 10;
    } else {
      out(c, STYLE_NONE, ", ");
    }
    out(c, STYLE_NONE, "%s", item);
    used += width;
    free(item);
  }
  if (used)
    out_end(c);
}

/* One each, with what to do below it. */
static void show_each(struct cli *c, const cJSON *checks, const char *level)
{
  const cJSON *check;

  cJSON_ArrayForEach(check, checks) {
    if (!str_eq(js_text(check, "level"), level))
      continue;
    out_label(c, style_of(level), level);
    out(c, STYLE_BOLD, "%s", js_text(check, "name"));
    if (strchr(js_text(check, "text"), '\n')) {
      out_end(c);
      out_block(c, 10, js_text(check, "text"));
    } else {
      out(c, STYLE_NONE, ": %s", js_text(check, "text"));
      out_end(c);
    }
    if (js_has(check, "todo"))
      out_block(c, 10, js_text(check, "todo"));
  }
}

static void show(struct cli *c, const cJSON *doctor)
{
  static const char *const each[] = { "fail", "warn" };
  const cJSON *checks = js_get(doctor, "checks");

  show_all(c, checks, "ok");
  for (size_t i = 0; i < COUNT(each); i++)
    show_each(c, checks, each[i]);
  show_all(c, checks, "unknown");
}

/* Is this command line of the master's version? */
static void add_own(struct cli *c, cJSON *doctor)
{
  cJSON *status, *checks = cJSON_GetObjectItemCaseSensitive(doctor, "checks"), *check;
  const char *version;
  char *text;

  if (call_try(c, "GET", "/api/v1/status", NULL, &status) != CALL_OK)
    return;
  version = js_text(status, "version");
  if (str_eq(version, DROVER_VERSION)) {
    check = look_check("command line", "ok", DROVER_VERSION, NULL);
  } else {
    text = xasprintf("this is drover %s, the master is %s", DROVER_VERSION, version);
    check = look_check("command line", "warn", text, "install the master's version here too; if the package is newer, restart the master");
    free(text);
    if (str_eq(js_text(doctor, "level"), "ok"))
      cJSON_ReplaceItemInObjectCaseSensitive(doctor, "level", cJSON_CreateString("warn"));
  }
  cJSON_AddItemToArray(checks, check);
  cJSON_Delete(status);
}

static cJSON *from_here(struct cli *c)
{
  cJSON *doctor = cJSON_CreateObject();

  cJSON_AddStringToObject(doctor, "level", "fail");
  cJSON_AddItemToObject(doctor, "checks", look_around(c, call_why(c)));
  return doctor;
}

static void print_json(struct cli *c, const cJSON *doctor)
{
  char *text = cJSON_PrintUnformatted(doctor);

  buf_reset(&c->text);
  buf_adds(&c->text, text);
  out_json(c);
  free(text);
}

int cmd_doctor(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *doctor;
  enum call_result result = call_try(c, "GET", "/api/v1/doctor", NULL, &doctor);
  bool away = result == CALL_AWAY || call_status(c) == 0;
  int code;

  (void)a, (void)arg, (void)narg;
  if (result != CALL_OK && !away)
    return call_report(c);
  if (result == CALL_OK)
    add_own(c, doctor);
  else
    doctor = from_here(c);
  if (c->json)
    print_json(c, doctor);
  else
    show(c, doctor);
  code = result != CALL_OK ? CLI_AWAY : str_eq(js_text(doctor, "level"), "fail") ? CLI_EXCEPTION : CLI_OK;
  if (result != CALL_OK && !c->json) {
    out_label(c, STYLE_DIM, "unknown");
    out(c, STYLE_NONE, "everything else: the master was not reached");
    out_end(c);
  }
  cJSON_Delete(doctor);
  return code;
}
