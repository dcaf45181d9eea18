/* What the dialects make of deliveries, for tests/flow/test_hook_dialects.py: requests on stdin, one line of JSON each on stdout.

   A request: "DIALECT SECRET HEADERS BYTES\n" (SECRET without blanks), so many lines "Name: value\n", so many bytes. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "master/changes/hooks/hook.h"

enum { HEADERS = 32, LINE = 4096 };

struct request {
  char dialect[64], secret[1100];
  int nheaders;
  char headers[HEADERS][LINE];
  char *body;
  size_t len;
};

static const char *header(void *arg, const char *name)
{
  struct request *q = arg;
  size_t n = strlen(name);

  for (int i = 0; i < q->nheaders; i++)
    if (!strncasecmp(q->headers[i], name, n) && q->headers[i][n] == ':')
      return q->headers[i] + n + 2;
  return NULL;
}

static bool read_request(struct request *q)
{
  char line[LINE];

  if (!fgets(line, sizeof line, stdin))
    return false;
  if (sscanf(line, "%63s %1099s %d %zu", q->dialect, q->secret, &q->nheaders, &q->len) != 4 || q->nheaders > HEADERS)
    exit(2);
  for (int i = 0; i < q->nheaders; i++) {
    if (!fgets(q->headers[i], LINE, stdin))
      exit(2);
    q->headers[i][strcspn(q->headers[i], "\n")] = 0;
  }
  q->body = xmalloc(q->len); /* exactly: not even a NUL may be read behind it */
  if (fread(q->body, 1, q->len, stdin) != q->len)
    exit(2);
  return true;
}

static void answer(struct request *q)
{
  struct hook_in in = { header, q, q->body, q->len };
  const struct hook_dialect *d = hook_find(q->dialect);
  char delivery[HOOK_DELIVERY_MAX + 1], *text;
  cJSON *o = cJSON_CreateObject();
  struct hook_read r;
  struct buf json;
  enum err err;

  if (!d)
    exit(2);
  cJSON_AddBoolToObject(o, "signed", hook_signed(d, &in));
  cJSON_AddBoolToObject(o, "good", hook_verify(d, &in, q->secret, strlen(q->secret)));
  hook_delivery(d, &in, delivery);
  cJSON_AddStringToObject(o, "delivery", delivery);
  err = hook_read(d, &in, &r);
  cJSON_AddStringToObject(o, "error", err ? r.why : "");
  cJSON_AddStringToObject(o, "event", r.event);
  cJSON_AddStringToObject(o, "repository", r.repository ? r.repository : "");
  cJSON_AddBoolToObject(o, "cut", r.cut);
  buf_init(&json, BUF_NO_MAX);
  hook_json(&r, &json);
  cJSON_AddRawToObject(o, "events", buf_str(&json));
  text = cJSON_PrintUnformatted(o);
  puts(text);
  fflush(stdout);
  free(text);
  buf_free(&json);
  hook_read_free(&r);
  cJSON_Delete(o);
}

int main(void)
{
  static struct request q;

  while (read_request(&q)) {
    answer(&q);
    free(q.body);
  }
  return 0;
}
