/* The master's messages are records; the host's word is lines among others. */
#include "master/workers/ssh/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf_ssh.h"
#include "proto/records.h"

bool ssh_request_read(struct ssh_request *r, const char *p, size_t n)
{
  const struct { const char *key, **to; } words[] = { { "name", &r->name }, { "user", &r->user }, { "host", &r->host }, { "port", &r->port }, { "dir", &r->dir }, { "key", &r->key } };
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  *r = (struct ssh_request){ .pins = xcalloc(CONF_SSH_PINS_MAX, sizeof *r->pins) };
  for (size_t i = 0; i < COUNT(words); i++)
    if (!(*words[i].to = records_get(p, n, words[i].key)))
      return false;
  r->old_key = records_get(p, n, "old_key");
  while (records_next(p, n, &at, key, &value) == ERR_OK)
    if (!strcmp(key, "pin") && r->npins < CONF_SSH_PINS_MAX)
      r->pins[r->npins++] = value;
  return true;
}

void ssh_request_free(struct ssh_request *r)
{
  free(r->pins);
  *r = (struct ssh_request){ 0 };
}

bool ssh_answer_read(const char *p, size_t n, char sum[SSH_SUM_LEN + 1], int64_t *size)
{
  const char *text = records_get(p, n, "sum"), *number = records_get(p, n, "size");

  *size = 0;
  if (!text || !number || strlen(text) != SSH_SUM_LEN || strspn(text, "0123456789abcdef") != SSH_SUM_LEN || str_number(number, strlen(number), size))
    return false;
  memcpy(sum, text, SSH_SUM_LEN + 1);
  return *size > 0;
}

void ssh_said(const char *text, const char *word, char *out, size_t size)
{
  size_t n = strlen(word);

  *out = 0;
  for (const char *p = text; (p = strstr(p, SSH_MARK)); p += strlen(SSH_MARK)) {
    const char *at = p + strlen(SSH_MARK);
    if (strncmp(at, word, n) || at[n] != ' ')
      continue;
    snprintf(out, size, "%.*s", (int)strcspn(at + n + 1, "\r\n"), at + n + 1);
  }
}

void ssh_said_word(const char *text, const char *word, char out[SSH_WORD_MAX + 1])
{
  ssh_said(text, word, out, SSH_WORD_MAX + 1);
  if (out[strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
    *out = 0;
}
