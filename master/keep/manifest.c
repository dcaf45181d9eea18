/* manifest.json, written and read. */
#include "master/keep/manifest.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define NUMBER_MAX ((int64_t)1 << 53) /* what JSON's numbers hold exactly */

bool manifest_name_ok(const char *name)
{
  static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@/";

  if (!*name || name[strspn(name, good)] || strlen(name) > 255)
    return false;
  for (const char *part = name;; part++) {
    size_t n = strcspn(part, "/");
    if (!n || part[0] == '.')
      return false;
    part += n;
    if (!*part)
      return true;
  }
}

struct manifest_file *manifest_add(struct manifest *m, const char *name, const char *path, int mode)
{
  m->files = xrealloc(m->files, (size_t)(m->nfiles + 1) * sizeof *m->files);
  m->files[m->nfiles] = (struct manifest_file){ .name = xstrdup(name), .path = xstrdup(path), .mode = mode };
  return &m->files[m->nfiles++];
}

const struct manifest_file *manifest_file(const struct manifest *m, const char *name)
{
  for (int i = 0; i < m->nfiles; i++)
    if (!strcmp(m->files[i].name, name))
      return &m->files[i];
  return NULL;
}

void manifest_free(struct manifest *m)
{
  for (int i = 0; i < m->nfiles; i++) {
    free(m->files[i].name);
    free(m->files[i].path);
  }
  for (int i = 0; i < m->ntables; i++)
    free(m->tables[i].name);
  free(m->files);
  free(m->tables);
  free(m->version);
  free(m->cluster);
  free(m->postgresql);
  free(m->host);
  free(m->config_file);
  *m = (struct manifest){ 0 };
}

/* ---- writing ---- */

char *manifest_write(const struct manifest *m)
{
  cJSON *o = cJSON_CreateObject(), *files, *tables, *f;
  char mode[16], *text, *lines;

  cJSON_AddNumberToObject(o, "drover_backup", MANIFEST_FORMAT);
  cJSON_AddStringToObject(o, "version", m->version);
  cJSON_AddNumberToObject(o, "schema", m->schema);
  cJSON_AddStringToObject(o, "cluster", m->cluster);
  cJSON_AddNumberToObject(o, "incarnation", (double)m->incarnation);
  cJSON_AddStringToObject(o, "postgresql", m->postgresql);
  cJSON_AddNumberToObject(o, "config", (double)m->config);
  cJSON_AddStringToObject(o, "config_file", m->config_file);
  cJSON_AddNumberToObject(o, "made_ms", (double)m->made_ms);
  cJSON_AddStringToObject(o, "host", m->host);
  cJSON_AddBoolToObject(o, "logs", m->logs);
  cJSON_AddBoolToObject(o, "link_key", m->link_key);
  files = cJSON_AddArrayToObject(o, "files");
  for (int i = 0; i < m->nfiles; i++) {
    cJSON_AddItemToArray(files, f = cJSON_CreateObject());
    cJSON_AddStringToObject(f, "name", m->files[i].name);
    if (m->files[i].path)
      cJSON_AddStringToObject(f, "path", m->files[i].path);
    snprintf(mode, sizeof mode, "%04o", (unsigned)m->files[i].mode);
    cJSON_AddStringToObject(f, "mode", mode);
    cJSON_AddNumberToObject(f, "size", (double)m->files[i].size);
    cJSON_AddStringToObject(f, "sha256", m->files[i].sha256);
  }
  tables = cJSON_AddObjectToObject(o, "tables");
  for (int i = 0; i < m->ntables; i++)
    cJSON_AddNumberToObject(tables, m->tables[i].name, (double)m->tables[i].rows);
  text = cJSON_Print(o);
  cJSON_Delete(o);
  lines = xasprintf("%s\n", text);
  free(text);
  return lines;
}

/* ---- reading ---- */

static bool get_text(const cJSON *o, const char *key, char **out, struct buf *why)
{
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

  if (!cJSON_IsString(v) || !*v->valuestring) {
    buf_addf(why, "\"%s\" is missing or no text", key);
    return false;
  }
  *out = xstrdup(v->valuestring);
  return true;
}

static bool is_number(const cJSON *v, int64_t *out)
{
  if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0) || v->valuedouble > (double)NUMBER_MAX || v->valuedouble != (double)(int64_t)v->valuedouble)
    return false;
  *out = (int64_t)v->valuedouble;
  return true;
}

static bool get_number(const cJSON *o, const char *key, int64_t max, int64_t *out, struct buf *why)
{
  if (is_number(cJSON_GetObjectItemCaseSensitive(o, key), out) && *out <= max)
    return true;
  buf_addf(why, "\"%s\" is missing or no number from 0 to %" PRId64, key, max);
  return false;
}

static bool get_bool(const cJSON *o, const char *key, bool *out, struct buf *why)
{
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

  *out = cJSON_IsTrue(v);
  if (!cJSON_IsBool(v))
    buf_addf(why, "\"%s\" is missing or neither true nor false", key);
  return cJSON_IsBool(v);
}

