/* drover list …: builders, builds, requests, changes, workers, pools, projects as tables. */
#include "master/cli/lines.h"
#include "master/cli/list.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/show.h"
#include "master/cli/table.h"

/* One list: where it comes from, which filters it knows, how a row is told. */
struct list_kind {
  const char *name;
  uint64_t filters;
  const struct column *columns;
  int ncolumns;
  void (*row)(struct table *t, const cJSON *item);
};

static void ago_cell(struct table *t, const cJSON *item, const char *field)
{
  char text[FMT_MAX];

  table_cell(t, STYLE_NONE, fmt_ago(js_num(item, field), clock_wall_ms(), text));
}

static void duration_cell(struct table *t, const cJSON *item)
{
  char text[FMT_MAX];

  table_cell(t, STYLE_NONE, fmt_duration(js_duration(item, clock_wall_ms()), text));
}

static void revision_cell(struct table *t, const cJSON *item)
{
  char text[FMT_MAX];
  const char *got = js_text(item, "got_revision");

  table_cell(t, STYLE_NONE, fmt_revision(*got ? got : js_text(item, "revision"), text));
}

/* The result, or the state while there is none. */
static void result_cell(struct table *t, const cJSON *item)
{
  int result = js_result(item);

  if (result == FMT_NO_RESULT)
    table_cell(t, STYLE_BUSY, js_text(item, "state"));
  else
    table_cell(t, fmt_result_style(result), fmt_result(result));
}

static void builder_cell(struct table *t, const cJSON *item, const char *name)
{
  table_cellf(t, STYLE_BOLD, "%s/%s", js_text(item, "project"), js_text(item, name));
}

static const struct column builder_columns[] = {
  { "BUILDER", TABLE_FLEX }, { "LAST", 0 }, { "RESULT", 0 }, { "ENDED", 0 }, { "RUNNING", TABLE_RIGHT }, { "WAITING", TABLE_RIGHT } };
static void builder_row(struct table *t, const cJSON *item)
{
  const cJSON *last = js_get(item, "last");
  bool any = js_has(last, "number");

  builder_cell(t, item, "name");
  if (any)
    table_cellf(t, STYLE_NONE, "%lld", (long long)js_num(last, "number"));
  else
    table_cell(t, STYLE_NONE, "");
  table_cell(t, any ? fmt_result_style(js_result(last)) : STYLE_NONE, any ? fmt_result(js_result(last)) : "");
  ago_cell(t, last, "finished");
  table_cellf(t, STYLE_NONE, "%d", cJSON_GetArraySize(js_get(item, "running")));
  table_cellf(t, STYLE_NONE, "%lld", (long long)js_num(item, "pending"));
}

static const struct column build_columns[] = { { "BUILD", 0 },    { "RESULT", 0 },
                                               { "BRANCH", TABLE_FLEX }, { "REVISION", TABLE_FLEX },
                                               { "STARTED", 0 },  { "TIME", TABLE_RIGHT },
                                               { "WORKER", 0 },   { "REASON", TABLE_FLEX } };
static void build_row(struct table *t, const cJSON *item)
{
  table_cell(t, STYLE_BOLD, js_text(item, "id"));
  result_cell(t, item);
  table_cell(t, STYLE_NONE, js_text(item, "branch"));
  revision_cell(t, item);
  ago_cell(t, item, "started");
  duration_cell(t, item);
  table_cell(t, STYLE_NONE, js_text(item, "worker"));
  table_cell(t, STYLE_NONE, *js_text(item, "why") ? js_text(item, "why") : js_text(item, "reason"));
}

static const struct column request_columns[] = { { "REQUEST", 0 }, { "BUILDER", TABLE_FLEX }, { "RESULT", 0 },  { "BRANCH", TABLE_FLEX },
                                                 { "MADE", 0 },    { "BUILDS", TABLE_FLEX },  { "REASON", TABLE_FLEX } };
static void request_row(struct table *t, const cJSON *item)
{
  struct buf builds;

  table_cell(t, STYLE_BOLD, js_text(item, "id"));
  table_cellf(t, STYLE_NONE, "%s/%s", js_text(item, "project"), js_text(item, "builder"));
  result_cell(t, item);
  table_cell(t, STYLE_NONE, js_text(item, "branch"));
  ago_cell(t, item, "created");
  buf_init(&builds, BUF_NO_MAX);
  js_join(item, "builds", " ", &builds);
  table_cell(t, STYLE_NONE, buf_str(&builds));
  buf_free(&builds);
  table_cell(t, STYLE_NONE, *js_text(item, "why") ? js_text(item, "why") : js_text(item, "reason"));
}

static const struct column change_columns[] = { { "CHANGE", 0 },          { "PROJECT", TABLE_FLEX }, { "BRANCH", TABLE_FLEX },
                                                { "REVISION", TABLE_FLEX }, { "AUTHOR", TABLE_FLEX },  { "SEEN", 0 },
                                                { "STATE", 0 },           { "MESSAGE", TABLE_FLEX } };
