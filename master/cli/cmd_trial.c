/* drover config try: what another configuration would have made of the last changes. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/cmd_config.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/conf/conf.h"

enum { MESSAGE_SHOWN = 60, BODY_MAX = 1 << 20 }; /* bytes of a change's first line; of a question, as the API takes it */

/* ---- the question ---- */

/* False: told. */
static bool add_site(cJSON *body, const char *file)
{
  struct diags d;
  struct conf *conf;

  diag_init(&d);
  conf = conf_load(file, &d);
  config_print_diags(&d);
  diag_free(&d);
  if (!conf)
    return false;
  cJSON_AddStringToObject(body, "site", conf->text);
  conf_free(conf);
  return true;
}

/* The master checks it; nothing is read of it here. */
static bool add_pipeline(struct cli *c, cJSON *body, const char *file)
{
  char *text = config_read_text(c, file);

  if (!text)
    return false;
  cJSON_AddStringToObject(body, "pipeline", text);
  free(text);
  return true;
}

/* The master would cut the connection, and say nothing that helps. */
static bool fits(struct cli *c, const cJSON *body)
{
  char *text = cJSON_PrintUnformatted(body);
  size_t n = strlen(text);

  free(text);
  if (n > BODY_MAX)
    cli_error(c, CLI_USAGE, "it is larger than the master takes, %d KiB: put it among the master's files, and try them without naming any", BODY_MAX >> 10);
  return n <= BODY_MAX;
}

static bool add_file(struct cli *c, cJSON *body, const char *file, bool sure)
{
  char *site = config_site_of(file, sure);
  bool ok = (site ? add_site(body, site) : add_pipeline(c, body, file)) && fits(c, body);

  free(site);
  return ok;
}

/* ---- the answer ---- */

static bool has(const cJSON *names, const char *name)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, names)
    if (str_eq(cJSON_GetStringValue(it), name))
      return true;
  return false;
}

static void show_names(struct cli *c, const cJSON *names, const cJSON *marked, const char *mark, enum style style)
{
  const cJSON *it;
  bool first = true;

  cJSON_ArrayForEach(it, names) {
    bool is_marked = has(marked, cJSON_GetStringValue(it));
    out(c, STYLE_NONE, first ? " " : ", ");
    out(c, is_marked ? style : STYLE_NONE, "%s%s", is_marked ? mark : "", cJSON_GetStringValue(it));
    first = false;
  }
}

/* "commits waits 30s", "review cancels what older changes still do" */
static void show_ways(struct cli *c, const cJSON *item)
{
  const cJSON *v;
  char time[STR_DURATION_MAX];

  cJSON_ArrayForEach(v, js_get(item, "verdicts")) {
    if (str_eq(js_text(v, "verdict"), "no"))
      continue;
    if (js_num(v, "stable"))
      out(c, STYLE_DIM, "; %s waits %s", js_text(v, "scheduler"), str_duration_text(js_num(v, "stable"), time));
    if (js_true(v, "supersede"))
      out(c, STYLE_DIM, "; %s cancels what older changes still do", js_text(v, "scheduler"));
    if (js_num(v, "collapse"))
      out(c, STYLE_DIM, "; %s puts together with it what waits for older changes", js_text(v, "scheduler"));
  }
}

/* What a scheduler would not build, unless another one would. */
static void show_refusal(struct cli *c, const cJSON *item, const cJSON *v)
{
  const cJSON *it, *would = js_get(item, "would");
  struct buf names;

  if (!str_eq(js_text(v, "verdict"), "no") || str_eq(js_text(v, "rule"), "kind"))
    return;
  buf_init(&names, BUF_NO_MAX);
  cJSON_ArrayForEach(it, js_get(v, "builders"))
    if (!has(would, cJSON_GetStringValue(it)))
      buf_addf(&names, "%s%s", names.len ? ", " : "", cJSON_GetStringValue(it));
  if (names.len || str_eq(js_text(v, "rule"), "gone")) {
    out(c, STYLE_NONE, "      would not: %s because %s", names.len ? buf_str(&names) : js_text(v, "scheduler"), js_text(v, "why"));
    out(c, STYLE_DIM, " (%s)", js_text(v, "scheduler"));
    out_end(c);
  }
  buf_free(&names);
}

