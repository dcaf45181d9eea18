/* Join tokens: HOST:PORT[,…]#spki-sha256:HEX[,…]#name:secret, of a pool #pool/name:secret. */
#include "proto/token.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define PIN_PREFIX "spki-sha256:"
#define UNIX_PREFIX "unix:"

enum {
  HOST_MAX = 255,
  PATH_LENGTH_MAX = 107, /* sun_path without its NUL */
  SECRET_MIN = 32,
  SECRET_MAX = 64
};

static bool all_of(const char *s, size_t n, const char *more)
{
  for (size_t i = 0; i < n; i++) {
    char c = s[i];
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alnum && (!c || !strchr(more, c)))
      return false;
  }
  return true;
}

static bool is_path(const char *s, size_t n)
{
  if (n < 1 || n > PATH_LENGTH_MAX)
    return false;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] <= ' ' || s[i] == 127 || s[i] == ',' || s[i] == '#')
      return false;
  return true;
}

/* A name or IPv4 address without colons, an IPv6 address (with its zone) with them. */
static bool is_host(const char *s, size_t n)
{
  if (n < 1 || n > HOST_MAX)
    return false;
  return all_of(s, n, ".-_") || (memchr(s, ':', n) && all_of(s, n, ".:%-_"));
}

static bool is_port(const char *s, size_t n)
{
  int64_t port;
  return n <= 5 && str_number(s, n, &port) == ERR_OK && port >= 1 && port <= 65535;
}

static enum err address_parse(const char *s, size_t n, struct token_address *a)
{
  const char *host = s, *colon = str_last(s, n, ':');
  size_t k, p;

  memset(a, 0, sizeof *a);
  k = strlen(UNIX_PREFIX);
  if (n > k && !memcmp(s, UNIX_PREFIX, k)) {
    if (!is_path(s + k, n - k))
      return ERR_SYNTAX;
    a->is_unix = true;
    a->host = xstrndup(s + k, n - k);
    return ERR_OK;
  }
  if (!colon)
    return ERR_SYNTAX;
  k = (size_t)(colon - s);
  p = n - k - 1;
  if (k >= 2 && s[0] == '[' && s[k - 1] == ']') {
    host++;
    k -= 2;
    if (!memchr(host, ':', k))
      return ERR_SYNTAX;
  } else if (memchr(host, ':', k)) {
    return ERR_SYNTAX; /* without brackets nobody can tell the port */
  }
  if (!is_host(host, k) || !is_port(colon + 1, p))
    return ERR_SYNTAX;
  a->host = xstrndup(host, k);
  memcpy(a->port, colon + 1, p);
  return ERR_OK;
}

enum err token_address_parse(const char *s, struct token_address *a)
{
  return address_parse(s, strlen(s), a);
}

/* The next item of a comma list [*s, end): its length; *s moves past it, to NULL after the last one. */
static size_t next_item(const char **s, const char *end)
{
  const char *comma = memchr(*s, ',', (size_t)(end - *s));
  size_t n = (size_t)((comma ? comma : end) - *s);

  *s = comma ? comma + 1 : NULL;
  return n;
}

static const char *parse_addresses(const char *s, const char *end, struct token *t)
{
  while (s) {
    const char *item = s;
    size_t n = next_item(&s, end);
    if (t->addresses == TOKEN_ADDRESSES_MAX)
      return "too many addresses";
    if (address_parse(item, n, &t->address[t->addresses]))
      return "an address is not HOST:PORT or unix:PATH";
    t->addresses++;
  }
  return NULL;
}

static const char *parse_pins(const char *s, const char *end, struct token *t)
{
  size_t k = strlen(PIN_PREFIX);

  if (s == end) {
    for (int i = 0; i < t->addresses; i++)
      if (!t->address[i].is_unix)
        return "the key's fingerprint is missing";
    return NULL;
  }
  while (s) {
    const char *item = s;
    size_t n = next_item(&s, end);
    if (t->pins == TOKEN_PINS_MAX)
      return "too many fingerprints";
    if (n < k || memcmp(item, PIN_PREFIX, k) || str_unhex(item + k, n - k, t->pin[t->pins], sizeof t->pin[0]))
      return "a fingerprint is not spki-sha256: and 64 hex digits";
    t->pins++;
  }
  return NULL;
}

static const char *parse_name(const char *s, const char *end, struct token *t)
{
  const char *colon = memchr(s, ':', (size_t)(end - s));
  size_t n;

  t->pool = str_starts(s, TOKEN_POOL);
  if (t->pool)
    s += strlen(TOKEN_POOL);
  if (!colon || colon < s || !str_is_name(s, (size_t)(colon - s)))
    return "the name is not one of a worker or a pool";
  n = (size_t)(end - colon - 1);
  if (n < SECRET_MIN || n > SECRET_MAX || !all_of(colon + 1, n, "_-"))
    return "the secret is not 32 to 64 letters, digits, _ or -";
  t->name = xstrndup(s, (size_t)(colon - s));
  t->secret = xstrndup(colon + 1, n);
  return NULL;
}

enum err token_parse(const char *s, struct token *t, const char **why)
{
  static const char white[] = " \t\r\n\v\f";
  const char *end, *pins, *name;

  memset(t, 0, sizeof *t);
  s += strspn(s, white);
  end = s + strlen(s);
  while (end > s && strchr(white, end[-1]))
    end--;
  pins = memchr(s, '#', (size_t)(end - s));
  name = pins ? memchr(pins + 1, '#', (size_t)(end - pins - 1)) : NULL;
  if (!name) {
    *why = "not of the form ADDRESS#FINGERPRINT#NAME:SECRET";
    return ERR_SYNTAX;
  }
  *why = parse_addresses(s, pins, t);
  if (!*why)
    *why = parse_pins(pins + 1, name, t);
  if (!*why)
    *why = parse_name(name + 1, end, t);
  if (!*why)
    return ERR_OK;
  token_free(t);
  return ERR_SYNTAX;
}

void token_free(struct token *t)
{
  for (int i = 0; i < t->addresses; i++)
    free(t->address[i].host);
  if (t->secret)
    mem_wipe(t->secret, strlen(t->secret));
  free(t->secret);
  free(t->name);
  memset(t, 0, sizeof *t);
}

void token_put(struct buf *out, const struct token *t)
{
  char hex[2 * sizeof t->pin[0] + 1];

  for (int i = 0; i < t->addresses; i++) {
    const struct token_address *a = &t->address[i];
    buf_adds(out, i ? "," : "");
    if (a->is_unix)
      buf_addf(out, UNIX_PREFIX "%s", a->host);
    else
      buf_addf(out, strchr(a->host, ':') ? "[%s]:%s" : "%s:%s", a->host, a->port);
  }
  buf_addc(out, '#');
  for (int i = 0; i < t->pins; i++) {
    str_hex(t->pin[i], sizeof t->pin[0], hex);
    buf_addf(out, "%s" PIN_PREFIX "%s", i ? "," : "", hex);
  }
  buf_addf(out, "#%s%s:%s", t->pool ? TOKEN_POOL : "", t->name, t->secret);
}

void token_secret(char out[TOKEN_SECRET_LEN + 1])
{
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  unsigned char bytes[TOKEN_SECRET_LEN];

  str_random(bytes, sizeof bytes);
  for (int i = 0; i < TOKEN_SECRET_LEN; i++)
    out[i] = alphabet[bytes[i] & 63];
  out[TOKEN_SECRET_LEN] = 0;
  mem_wipe(bytes, sizeof bytes);
}
