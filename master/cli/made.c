/* Requests that were made: told, waited for, or followed. */
#include "master/cli/made.h"

#include "master/cli/follow.h"
#include "master/cli/js.h"

int made_go_on(struct cli *c, const struct args *a, const cJSON *answer)
{
  const cJSON *r;
  struct follow *f;
  struct buf ids;
  int code;

  if (!args_has(a, FLAG_WAIT) && !args_has(a, FLAG_FOLLOW)) {
    if (c->json) {
      out_json(c);
      return CLI_OK;
    }
    buf_init(&ids, BUF_NO_MAX);
    js_join(answer, "requests", " ", &ids);
    out_label(c, STYLE_NONE, "requested");
    out(c, STYLE_BOLD, "%s", buf_str(&ids));
    out(c, STYLE_NONE, " of buildset %s; to see it: drover watch %s", js_text(answer, "buildset"), js_text(answer, "buildset"));
    out_end(c);
    buf_free(&ids);
    return CLI_OK;
  }
  f = follow_new(c, args_has(a, FLAG_FOLLOW) ? FOLLOW_SHOW : FOLLOW_WAIT);
  cJSON_ArrayForEach(r, js_get(answer, "requests"))
    if (cJSON_IsString(r))
      follow_add(f, r->valuestring, 0);
  code = follow_run(f);
  follow_free(f);
  return code;
}
