/* Workers that are dialled: arbitrary bytes as `workers` of master.yaml, as the request and the answer that a helper is told, as a host's words, by the first byte. What is accepted can stand in a
   command line and in a shell's double quotes, fits into a request, and written again it is the same. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "master/conf/conf_login.h"
#include "master/conf/conf_ssh.h"
#include "master/conf/diag.h"
#include "master/conf/yaml.h"
#include "master/workers/dial_proc.h"
#include "master/workers/ssh/request.h"
#include "proto/records.h"

#define HARMLESS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

enum { KEY_BYTES = 512 /* of the cluster's private key, as PEM; it has some 120 */, TEXT_ROOM = 48 };

/* ---- the configuration ---- */

static void check_pin(const char *text)
{
  char *pin = conf_ssh_pin(text), *again;

  if (!pin)
    return;
  again = conf_ssh_pin(pin);
  must(again && !strcmp(pin, again));
  must(conf_is_host_key(pin) || (strchr(pin, ' ') && strchr(pin, ' ') == strrchr(pin, ' ')));
  must(pin[strspn(pin, HARMLESS "+/=@: ")] == 0);
  free(pin);
  free(again);
}

/* As the master makes it of what it has read (workers/dial.c). */
static void put_request(struct buf *b, const struct conf_ssh *s)
{
  char key[KEY_BYTES + 1];

  memset(key, 'k', KEY_BYTES);
  key[KEY_BYTES] = 0;
  buf_init(b, DIAL_WIRE_MAX);
  records_put(b, "name", "0123456789012345678901234567890123456789012345678901234567890123");
  records_put(b, "user", s->user);
  records_put(b, "host", s->host);
  records_put(b, "port", s->port);
  records_put(b, "dir", s->dir);
  records_put(b, "key", key);
  for (int i = 0; i < s->npins; i++)
    records_put(b, "pin", s->pins[i]);
  records_put(b, "end", "1");
}

static void check_asked(const struct conf_ssh *s)
{
  struct ssh_request r;
  struct buf b;

  put_request(&b, s);
  must(!b.failed && records_ended(&b));
  must(ssh_request_read(&r, b.data, b.len));
  must(!strcmp(r.user, s->user) && !strcmp(r.host, s->host) && !strcmp(r.port, s->port) && !strcmp(r.dir, s->dir) && r.npins == s->npins);
  for (int i = 0; i < r.npins; i++)
    must(!strcmp(r.pins[i], s->pins[i]));
  ssh_request_free(&r);
  buf_free(&b);
}

static void check_conf(const struct conf_ssh *s)
{
  int64_t port;

  must(*s->user && *s->user != '-' && !s->user[strspn(s->user, HARMLESS)]);
  must(*s->host && *s->host != '-' && !s->host[strspn(s->host, HARMLESS ":%")]);
  must(!str_number(s->port, strlen(s->port), &port) && port >= 1 && port <= 65535);
  must(*s->dir && *s->dir != '-' && !s->dir[strspn(s->dir, HARMLESS "/+=@")]);
  for (const char *p = s->dir; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
    must(strncmp(p, "..", 2) || (p[2] && p[2] != '/')); /* it stays where it says */
  for (int i = 0; i < s->npins; i++) {
    char *pin = conf_ssh_pin(s->pins[i]);
    must(pin && !strcmp(pin, s->pins[i]));
    free(pin);
  }
  check_asked(s);
}

static struct conf_ssh *make(const char *text, size_t n, struct diags *d)
{
  struct yml_doc *doc;
  struct conf_ssh *s;

  diag_init(d);
  doc = yml_parse("master.yaml", text, n, d);
  s = doc && !d->n && doc->root->kind == YML_MAP ? conf_ssh_make(doc->root, d) : NULL;
  yml_drop(doc);
  return s;
}

static void configuration(const char *text, size_t n)
{
  struct diags d, e;
  struct conf_ssh *s = make(text, n, &d), *again;
  struct buf b;

  if (s && !d.n) {
    check_conf(s);
    buf_init(&b, BUF_NO_MAX);
    buf_addf(&b, "ssh: \"%s\"\ndir: \"%s\"\n", s->address, s->dir);
    for (int i = 0; i < s->npins; i++)
      buf_addf(&b, "%s \"%s\"\n", i ? " -" : "host_key:\n -", s->pins[i]);
    again = make(b.data, b.len, &e);
    must(again && !e.n && conf_ssh_same(s, again) && !strcmp(s->user, again->user) && !strcmp(s->host, again->host) && !strcmp(s->port, again->port));
    conf_ssh_free(again);
    diag_free(&e);
    buf_free(&b);
  }
  conf_ssh_free(s);
  diag_free(&d);
}

/* ---- the helper ---- */

static void request(const char *p, size_t n)
{
  struct ssh_request r;
  char sum[SSH_SUM_LEN + 1];
  int64_t size;

  if (ssh_request_read(&r, p, n)) {
    const char *words[] = { r.name, r.user, r.host, r.port, r.dir, r.key };
    for (size_t i = 0; i < COUNT(words); i++)
      must(words[i] > p && words[i] + strlen(words[i]) < p + n);
    must(r.npins >= 0 && r.npins <= CONF_SSH_PINS_MAX);
  }
  ssh_request_free(&r);
  if (ssh_answer_read(p, n, sum, &size))
    must(size > 0 && strlen(sum) == SSH_SUM_LEN && strspn(sum, "0123456789abcdef") == SSH_SUM_LEN);
}

static void host(const char *text)
{
  static const char *const words[] = { "os", "arch", "sum", "good", "bad", "done" };
  char word[SSH_WORD_MAX + 1], said[TEXT_ROOM], line[TEXT_ROOM + 32];

  for (size_t i = 0; i < COUNT(words); i++) {
    ssh_said_word(text, words[i], word);
    must(strlen(word) <= SSH_WORD_MAX && !word[strspn(word, HARMLESS)]);
    ssh_said(text, words[i], said, sizeof said);
    must(strlen(said) < sizeof said && !strpbrk(said, "\r\n"));
    if (*said) {
      char again[TEXT_ROOM];
      snprintf(line, sizeof line, SSH_MARK "%s %s", words[i], said);
      ssh_said(line, words[i], again, sizeof again);
      must(!strcmp(said, again) || strstr(said, SSH_MARK));
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *text;

  if (!n)
    return 0;
  text = xstrndup((const char *)p + 1, n - 1);
  switch (*p % 4) {
  case 0: configuration(text, strlen(text)); break;
  case 1: check_pin(text); break;
  case 2: request((const char *)p + 1, n - 1); break;
  case 3: host(text); break;
  }
  free(text);
  return 0;
}
