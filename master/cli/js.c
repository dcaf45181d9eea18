/* Reading the API's JSON. */
#include "master/cli/js.h"

#include <string.h>

#include "common/str.h"
#include "master/cli/fmt.h"

#define JS_NAME_MAX 64
#define JS_EXACT 9007199254740992.0 /* 2^53: beyond it a double is no whole number for sure */

const cJSON *js_get(const cJSON *o, const char *path)
{
  char name[JS_NAME_MAX];

  while (o) {
    size_t n = strcspn(path, ".");
    if (n >= sizeof name)
      return NULL;
    memcpy(name, path, n);
    name[n] = 0;
    o = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!path[n])
      break;
    path += n + 1;
  }
  return o;
}

const char *js_text(const cJSON *o, const char *path)
{
  const char *s = cJSON_GetStringValue(js_get(o, path));

  return s ? s : "";
}

int64_t js_num(const cJSON *o, const char *path)
{
  const cJSON *v = js_get(o, path);

  if (!cJSON_IsNumber(v) || v->valuedouble > JS_EXACT || v->valuedouble < -JS_EXACT)
    return 0;
  return (int64_t)v->valuedouble;
}

bool js_true(const cJSON *o, const char *path)
{
  return cJSON_IsTrue(js_get(o, path));
}

bool js_has(const cJSON *o, const char *path)
{
  const cJSON *v = js_get(o, path);

  return v && !cJSON_IsNull(v);
}

int js_result(const cJSON *o)
{
  return cJSON_IsNumber(js_get(o, "result")) ? (int)js_num(o, "result") : FMT_NO_RESULT;
}

bool js_done(const cJSON *o)
{
  return str_eq(js_text(o, "state"), "done");
}

int64_t js_duration(const cJSON *o, int64_t now_ms)
{
  if (js_has(o, "duration"))
    return js_num(o, "duration");
  if (!js_has(o, "started"))
    return -1;
  if (js_has(o, "finished"))
    return js_num(o, "finished") - js_num(o, "started");
  return now_ms > js_num(o, "started") ? now_ms - js_num(o, "started") : 0;
}

static void add_value(const cJSON *v, struct buf *out)
{
  if (cJSON_IsString(v))
    buf_adds(out, v->valuestring);
  else if (cJSON_IsNumber(v))
    buf_addf(out, "%.15g", v->valuedouble);
}

void js_add(const cJSON *o, const char *path, struct buf *out)
{
  add_value(js_get(o, path), out);
}

void js_join(const cJSON *o, const char *path, const char *between, struct buf *out)
{
  const cJSON *list = js_get(o, path), *v;
  bool first = true;

  cJSON_ArrayForEach(v, list)
  {
    if (!first)
      buf_adds(out, between);
    first = false;
    add_value(v, out);
  }
}