static void change_row(struct table *t, const cJSON *item)
{
  const char *message = js_text(item, "message"), *state = js_text(item, "state");
  char *of = show_change_of(item);

  table_cell(t, STYLE_BOLD, js_text(item, "id"));
  table_cellf(t, STYLE_NONE, "%s%s%s", js_text(item, "project"), js_has(item, "codebase") ? "/" : "", js_text(item, "codebase"));
  table_cell(t, STYLE_NONE, of);
  free(of);
  revision_cell(t, item);
  table_cell(t, STYLE_NONE, js_text(item, "author"));
  ago_cell(t, item, "created");
  table_cell(t, str_eq(state, "failed") ? STYLE_BAD : STYLE_NONE, state);
  table_cellf(t, STYLE_NONE, "%.*s", (int)strcspn(message, "\n"), message);
}

static const struct column worker_columns[] = { { "WORKER", 0 }, { "STATE", 0 }, { "SLOTS", 0 }, { "RUNS", TABLE_FLEX }, { "POOL", 0 }, { "TAGS", TABLE_FLEX }, { "HOST", TABLE_FLEX } };

static void worker_row(struct table *t, const cJSON *item)
{
  char *state = list_worker_state(item);
  struct buf text;

  table_cell(t, STYLE_BOLD, js_text(item, "name"));
  table_cell(t, list_worker_style(item), state);
  free(state);
  table_cellf(t, STYLE_NONE, "%lld of %lld", (long long)js_num(item, "used"), (long long)js_num(item, "slots"));
  buf_init(&text, BUF_NO_MAX);
  js_join(item, "runs", " ", &text);
  table_cell(t, STYLE_NONE, buf_str(&text));
  buf_reset(&text);
  table_cell(t, STYLE_NONE, js_text(item, "pool"));
  js_join(item, "tags", " ", &text);
  table_cell(t, STYLE_NONE, buf_str(&text));
  buf_reset(&text);
  js_add(item, "facts.host", &text);
  buf_addc(&text, ' ');
  js_add(item, "facts.os", &text);
  buf_addc(&text, ' ');
  js_add(item, "facts.arch", &text);
  table_cell(t, STYLE_NONE, text.len > 2 ? buf_str(&text) : "");
  buf_free(&text);
}

static const struct column pool_columns[] = { { "POOL", 0 }, { "MEMBERS", 0 }, { "CONNECTED", 0 }, { "SLOTS", 0 }, { "TAGS", TABLE_FLEX }, { "TOKEN", 0 } };

static void pool_row(struct table *t, const cJSON *item)
{
  struct buf tags;

  table_cell(t, STYLE_BOLD, js_text(item, "name"));
  if (js_has(item, "max"))
    table_cellf(t, STYLE_NONE, "%lld of %lld", (long long)js_num(item, "count"), (long long)js_num(item, "max"));
  else
    table_cellf(t, STYLE_NONE, "%lld", (long long)js_num(item, "count"));
  table_cellf(t, js_num(item, "connected") ? STYLE_GOOD : STYLE_DIM, "%lld", (long long)js_num(item, "connected"));
  table_cellf(t, STYLE_NONE, "%lld of %lld", (long long)js_num(item, "used"), (long long)(js_num(item, "connected") * js_num(item, "slots")));
  buf_init(&tags, BUF_NO_MAX);
  js_join(item, "tags", " ", &tags);
  table_cell(t, STYLE_NONE, buf_str(&tags));
  buf_free(&tags);
  if (!js_true(item, "configured"))
    table_cell(t, STYLE_WARN, "not in the configuration");
  else if (js_has(item, "token_at"))
    ago_cell(t, item, "token_at");
  else
    table_cell(t, STYLE_WARN, "none yet");
}

static const struct column project_columns[] = { { "PROJECT", TABLE_FLEX }, { "PIPELINE", 0 }, { "POLLED", 0 }, { "BRANCHES", TABLE_FLEX } };
static void looks_row(struct table *t, const char *name, const char *pipeline, const cJSON *item)
{
  const cJSON *head;
  struct buf text;
  char revision[FMT_MAX], next[FMT_MAX];
  int64_t left = js_num(item, "next_look") - clock_wall_ms();

  table_cell(t, STYLE_BOLD, name);
  table_cell(t, STYLE_NONE, pipeline);
  ago_cell(t, item, "looked");
  buf_init(&text, BUF_NO_MAX);
  cJSON_ArrayForEach(head, js_get(item, "heads"))
    buf_addf(&text, "%s%s %s", text.len ? ", " : "", js_text(head, "branch"), fmt_revision(js_text(head, "revision"), revision));
  if (js_has(item, "trouble")) {
    buf_reset(&text);
    buf_adds(&text, js_text(item, "trouble"));
    if (js_num(item, "failures") > 1 && js_has(item, "next_look"))
      buf_addf(&text, " (%d times, the next look in %s)", (int)js_num(item, "failures"), fmt_duration(left > 0 ? left : 0, next));
  }
  table_cell(t, js_has(item, "trouble") ? STYLE_BAD : STYLE_NONE, buf_str(&text));
  buf_free(&text);
}

