/* `ssh`, `host_key` and `dir` of a worker. */
#include "master/conf/conf_ssh.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf_login.h"
#include "master/conf/diag.h"
#include "master/conf/schema.h"
#include "master/conf/yaml.h"

enum { WORD_MAX = 255, KEY_LEAST = 60, KEY_MOST = 4096, PORT = 22 };

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ADDRESS_HELP "USER@HOST or USER@HOST:PORT, such as ci@build3.example.org:22"

/* ---- host keys ---- */

/* A key's own bytes begin with the length of its kind's name, so its base64 begins with AAAA. */
static bool is_key(const char *kind, size_t n, const char *key, size_t len)
{
  return n && n <= WORD_MAX && strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789@.-") >= n && len >= KEY_LEAST && len <= KEY_MOST && str_starts(key, "AAAA") &&
         strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") >= len;
}

char *conf_ssh_pin(const char *text)
{
  size_t n = strcspn(text, " \t"), at = n + strspn(text + n, " \t"), len = strcspn(text + at, " \t\r\n");

  if (conf_is_host_key(text))
    return xstrdup(text);
  return is_key(text, n, text + at, len) ? xasprintf("%.*s %.*s", (int)n, text, (int)len, text + at) : NULL;
}

static void read_pins(struct conf_ssh *s, const struct yml_node *n, struct diags *d)
{
  int count = !n ? 0 : n->kind == YML_LIST ? n->n : n->kind == YML_SCALAR ? 1 : 0;

  if (count > CONF_SSH_PINS_MAX)
    yml_error(d, n, "keep those that the host has now, and those that it is to have next", "more than %d host keys of one worker", CONF_SSH_PINS_MAX);
  s->pins = xcalloc((size_t)count + 1, sizeof *s->pins);
  for (int i = 0; i < count; i++) {
    const struct yml_node *item = n->kind == YML_LIST ? n->items[i] : n;
    char *pin = item->kind == YML_SCALAR ? conf_ssh_pin(item->text) : NULL;
    if (pin)
      s->pins[s->npins++] = pin;
    else if (item->kind == YML_SCALAR) /* else told by the schema */
      yml_error(d, item, "ssh-keyscan -t ed25519 HOST prints it behind the host's name: ssh-ed25519 AAAA…; or SHA256: and 43 letters", "this is neither a host key nor the fingerprint of one");
  }
}

/* ---- where ---- */

static bool is_word(const char *s, size_t n, const char *of)
{
  return n && n <= WORD_MAX && *s != '-' && strspn(s, of) >= n;
}

static bool is_host(const char *s, size_t n) { return is_word(s, n, PLAIN); }

/* An address of IPv6, perhaps with a zone. */
static bool is_six(const char *s, size_t n)
{
  const char *zone = memchr(s, '%', n);
  size_t len = zone ? (size_t)(zone - s) : n;

  return is_word(s, len, "0123456789abcdefABCDEF:.") && memchr(s, ':', len) && (!zone || is_word(zone + 1, n - len - 1, PLAIN));
}

static bool read_address(struct conf_ssh *s, const char *text)
{
  const char *at = strrchr(text, '@'), *host = at ? at + 1 : "", *end, *port;
  bool six = *host == '[';
  int64_t number = PORT;

  if (!at || !is_word(text, (size_t)(at - text), PLAIN))
    return false;
  host += six;
  end = six ? strchr(host, ']') : host + strcspn(host, ":");
  if (!end || !(six ? is_six : is_host)(host, (size_t)(end - host)))
    return false;
  port = end + six;
  if (*port && (*port != ':' || str_number(port + 1, strlen(port + 1), &number) || number < 1 || number > 65535))
    return false;
  s->user = xstrndup(text, (size_t)(at - text));
  s->host = xstrndup(host, (size_t)(end - host));
  s->port = xasprintf("%d", (int)number);
  s->address = xasprintf(six ? "%s@[%s]:%s" : "%s@%s:%s", s->user, s->host, s->port);
  return true;
}

static bool is_dir(const char *s)
{
  return is_word(s, strlen(s), PLAIN "/+=@") && !strstr(s, "//") && strcmp(s, "/") && strcmp(s, ".") && strcmp(s, "..") && !str_starts(s, "../") && !strstr(s, "/../") && (strlen(s) < 3 || strcmp(s + strlen(s) - 3, "/.."));
}

struct conf_ssh *conf_ssh_make(const struct yml_node *map, struct diags *d)
{
  const struct yml_node *ssh = yml_get(map, "ssh"), *dir = yml_get(map, "dir"), *key = yml_get(map, "host_key");
  bool here = ssh && ssh->kind == YML_SCALAR && !yml_is_null(ssh) && *ssh->text;
  struct conf_ssh *s;

  if (!here) {
    if (dir || key)
      yml_error(d, dir ? dir : key, "ssh: " ADDRESS_HELP, "\"%s\" is of a worker that the master dials, and \"ssh\" is not there", dir ? "dir" : "host_key");
    return NULL;
  }
  s = xcalloc(1, sizeof *s);
  if (!read_address(s, ssh->text))
    yml_error(d, ssh, ADDRESS_HELP, "this says neither whom nor where to dial");
  s->dir = xstrdup(dir && dir->kind == YML_SCALAR && !yml_is_null(dir) ? dir->text : CONF_SSH_DIR);
  if (!is_dir(s->dir))
    yml_error(d, dir, "/srv/drover, or a folder seen from the user's home such as " CONF_SSH_DIR, "this is no folder that the master can name there: letters, digits and ._-/+=@, not \"..\"");
  read_pins(s, key, d);
  return s;
}

void conf_ssh_free(struct conf_ssh *s)
{
  if (!s)
    return;
  free(s->user);
  free(s->host);
  free(s->port);
  free(s->address);
  free(s->dir);
  mem_free_all(s->pins, s->npins);
  free(s);
}

bool conf_ssh_same(const struct conf_ssh *a, const struct conf_ssh *b)
{
  if (!a || !b || a->npins != b->npins || strcmp(a->address, b->address) || strcmp(a->dir, b->dir))
    return !a && !b;
  for (int i = 0; i < a->npins; i++)
    if (strcmp(a->pins[i], b->pins[i]))
      return false;
  return true;
}
