/* Arbitrary bytes as worker.conf, and as the join file beside it: whatever is wrong is told, and never a secret with it; what is accepted is whole, and written as a worker.conf again it says the same. The first byte says how
   it is given: by whom the file can be read, dialled or not, with a join file (what stands behind the first 0xff). */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/conf.h"

enum { OPEN_TO_ALL = 1, DIALLED = 2, JOIN_FILE = 4, PATH_ROOM = 32 };

static struct buf told; /* all lines of the log */

static void sink(enum log_level level, const char *line)
{
  must(level == LOG_ERROR);
  for (const char *p = line; *p; p++)
    must((unsigned char)*p >= ' ' && *p != 127);
  buf_adds(&told, line);
  buf_addc(&told, '\n');
}

/* A file in memory, the same for all inputs. */
struct memory {
  int fd;
  char path[PATH_ROOM];
};

static void memory_fill(struct memory *m, const void *p, size_t n, mode_t mode)
{
  if (!*m->path) {
    m->fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(m->fd >= 0);
    snprintf(m->path, sizeof m->path, "/proc/self/fd/%d", m->fd);
  }
  must(!ftruncate(m->fd, 0) && pwrite(m->fd, p, n, 0) == (ssize_t)n && !fchmod(m->fd, mode));
}

/* A worker.conf that says the same; but for a proxy's password, which it does not tell. */
static void put(struct buf *b, const struct conf *c)
{
  static const struct { const char *name, *key; } keys[] = { { "isolate ", "isolate" }, { "slot_uids ", "slot_uids" }, { "limits ", "limits" }, { "umask ", "umask" }, { "most ", "max_runtime" }, { "wrapper ", "exec_wrapper" } };
  static const char *const levels[] = { "debug", "info", "warn" }, *const groups[] = { "run", "read", "write", "facts", "log", "restart", "stop" };
  char *confine = confine_text(&c->confine), *rest = NULL;

  buf_init(b, BUF_NO_MAX);
  if (c->token.secret) {
    buf_adds(b, "join = ");
    token_put(b, &c->token);
  }
  buf_addf(b, "\ndir = %s\npath = %s\nlog_level = %s\nlog_format = %s\nupgrade = %s\n", c->dir, c->path, levels[c->level], c->format, c->upgrade ? "yes" : "no");
  if (c->proxy.address.host)
    buf_addf(b, strchr(c->proxy.address.host, ':') ? "proxy = http://[%s]:%s\n" : "proxy = http://%s:%s\n", c->proxy.address.host, c->proxy.address.port);
  for (char *line = strtok_r(confine, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    for (size_t i = 0; i < COUNT(keys); i++)
      if (str_starts(line, keys[i].name))
        buf_addf(b, "%s = %s\n", keys[i].key, line + strlen(keys[i].name));
  if (c->confine.best)
    buf_adds(b, "isolate = auto\n");
  buf_adds(b, c->confine.allow ? "allow = " : "allow = no");
  for (size_t i = 0; i < COUNT(groups); i++)
    if (c->confine.allow & 1u << i)
      buf_addf(b, "%s,", groups[i]);
  buf_addc(b, '\n');
  free(confine);
}

static void within_limits(const struct conf *c, const struct conf_given *g)
{
  const struct confine *k = &c->confine;

  must(c->token.name && c->token.addresses >= 1 && c->token.addresses <= TOKEN_ADDRESSES_MAX && c->token.pins <= TOKEN_PINS_MAX);
  must(!c->token.secret == (g->stdio != NULL));
  for (int i = 0; i < c->token.addresses; i++)
    must(c->token.address[i].is_unix || c->token.pins > 0);
  must(*c->dir && *c->path && c->level <= LOG_WARN && (!strcmp(c->format, "text") || !strcmp(c->format, "json")));
  must(!(c->upgrade && c->stdio));
  must(!k->spaces || (k->spaces & CONFINE_PID));
  must(!k->first || (k->first <= k->last && k->last - k->first < CONFINE_UIDS_MAX));
  must(!(k->umask & 0700) && k->most_ms >= 0 && k->allow <= ALLOW_ALL);
  for (int i = 0; i < CONFINE_LIMITS; i++)
    must(k->limit[i] >= -1);
}

/* As the agent tells it to its minders. */
static void to_minder(const struct confine *c)
{
  char *text = confine_text(c), *again;
  struct confine k;

  must(confine_read(&k, text) == ERR_OK);
  again = confine_text(&k);
  must(!strcmp(text, again) && k.spaces == c->spaces && k.first == c->first && k.most_ms == c->most_ms && k.umask == c->umask && !memcmp(k.limit, c->limit, sizeof k.limit));
  confine_free(&k);
  free(text);
  free(again);
}

static void again(const struct conf *c, const struct conf_given *given, struct memory *m)
{
  struct conf_given g = { .config = given->config, .stdio = given->stdio };
  struct buf first, second;
  struct conf other;

  put(&first, c);
  memory_fill(m, first.data, first.len, 0600);
  buf_reset(&told);
  must(first.len > CONF_FILE_MAX || conf_load(&other, &g) == ERR_OK);
  if (first.len <= CONF_FILE_MAX) {
    put(&second, &other);
    must(first.len == second.len && !memcmp(first.data, second.data, first.len));
    buf_free(&second);
    conf_free(&other);
  }
  buf_free(&first);
}

/* It stands in the file a second time, as something that is no secret: as the log says it, where control bytes are digits (a byte 0x10 is \x10, and together with what follows that may be the secret). */
static bool elsewhere(const uint8_t *p, size_t n, const char *secret)
{
  const char *first;
  struct buf said;
  bool twice;

  buf_init(&said, BUF_NO_MAX);
  for (size_t i = 0; i < n; i++)
    if (p[i] < ' ' || p[i] == 127)
      buf_addf(&said, "\\x%02x", p[i]);
    else
      buf_addc(&said, (char)p[i]);
  first = strstr(buf_str(&said), secret);
  twice = first && strstr(first + 1, secret);
  buf_free(&said);
  return twice;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  static struct memory file, join;
  struct conf_given g = { 0 };
  const uint8_t *cut;
  int how = n ? *p : 0;
  struct conf c;
  enum err e;

  if (!n)
    return 0;
  log_set_sink(sink);
  buf_init(&told, BUF_NO_MAX);
  p++, n--;
  cut = how & JOIN_FILE ? memchr(p, 0xff, n) : NULL;
  if (cut)
    memory_fill(&join, cut + 1, n - (size_t)(cut + 1 - p), 0600);
  memory_fill(&file, p, cut ? (size_t)(cut - p) : n, how & OPEN_TO_ALL ? 0644 : 0600);
  g.config = file.path;
  g.stdio = how & DIALLED ? "w" : NULL;
  g.value[CONF_join_file] = cut ? join.path : NULL;
  e = conf_load(&c, &g);
  must(!e == !told.len);
  must(!told.len || !c.token.secret || !strstr(buf_str(&told), c.token.secret) || elsewhere(p, n, c.token.secret));
  if (!e) {
    must(!memchr(p, 0, cut ? (size_t)(cut - p) : n)); /* nobody sees what stands behind it */
    must(!(how & OPEN_TO_ALL) || cut || g.stdio);     /* the token is a secret */
    must(!(how & OPEN_TO_ALL) || !c.proxy.credentials);
    within_limits(&c, &g);
    to_minder(&c.confine);
    again(&c, &g, &file);
  }
  conf_free(&c);
  buf_free(&told);
  return 0;
}
