/* The table of dialects; what a signature has to be; from bytes to JSON. */
#include "master/changes/hooks/hook_int.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"

enum { HEX_HMAC = 2 * SHA256_DIGEST_LENGTH };

static const struct hook_dialect *const dialects[] = { &hook_github, &hook_gitlab, &hook_gitea, &hook_forgejo, &hook_bitbucket };

const struct hook_dialect *hook_find(const char *name)
{
  for (size_t i = 0; i < COUNT(dialects); i++)
    if (str_eq(dialects[i]->name, name))
      return dialects[i];
  return NULL;
}

const char *hook_name(const struct hook_dialect *d)
{
  return d->name;
}

static const char *first_header(const struct hook_in *in, const char *const *names)
{
  for (; *names; names++) {
    const char *value = in->header(in->arg, *names);
    if (value && *value)
      return value;
  }
  return NULL;
}

/* ---- signatures ---- */

/* The value behind the row's prefix; NULL: none, or not of the row's kind. */
static const char *proof(const struct hook_dialect *d, const struct hook_in *in, const struct hook_proof **row)
{
  for (const struct hook_proof *p = d->proofs; p->header; p++) {
    const char *value = in->header(in->arg, p->header);
    if (!value)
      continue;
    *row = p;
    if (!p->before)
      return *value && strlen(value) <= SECRET_MAX ? value : NULL;
    if (!str_starts(value, p->before))
      return NULL;
    value += strlen(p->before);
    return strlen(value) == HEX_HMAC ? value : NULL;
  }
  return NULL;
}

bool hook_signed(const struct hook_dialect *d, const struct hook_in *in)
{
  const struct hook_proof *row;

  return proof(d, in, &row) != NULL;
}

bool hook_verify(const struct hook_dialect *d, const struct hook_in *in, const char *secret, size_t n)
{
  unsigned char want[SHA256_DIGEST_LENGTH], got[SHA256_DIGEST_LENGTH];
  const struct hook_proof *row;
  const char *value = proof(d, in, &row);

  if (!value || n < SECRET_LEAST)
    return false;
  if (row->before) {
    if (str_unhex(value, HEX_HMAC, got, sizeof got) || !HMAC(EVP_sha256(), secret, (int)n, (const unsigned char *)in->body, in->len, want, NULL))
      return false;
  } else { /* hashed, so that not even the length takes another time */
    SHA256((const unsigned char *)secret, n, want);
    SHA256((const unsigned char *)value, strlen(value), got);
  }
  return str_secret_eq(want, got, sizeof want);
}

void hook_delivery(const struct hook_dialect *d, const struct hook_in *in, char out[HOOK_DELIVERY_MAX + 1])
{
  const char *id = first_header(in, d->delivery);
  size_t n = id ? strlen(id) : 0, room = HOOK_DELIVERY_MAX - (d->body_in_id ? SHA256_DIGEST_LENGTH + 1 : 0);
  unsigned char hash[SHA256_DIGEST_LENGTH];
  char hex[2 * SHA256_DIGEST_LENGTH + 1];

  for (size_t i = 0; i < n; i++)
    if (id[i] <= ' ' || id[i] > '~')
      n = 0;
  if (n > room)
    n = 0;
  if (n && !d->body_in_id) {
    memcpy(out, id, n + 1);
    return;
  }
  SHA256((const unsigned char *)in->body, in->len, hash);
  str_hex(hash, n ? SHA256_DIGEST_LENGTH / 2 : SHA256_DIGEST_LENGTH, hex);
  if (n) {
    memcpy(out, id, n);
    out[n++] = '/';
  }
  strcpy(out + n, hex);
}

/* ---- the body ---- */

static int hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The value of `payload` in a form, as GitHub and Gitea send it where they are not told to send JSON. */
static bool form_payload(const struct hook_in *in, struct buf *out)
{
  static const char key[] = "payload=";
  const char *at = in->body, *end = in->body + in->len;

  while (at < end && !(end - at >= (ptrdiff_t)sizeof key - 1 && !memcmp(at, key, sizeof key - 1))) {
    const char *next = memchr(at, '&', (size_t)(end - at));
    at = next ? next + 1 : end;
  }
  if (at == end)
    return false;
  for (at += sizeof key - 1; at < end && *at != '&'; at++) {
    int hi = *at == '%' && end - at > 2 ? hex_digit(at[1]) : -1, lo = hi >= 0 ? hex_digit(at[2]) : -1;
    buf_addc(out, *at == '+' ? ' ' : lo >= 0 ? (char)(hi << 4 | lo) : *at);
    at += lo >= 0 ? 2 : 0;
  }
  return true;
}

static bool too_deep(const char *s, size_t n)
{
  int depth = 0;
  bool in_text = false;

  for (size_t i = 0; i < n; i++) {
    if (in_text && s[i] == '\\')
      i++;
    else if (s[i] == '"')
      in_text = !in_text;
    else if (!in_text && (s[i] == '{' || s[i] == '['))
      depth++;
    else if (!in_text && (s[i] == '}' || s[i] == ']'))
      depth--;
    if (depth > HOOK_DEPTH_MAX)
      return true;
  }
  return false;
}

static bool only_blanks(const char *s, const char *end)
{
  while (s < end && strchr(" \t\r\n", *s) && *s)
    s++;
  return s == end;
}

static cJSON *parse(const char *s, size_t n, struct hook_read *out)
{
  const char *end = NULL;
  cJSON *body;

  if (too_deep(s, n)) {
    hook_bad(out, "is deeper than it may be");
    return NULL;
  }
  body = cJSON_ParseWithLengthOpts(s, n, &end, false);
  if (cJSON_IsObject(body) && only_blanks(end, s + n))
    return body;
  cJSON_Delete(body);
  hook_bad(out, "is not one JSON object");
  return NULL;
}

enum err hook_read(const struct hook_dialect *d, const struct hook_in *in, struct hook_read *out)
{
  static const char form[] = "application/x-www-form-urlencoded";
  const char *type = in->header(in->arg, "Content-Type"), *event = first_header(in, d->event);
  cJSON *body = NULL;
  struct buf payload;

  *out = (struct hook_read){ .event = hook_clean(event ? event : "", HOOK_EVENT_MAX, true) };
  buf_init(&payload, HOOK_BODY_MAX);
  if (!type || strncasecmp(type, form, sizeof form - 1))
    body = parse(in->body, in->len, out);
  else if (form_payload(in, &payload))
    body = parse(buf_str(&payload), payload.len, out);
  else
    hook_bad(out, "is a form without `payload`");
  if (body)
    d->read(out->event, body, out);
  cJSON_Delete(body);
  buf_free(&payload);
  return out->why ? ERR_SYNTAX : ERR_OK;
}

bool hook_is_revision(const char *s)
{
  size_t n = strnlen(s, 65);

  return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n && strspn(s, "0") < n;
}
