/* Going to the master through an HTTP proxy. Its answer is a status line, headers that say nothing to us, an empty line: read byte by byte, and nothing of it is kept but the status line. */
#include "worker/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define SCHEME "http://"
#define VERSION_START "HTTP/1."

enum { PORT_DEFAULT = 3128, CREDENTIALS_MAX = 512, URL_MAX = 1024, STATUS_AT = 9, STATUS_DIGITS = 3 };

/* ---- where it is ---- */

/* %XX undone. How long out is; -1: not well-formed, or longer than most. */
static int undo_percent(const char *s, size_t n, char *out, size_t most)
{
  size_t have = 0;

  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    char pair[2];
    if (c == '%') {
      if (n - i < 3)
        return -1;
      for (int k = 0; k < 2; k++) {
        pair[k] = s[i + 1 + (size_t)k];
        if (pair[k] >= 'A' && pair[k] <= 'F')
          pair[k] = (char)(pair[k] - 'A' + 'a');
      }
      if (str_unhex(pair, 2, &c, 1))
        return -1;
      i += 2;
    }
    if (have == most || c < ' ' || c == 127)
      return -1;
    out[have++] = (char)c;
  }
  return (int)have;
}

static const char *parse_credentials(const char *s, size_t n, struct proxy *p)
{
  char text[CREDENTIALS_MAX];
  const char *colon = memchr(s, ':', n), *why = NULL;
  int user, password;

  if (!colon)
    return "the part before @ is not USER:PASSWORD";
  user = undo_percent(s, (size_t)(colon - s), text, sizeof text - 1);
  if (user <= 0 || memchr(text, ':', (size_t)user))
    return "the user before @ is missing or not well-formed (write other characters as %XX)";
  text[user] = ':';
  password = undo_percent(colon + 1, n - (size_t)(colon - s) - 1, text + user + 1, sizeof text - (size_t)user - 1);
  if (password < 0)
    why = "the password before @ is not well-formed (write other characters as %XX)";
  else
    p->credentials = str_base64(text, (size_t)(user + 1 + password));
  mem_wipe(text, sizeof text);
  return why;
}

static const char *parse_address(const char *s, size_t n, struct proxy *p)
{
  const char *bracket = memchr(s, ']', n), *host_end = bracket ? bracket : s;
  char text[URL_MAX];
  bool port = memchr(host_end, ':', n - (size_t)(host_end - s)) != NULL;

  if (port)
    snprintf(text, sizeof text, "%.*s", (int)n, s);
  else
    snprintf(text, sizeof text, "%.*s:%d", (int)n, s, PORT_DEFAULT);
  if (token_address_parse(text, &p->address) || p->address.is_unix)
    return "not http://HOST:PORT";
  return NULL;
}

enum err proxy_parse(const char *url, struct proxy *p, const char **why)
{
  const char *s = url + strlen(SCHEME), *at;
  size_t n;

  memset(p, 0, sizeof *p);
  *why = NULL;
  if (!str_starts(url, SCHEME) || strlen(url) >= URL_MAX - 8) {
    *why = "not http://[USER:PASSWORD@]HOST[:PORT] (the connection inside is TLS with the master all the same)";
    return ERR_SYNTAX;
  }
  n = strlen(s);
  if (n && s[n - 1] == '/')
    n--;
  at = str_last(s, n, '@');
  if (at)
    *why = parse_credentials(s, (size_t)(at - s), p);
  if (at) {
    n -= (size_t)(at + 1 - s);
    s = at + 1;
  }
  if (!*why)
    *why = parse_address(s, n, p);
  if (!*why)
    return ERR_OK;
  proxy_free(p);
  return ERR_SYNTAX;
}

void proxy_free(struct proxy *p)
{
  if (p->credentials)
    mem_wipe(p->credentials, strlen(p->credentials));
  free(p->credentials);
  free(p->address.host);
  memset(p, 0, sizeof *p);
}

void proxy_request(struct buf *out, const struct proxy *p, const struct token_address *to)
{
  const char *open = strchr(to->host, ':') ? "[" : "", *close = *open ? "]" : "";

  if (!buf_reserve(out, PROXY_REQUEST_MAX)) /* no copy of the credentials stays behind in memory that was too small */
    return;
  buf_addf(out, "CONNECT %s%s%s:%s HTTP/1.1\r\nHost: %s%s%s:%s\r\n", open, to->host, close, to->port, open, to->host, close, to->port);
  if (p->credentials)
    buf_addf(out, "Proxy-Authorization: Basic %s\r\n", p->credentials);
  buf_adds(out, "\r\n");
}

/* ---- its answer ---- */

static enum proxy_answer broken(char why[PROXY_WHY_MAX], const char *what)
{
  snprintf(why, PROXY_WHY_MAX, "what answers is no HTTP proxy: %s", what);
  return PROXY_BROKEN;
}

/* The status line is whole: "HTTP/1.x NNN text". */
static enum proxy_answer judge(const struct proxy_reply *r, char why[PROXY_WHY_MAX])
{
  const char *s = r->status, *code = s + STATUS_AT;
  size_t n = strlen(s);
  bool good = n >= STATUS_AT + STATUS_DIGITS && !strncmp(s, VERSION_START, strlen(VERSION_START)) && s[7] >= '0' && s[7] <= '9' && s[8] == ' ' &&
              (n == STATUS_AT + STATUS_DIGITS || code[STATUS_DIGITS] == ' ');

  for (int i = 0; good && i < STATUS_DIGITS; i++)
    good = code[i] >= '0' && code[i] <= '9';
  if (!good)
    return broken(why, "its first line is no status line");
  if (*code == '2')
    return PROXY_MORE;
  snprintf(why, PROXY_WHY_MAX, "the proxy refuses: %s%s", code, !strncmp(code, "407", 3) ? " (it wants another USER:PASSWORD in `proxy`)" : "");
  return PROXY_REFUSED;
}

static enum proxy_answer take_byte(struct proxy_reply *r, unsigned char c, char why[PROXY_WHY_MAX])
{
  size_t start = strlen(VERSION_START);

  if (++r->total > PROXY_HEAD_MAX)
    return broken(why, "its headers do not end");
  if (c == '\n') {
    bool empty = !r->len;
    r->len = 0;
    if (r->line++ == 0)
      return judge(r, why);
    return empty ? PROXY_OPEN : PROXY_MORE;
  }
  if (c == '\r')
    return PROXY_MORE; /* wherever it is: at a line's end it belongs there, elsewhere it says nothing */
  if (!r->line && r->len < PROXY_STATUS_MAX) {
    r->status[r->len] = (char)(c >= ' ' && c < 127 ? c : '?');
    if (r->len < start && r->status[r->len] != VERSION_START[r->len])
      return broken(why, "it does not begin with HTTP/1.");
  }
  r->len++;
  return PROXY_MORE;
}

enum proxy_answer proxy_take(struct proxy_reply *r, const char *p, size_t n, char why[PROXY_WHY_MAX])
{
  for (size_t i = 0; i < n; i++) {
    enum proxy_answer a = take_byte(r, (unsigned char)p[i], why);
    if (a == PROXY_OPEN && i + 1 < n)
      return broken(why, "it says more than its answer before the master was asked anything");
    if (a != PROXY_MORE)
      return a;
  }
  return PROXY_MORE;
}