static bool read_file(struct manifest *m, const cJSON *f, struct buf *why)
{
  char *name = NULL, *sum = NULL, *mode = NULL, *end;
  const cJSON *path = cJSON_GetObjectItemCaseSensitive(f, "path");
  unsigned char hash[32];
  struct manifest_file *file;
  int64_t size;
  bool ok = get_text(f, "name", &name, why) && get_text(f, "sha256", &sum, why) && get_text(f, "mode", &mode, why) &&
            get_number(f, "size", NUMBER_MAX, &size, why);

  if (ok && (!manifest_name_ok(name) || manifest_file(m, name))) {
    buf_addf(why, "a file's name \"%s\" is not one of a backup, or stands twice", name);
    ok = false;
  }
  if (ok && (strlen(sum) != 64 || str_unhex(sum, 64, hash, sizeof hash))) {
    buf_addf(why, "the SHA-256 of %s is none", name);
    ok = false;
  }
  if (ok && path && (!cJSON_IsString(path) || path->valuestring[0] != '/')) {
    buf_addf(why, "the path of %s is not absolute", name);
    ok = false;
  }
  if (ok) {
    long bits = strtol(mode, &end, 8);
    ok = !*end && bits >= 0 && bits <= 0777;
    if (!ok)
      buf_addf(why, "the mode of %s is none", name);
    else {
      file = manifest_add(m, name, path ? path->valuestring : NULL, (int)bits);
      file->size = size;
      snprintf(file->sha256, sizeof file->sha256, "%s", sum);
    }
  }
  free(name);
  free(sum);
  free(mode);
  return ok;
}

static bool read_lists(struct manifest *m, const cJSON *o, struct buf *why)
{
  const cJSON *files = cJSON_GetObjectItemCaseSensitive(o, "files"), *tables = cJSON_GetObjectItemCaseSensitive(o, "tables"), *it;
  int64_t rows;

  if (!cJSON_IsArray(files) || cJSON_GetArraySize(files) > MANIFEST_FILES_MAX || !cJSON_IsObject(tables) || cJSON_GetArraySize(tables) > MANIFEST_TABLES_MAX) {
    buf_adds(why, "\"files\" or \"tables\" is missing or too long");
    return false;
  }
  cJSON_ArrayForEach(it, files)
    if (!read_file(m, it, why))
      return false;
  m->tables = xcalloc((size_t)cJSON_GetArraySize(tables) + 1, sizeof *m->tables);
  cJSON_ArrayForEach(it, tables) {
    if (!is_number(it, &rows)) {
      buf_addf(why, "table %s has no number of rows", it->string);
      return false;
    }
    m->tables[m->ntables++] = (struct manifest_table){ xstrdup(it->string), rows };
  }
  if (!manifest_file(m, MANIFEST_DATABASE) || m->logs != (manifest_file(m, MANIFEST_LOGS) != NULL)) {
    buf_adds(why, "its dumps are not among its files");
    return false;
  }
  return true;
}

static enum err read_all(struct manifest *m, const cJSON *o, struct buf *why)
{
  int64_t format, schema;

  if (!get_number(o, "drover_backup", NUMBER_MAX, &format, why))
    return ERR_SYNTAX;
  if (format != MANIFEST_FORMAT) {
    buf_addf(why, "the backup has format %" PRId64 ", this program knows %d: use the drover-master that made it, or a newer one", format, MANIFEST_FORMAT);
    return ERR_UNKNOWN;
  }
  if (!get_text(o, "version", &m->version, why) || !get_text(o, "cluster", &m->cluster, why) || !get_text(o, "postgresql", &m->postgresql, why) ||
      !get_text(o, "host", &m->host, why) || !get_text(o, "config_file", &m->config_file, why) || !get_number(o, "schema", 1000000, &schema, why) ||
      !get_number(o, "incarnation", NUMBER_MAX, &m->incarnation, why) || !get_number(o, "config", NUMBER_MAX, &m->config, why) ||
      !get_number(o, "made_ms", NUMBER_MAX, &m->made_ms, why) || !get_bool(o, "logs", &m->logs, why) || !get_bool(o, "link_key", &m->link_key, why) ||
      !read_lists(m, o, why))
    return ERR_BADARG;
  m->schema = (int)schema;
  return ERR_OK;
}

enum err manifest_read(struct manifest *m, const char *text, size_t n, struct buf *why)
{
  cJSON *o = n <= MANIFEST_MAX ? cJSON_ParseWithLength(text, n) : NULL;
  enum err e = ERR_SYNTAX;

  *m = (struct manifest){ 0 };
  if (cJSON_IsObject(o))
    e = read_all(m, o, why);
  else
    buf_adds(why, "not a JSON object");
  cJSON_Delete(o);
  return e;
}