static void show_change(struct cli *c, const cJSON *item)
{
  const cJSON *v, *added = js_get(item, "added"), *dropped = js_get(item, "dropped");
  const char *message = js_text(item, "message");
  bool known = js_true(item, "known"), differs = known && (cJSON_GetArraySize(added) || cJSON_GetArraySize(dropped));
  char revision[FMT_MAX];
  size_t n = strcspn(message, "\n");

  if (n > MESSAGE_SHOWN)
    n = fmt_fit(message, MESSAGE_SHOWN);
  out(c, differs ? STYLE_WARN : STYLE_NONE, "%s ", differs ? "~" : known ? " " : "?");
  out(c, STYLE_BOLD, "%s", js_text(item, "change"));
  out(c, STYLE_NONE, " %s %s %s %.*s", js_text(item, "project"), js_text(item, "branch"), fmt_revision(js_text(item, "revision"), revision), (int)n, message);
  out_end(c);
  if (js_has(item, "note")) {
    out(c, STYLE_NONE, "      %s", js_text(item, "note"));
    out_end(c);
  }
  if (!known)
    return;
  out(c, STYLE_NONE, "      would build:");
  if (cJSON_GetArraySize(js_get(item, "would")))
    show_names(c, js_get(item, "would"), added, "+", STYLE_GOOD);
  else
    out(c, STYLE_NONE, " nothing");
  show_ways(c, item);
  out_end(c);
  if (cJSON_GetArraySize(dropped)) {
    out(c, STYLE_NONE, "      was built:");
    show_names(c, dropped, dropped, "-", STYLE_BAD);
    out_end(c);
  }
  cJSON_ArrayForEach(v, js_get(item, "verdicts"))
    show_refusal(c, item, v);
}

static void show_sum(struct cli *c, const cJSON *answer)
{
  long long changes = (long long)js_num(answer, "sum.changes"), differ = (long long)js_num(answer, "sum.differ"), unknown = (long long)js_num(answer, "sum.unknown");

  out(c, differ ? STYLE_WARN : STYLE_GOOD, "%lld change%s: %lld would be decided otherwise", changes, changes == 1 ? "" : "s", differ);
  out(c, STYLE_NONE, ", %lld builds, there were %lld", (long long)js_num(answer, "sum.would"), (long long)js_num(answer, "sum.did"));
  if (unknown)
    out(c, STYLE_NONE, "; %lld not known", unknown);
  out_end(c);
}

int cmd_config_try(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *last = args_value(a, FLAG_LAST), *project = args_value(a, FLAG_PROJECT);
  cJSON *body = cJSON_CreateObject(), *answer = NULL;
  const cJSON *item;
  int64_t n;

  if (last && str_number(last, strlen(last), &n)) {
    cJSON_Delete(body);
    return cli_error(c, CLI_USAGE, "--last wants a number, got \"%s\"", last);
  }
  if (last)
    cJSON_AddNumberToObject(body, "last", (double)n);
  if (project)
    cJSON_AddStringToObject(body, "project", project);
  if ((narg || args_has(a, FLAG_SITE)) && !add_file(c, body, narg ? arg[0] : CONFIG_SITE, args_has(a, FLAG_SITE))) {
    cJSON_Delete(body);
    return CLI_USAGE;
  }
  if (call_try(c, "POST", "/api/v1/config/try", body, &answer) != CALL_OK) {
    cJSON_Delete(body);
    if (call_status(c) != 400 || !*call_help(c))
      return call_report(c);
    config_print_safe(call_help(c));
    return cli_error(c, CLI_USAGE, "%s", call_why(c));
  }
  cJSON_Delete(body);
  if (c->json) {
    out_json(c);
  } else {
    cJSON_ArrayForEach(item, js_get(answer, "items"))
      show_change(c, item);
    show_sum(c, answer);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}
