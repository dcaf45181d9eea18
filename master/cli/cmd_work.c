/* drover worker clean; and the disk and work folders of drover worker show. */
#include "master/cli/lines.h"
#include "master/cli/work.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/table.h"

/* "412 MiB", "at least 412 MiB", "-" */
static char *size_of(const cJSON *folder)
{
  char size[STR_SIZE_MAX];

  if (!js_has(folder, "bytes"))
    return xstrdup("-");
  return xasprintf("%s%s", js_has(folder, "complete") && !js_true(folder, "complete") ? "at least " : "", str_size_text(js_num(folder, "bytes"), size));
}

/* What is to be known of it beside its size. */
static char *note_of(const cJSON *folder, int64_t now)
{
  const char *state = js_text(folder, "state");
  char due[FMT_MAX];
  int64_t wait = js_num(folder, "due_at") - now;

  if (str_eq(state, "used"))
    return xasprintf("%s%s", js_text(folder, "build"), js_has(folder, "wanted_at") ? ", then it is removed" : "");
  if (str_eq(state, "cleaning"))
    return xstrdup("is being removed");
  if (*js_text(folder, "error"))
    return xasprintf("could not be removed: %s; again %s%s", js_text(folder, "error"), wait > 0 ? "in " : "soon", wait > 0 ? fmt_duration(wait, due) : "");
  return xstrdup(js_has(folder, "wanted_at") ? "is to be removed" : "");
}

void disk_show(struct cli *c, const cJSON *disk)
{
  char has[STR_SIZE_MAX], total[STR_SIZE_MAX], wants[STR_SIZE_MAX];
  int64_t bytes = js_num(disk, "free"), least = js_num(disk, "min_free");

  if (!disk || !js_has(disk, "free"))
    return;
  out_label(c, STYLE_DIM, "disk");
  out(c, bytes < least ? STYLE_BAD : STYLE_NONE, "%s free", str_size_text(bytes, has));
  if (js_has(disk, "total"))
    out(c, STYLE_NONE, " of %s", str_size_text(js_num(disk, "total"), total));
  if (least)
    out(c, STYLE_NONE, ", %s must stay free%s", str_size_text(least, wants), bytes < least ? ": no new builds" : "");
  out_end(c);
}

void work_show(struct cli *c, const cJSON *worker)
{
  static const struct column columns[] = { { "WORK FOLDER", 0 }, { "SIZE", TABLE_RIGHT }, { "LAST USED", 0 }, { "", TABLE_FLEX } };
  const cJSON *folders = js_get(worker, "folders"), *f;
  int64_t now = clock_wall_ms();
  struct table *t;

  if (!cJSON_GetArraySize(folders))
    return;
  t = table_new(columns, COUNT(columns));
  cJSON_ArrayForEach(f, folders)
  {
    char ago[FMT_MAX], *size = size_of(f), *note = note_of(f, now);
    table_cell(t, STYLE_NONE, js_text(f, "path"));
    table_cell(t, STYLE_NONE, size);
    table_cell(t, STYLE_NONE, str_eq(js_text(f, "state"), "used") ? "now" : fmt_ago(js_num(f, "last_used"), now, ago));
    table_cell(t, *js_text(f, "error") ? STYLE_BAD : STYLE_DIM, note);
    free(size);
    free(note);
  }
  lines_all_of(c, t);
}

static void tell_cleaning(struct cli *c, const char *name, const cJSON *answer)
{
  const cJSON *folders = js_get(answer, "folders"), *f;

  if (!cJSON_GetArraySize(folders)) {
    out(c, STYLE_NONE, "%s has no work folders", name);
    out_end(c);
  }
  cJSON_ArrayForEach(f, folders)
  {
    char *size = size_of(f);
    out_label(c, STYLE_NONE, js_has(f, "build") ? "later" : "removing");
    out(c, STYLE_NONE, "%s", js_text(f, "path"));
    if (js_has(f, "bytes"))
      out(c, STYLE_NONE, "  %s", size);
    if (js_has(f, "build"))
      out(c, STYLE_NONE, "  when %s is over", js_text(f, "build"));
    out_end(c);
    free(size);
  }
  if (cJSON_GetArraySize(folders) && !js_true(answer, "connected")) {
    out(c, STYLE_NONE, "%s is away: they go when it is back", name);
    out_end(c);
  }
}

int cmd_worker_clean(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s/clean", arg[0]);
  cJSON *body = cJSON_CreateObject(), *answer;

  (void)a;
  if (narg > 1)
    cJSON_AddStringToObject(body, "builder", arg[1]);
  answer = call_send(c, "POST", path, body);
  free(path);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    tell_cleaning(c, arg[0], answer);
  cJSON_Delete(answer);
  return CLI_OK;
}
