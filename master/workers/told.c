#include "master/workers/told.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "common/utf8.h"
#include "proto/records.h"

enum { KIB = 1024, FACT_MAX = 4096 };

static int64_t number(const char *facts, size_t n, const char *key, int64_t factor, int64_t max)
{
  const char *s = records_get(facts, n, key);
  int64_t v;

  return s && !str_number(s, strlen(s), &v) && v <= max / factor ? v * factor : -1;
}

static void text(const char *facts, size_t n, const char *key, char out[TOLD_TEXT_MAX])
{
  const char *s = records_get(facts, n, key);
  char *clean = s ? utf8_text(s, strlen(s), TOLD_TEXT_MAX - 1, true) : NULL;

  snprintf(out, TOLD_TEXT_MAX, "%s", clean ? clean : "");
  free(clean);
}

static void word(const char *facts, size_t n, const char *key, char out[TOLD_WORD_MAX])
{
  const char *s = records_get(facts, n, key);

  snprintf(out, TOLD_WORD_MAX, "%s", s && strlen(s) < TOLD_WORD_MAX && strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz.+~-") == strlen(s) ? s : "");
}

/* One of the levels: the first of those whose sign is among the words. */
struct level {
  const char *sign, *name;
};
static const struct level isolations[] = { { "pid", "namespaces" }, { "uid", "users" }, { "wrapper", "wrapper" }, { "plain", "plain" }, { NULL, "" } };
static const struct level cgroups[] = { { "memory", "limits" }, { "processes", "limits" }, { "cpu", "limits" }, { "kill", "kill" }, { "off", "off" }, { NULL, "" } };

static bool has_word(const char *words, const char *word)
{
  size_t n = strlen(word);

  for (; words; words = strchr(words, ',') ? strchr(words, ',') + 1 : NULL)
    if (!strncmp(words, word, n) && (!words[n] || words[n] == ','))
      return true;
  return false;
}

static const char *level(const char *facts, size_t n, const char *key, const struct level *l)
{
  const char *words = records_get(facts, n, key);

  while (l->sign && !has_word(words, l->sign))
    l++;
  return l->name;
}

void told_read(struct told *t, const char *facts, size_t n)
{
  const char *os = records_get(facts, n, "os"), *arch = records_get(facts, n, "arch");

  worker_os(os ? os : "", t->os);
  worker_arch(arch ? arch : "", t->arch);
  if (!os || !arch || !offer_kind(os, arch, t->kind))
    t->kind[0] = 0;
  word(facts, n, "version", t->version);
  word(facts, n, "started", t->started);
  text(facts, n, "release", t->release);
  text(facts, n, "host", t->host);
  t->isolation = level(facts, n, "isolation", isolations);
  t->cgroup = level(facts, n, "cgroup", cgroups);
  t->cores = number(facts, n, "cores", 1, TOLD_CORES_MAX);
  t->memory = number(facts, n, "memory_kib", KIB, INT64_MAX);
}

void told_read_json(struct told *t, const char *json)
{
  cJSON *o = cJSON_Parse(json);
  const cJSON *it;
  struct buf facts;

  buf_init(&facts, BUF_NO_MAX);
  cJSON_ArrayForEach(it, o)
    if (cJSON_IsString(it))
      records_put(&facts, it->string, it->valuestring);
  told_read(t, buf_str(&facts), facts.len);
  buf_free(&facts);
  cJSON_Delete(o);
}

char *told_json(const char *facts, size_t n, const char *features)
{
  static const char *const kept_back[] = { "secret", "key", "machine", "features", "tool" };
  cJSON *json = cJSON_CreateObject();
  char key[RECORDS_KEY_MAX + 1], *text;
  const char *value;
  size_t at = 0;

  while (!records_next(facts, n, &at, key, &value)) {
    bool tells = true;
    for (size_t i = 0; i < COUNT(kept_back); i++)
      tells = tells && strcmp(key, kept_back[i]);
    if (tells) {
      char *clean = utf8_text(value, strlen(value), FACT_MAX, true);
      cJSON_AddStringToObject(json, key, clean);
      free(clean);
    }
  }
  if (features)
    cJSON_AddStringToObject(json, "features", features);
  text = cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  return text;
}