/* Of several codebases a row each. */
static void project_row(struct table *t, const cJSON *item)
{
  const cJSON *codebases = js_get(item, "codebases"), *it;

  if (!cJSON_GetArraySize(codebases))
    looks_row(t, js_text(item, "name"), js_text(item, "pipeline"), item);
  cJSON_ArrayForEach(it, codebases) {
    char *name = xasprintf("%s/%s", js_text(item, "name"), js_text(it, "name"));
    looks_row(t, name, cJSON_IsTrue(js_get(it, "main")) ? js_text(item, "pipeline") : "", it);
    free(name);
  }
}

#define PAGED (FLAG_BIT(LIMIT) | FLAG_BIT(BEFORE))
static const struct list_kind kinds[] = {
  { "builders", 0, builder_columns, COUNT(builder_columns), builder_row },
  { "builds", PAGED | FLAG_BIT(BUILDER) | FLAG_BIT(STATE) | FLAG_BIT(BRANCH) | FLAG_BIT(BUILDSET), build_columns, COUNT(build_columns), build_row },
  { "requests", PAGED | FLAG_BIT(STATE) | FLAG_BIT(BUILDER) | FLAG_BIT(BUILDSET), request_columns, COUNT(request_columns), request_row },
  { "changes", PAGED | FLAG_BIT(PROJECT) | FLAG_BIT(BRANCH), change_columns, COUNT(change_columns), change_row },
  { "workers", 0, worker_columns, COUNT(worker_columns), worker_row },
  { "pools", 0, pool_columns, COUNT(pool_columns), pool_row },
  { "projects", 0, project_columns, COUNT(project_columns), project_row },
};

void list_table(struct cli *c, const char *kind, const cJSON *items)
{
  for (size_t i = 0; i < COUNT(kinds); i++) {
    struct table *t;
    const cJSON *item;
    if (!str_eq(kinds[i].name, kind))
      continue;
    t = table_new(kinds[i].columns, kinds[i].ncolumns);
    cJSON_ArrayForEach(item, items)
      kinds[i].row(t, item);
    lines_all_of(c, t);
  }
}

/* "builds?builder=…&limit=…"; NULL: told. The caller frees it. */
static char *list_path(struct cli *c, const struct list_kind *k, const struct args *a)
{
  struct buf path;

  buf_init(&path, BUF_NO_MAX);
  buf_addf(&path, "/api/v1/%s", k->name);
  for (int f = 0; f < FLAG_COUNT; f++) {
    const char *value = args_value(a, (enum flag_id)f);
    char *owned = NULL;
    if (!value || !(k->filters >> f & 1))
      continue;
    if (f == FLAG_BUILDER && !(value = owned = call_builder(c, value))) {
      buf_free(&path);
      return NULL;
    }
    if (f == FLAG_BEFORE && *value && strchr("rc", *value))
      value++; /* the list wants the bare number */
    buf_addf(&path, "%c%s=", strchr(buf_str(&path), '?') ? '&' : '?', args_flags[f].name);
    id_encode(&path, value);
    free(owned);
  }
  return buf_take(&path);
}

static void show_more(struct cli *c, const struct list_kind *k, const cJSON *answer)
{
  struct buf next;

  buf_init(&next, BUF_NO_MAX);
  js_add(answer, "next", &next);
  if (next.len && k->filters & FLAG_BIT(BEFORE)) {
    out(c, STYLE_DIM, "older ones: drover list %s --before %s", k->name, buf_str(&next));
    out_end(c);
  }
  buf_free(&next);
}

int cmd_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *name = narg ? arg[0] : "builds", *names[COUNT(kinds)], *near;
  const struct list_kind *k = NULL;
  enum flag_id stranger;
  cJSON *answer;
  char *path;

  for (size_t i = 0; i < COUNT(kinds); i++) {
    names[i] = kinds[i].name;
    if (str_eq(name, kinds[i].name))
      k = &kinds[i];
  }
  if (!k) {
    near = args_nearest(name, names, COUNT(kinds));
    return cli_error(c, CLI_USAGE, "there is no list of \"%s\"%s%s%s", name, near ? " (did you mean " : "", near ? near : "",
                     near ? "?)" : "; builders, builds, requests, changes, workers, pools, projects");
  }
  stranger = args_stranger(a, k->filters | FLAGS_GLOBAL);
  if (stranger != FLAG_COUNT)
    return cli_error(c, CLI_USAGE, "the list of %s takes no --%s", k->name, args_flags[stranger].name);
  if (!(path = list_path(c, k, a)))
    return c->code;
  answer = call_get(c, path);
  free(path);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else if (!cJSON_GetArraySize(js_get(answer, "items"))) {
    out(c, STYLE_NONE, "no %s", k->name);
    out_end(c);
  } else {
    list_table(c, k->name, js_get(answer, "items"));
    show_more(c, k, answer);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_builders(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const char *const builders[] = { "builders" };

  (void)arg, (void)narg;
  return cmd_list(c, a, builders, 1);
}
