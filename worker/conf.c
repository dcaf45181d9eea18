/* What the worker is told at its start. Everything that is wrong is told at once, a line each, and nothing is guessed.

   Happy path: find the file → its lines, each key at most once → options over them → each value checked and taken → what they need of each other.
   Failures: a file that can't be read or that others may read, lines that are no settings, values that are no good, no token: told, and the worker does not start. */
#include "worker/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/stdio.h"

enum { NEAR = 2, TEXT_MAX = 512 };

#ifndef CONF_OTHERS
#define CONF_OTHERS 077 /* of a file's mode: others than the worker may read or write it */
#endif

enum { NO_OPTION, OPTION };

const struct conf_key conf_keys[CONF_KEYS] = {
#define C(name, argument, option, what) [CONF_##name] = { #name, argument, what, option },
#include "worker/conf.def"
#undef C
};

struct setting {
  const char *value; /* NULL: not given */
  int line;          /* of the file; 0: the command line */
};

struct loading {
  struct conf *c;
  char *file, *text; /* text: the file's, cut into lines; NULL: there is none */
  struct setting of[CONF_KEYS];
  unsigned mode; /* of the file */
  bool bad;
};

/* ---- what is wrong ---- */

/* line 0: the file as a whole. */
printf_like(3, 4) static void wrong_line(struct loading *l, int line, const char *fmt, ...)
{
  char text[TEXT_MAX], at[16] = "";
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (line)
    snprintf(at, sizeof at, ":%d", line);
  log_error("worker", "%s%s: %s", l->file, at, text);
  l->bad = true;
}

/* Something is wrong with the value of a key, wherever it was given. */
printf_like(3, 4) static void wrong(struct loading *l, enum conf_id id, const char *fmt, ...)
{
  char text[TEXT_MAX], option[32];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (l->of[id].line) {
    wrong_line(l, l->of[id].line, "%s: %s", conf_keys[id].name, text);
    return;
  }
  snprintf(option, sizeof option, "%s", conf_keys[id].name);
  for (char *p = option; *p; p++)
    *p = *p == '_' ? '-' : *p;
  log_error("worker", "--%s: %s", option, text);
  l->bad = true;
}

/* ---- files ---- */

char *conf_slurp(int fd, size_t most)
{
  char *text = xmalloc(most + 2);
  size_t have = 0;
  ssize_t n;

  while ((n = read(fd, text + have, most + 1 - have)) > 0 || (n < 0 && errno == EINTR))
    have += n > 0 ? (size_t)n : 0;
  text[have] = 0;
  if (n == 0 && have <= most)
    return text;
  if (n == 0)
    errno = EFBIG;
  mem_wipe(text, have);
  free(text);
  return NULL;
}

static char *trim(char *s)
{
  size_t n;

  while (isspace((unsigned char)*s))
    s++;
  for (n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
    s[n - 1] = 0;
  return s;
}

bool conf_split(char *line, char **key, char **value)
{
  char *eq;

  *key = trim(line);
  *value = NULL;
  if (!**key || **key == '#')
    return false;
  eq = strchr(*key, '=');
  if (!eq)
    return true;
  *eq = 0;
  *key = trim(*key);
  *value = trim(eq + 1);
  return true;
}

static const char *nearest(const char *word)
{
  unsigned least = NEAR + 1;
  const char *found = NULL;

  for (int i = 0; i < CONF_KEYS; i++) {
    unsigned far = str_distance(word, conf_keys[i].name);
    if (far < least) {
      least = far;
      found = conf_keys[i].name;
    }
  }
  return found;
}

static void unknown_key(struct loading *l, int number, const char *key)
{
  const char *near = nearest(key);
  char all[TEXT_MAX / 2] = "";
  size_t n = 0;

  for (int i = 0; i < CONF_KEYS && n < sizeof all; i++)
    n += (size_t)snprintf(all + n, sizeof all - n, "%s`%s`", i ? ", " : "", conf_keys[i].name);
  if (near)
    wrong_line(l, number, "unknown key `%.40s`, did you mean `%s`?", key, near);
  else
    wrong_line(l, number, "unknown key `%.40s`; there are %s", key, all);
}

static void take_line(struct loading *l, char *line, int number)
{
  char *key, *value;
  int id = 0;

  if (!conf_split(line, &key, &value))
    return;
  if (!value) {
    wrong_line(l, number, "this is not `key = value`");
    return;
  }
  while (id < CONF_KEYS && strcmp(conf_keys[id].name, key))
    id++;
  if (id == CONF_KEYS)
    unknown_key(l, number, key);
  else if (l->of[id].value)
    wrong_line(l, number, "`%s` was given in line %d already: keep one of them", key, l->of[id].line);
  else if (!*value)
    wrong_line(l, number, "`%s` has no value: %s", key, conf_keys[id].what);
  else
    l->of[id] = (struct setting){ value, number };
}

static void read_file(struct loading *l, bool may_miss)
{
  int fd = open(l->file, O_RDONLY | O_CLOEXEC | O_NOCTTY), number = 0;
  struct stat st;

  if (fd < 0 && errno == ENOENT && may_miss)
    return;
  if (fd < 0 && errno == ENOENT) {
    wrong_line(l, 0, "there is no such file: `drover-worker install` makes one; or give --join-file and --dir");
    return;
  }
  if (fd >= 0 && !fstat(fd, &st)) {
    l->mode = (unsigned)(st.st_mode & 07777);
    l->text = conf_slurp(fd, CONF_FILE_MAX);
  }
  if (!l->text)
    wrong_line(l, 0, "can't be read: %s", strerror(errno));
  else if (lseek(fd, 0, SEEK_CUR) > (off_t)strlen(l->text)) /* the lines behind it would not count, and nobody would see why */
    wrong_line(l, 0, "there is a NUL in it, so this is no text: write it anew");
  if (fd >= 0)
    close(fd);
  for (char *line = l->text, *next; line; line = next) {
    next = strchr(line, '\n');
    if (next)
      *next++ = 0;
    take_line(l, line, ++number);
  }
}

/* ---- values ---- */

/* The file holds a secret in that line. */
static void want_private(struct loading *l, enum conf_id id)
{
  if (l->of[id].line && (l->mode & CONF_OTHERS))
    wrong_line(l, l->of[id].line, "`%s` holds a secret, and the file can be read by others (mode %04o): chmod 600 it, and if they may have read it, make a new one",
               conf_keys[id].name, l->mode);
}

static void take_token(struct loading *l, enum conf_id id, const char *text)
{
  const char *why = "";

  if (token_parse(text, &l->c->token, &why))
    wrong(l, id, "the join token is not well-formed: %s; `drover worker add NAME` on the master prints one", why);
}

static void take_join(struct loading *l, const char *v)
{
  want_private(l, CONF_join);
  take_token(l, CONF_join, v);
}

static void take_join_file(struct loading *l, const char *v)
{
  bool from_stdin = !strcmp(v, "-") && !l->of[CONF_join_file].line;
  int fd = from_stdin ? dup(0) : open(v, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat st;
  char *text;

  l->c->token_spent = from_stdin;
  if (fd < 0) {
    wrong(l, CONF_join_file, "the join file %s can't be opened: %s", v, strerror(errno));
    return;
  }
  if (!from_stdin && !fstat(fd, &st) && (st.st_mode & CONF_OTHERS)) {
    wrong(l, CONF_join_file, "the join file %s can be read by others (mode %04o): chmod 600 it first", v, (unsigned)(st.st_mode & 07777));
    close(fd);
    return;
  }
  text = conf_slurp(fd, CONF_TOKEN_MAX);
  close(fd);
  if (!text) {
    wrong(l, CONF_join_file, "the join token can't be read: %s", strerror(errno));
    return;
  }
  take_token(l, CONF_join_file, text);
  mem_wipe(text, strlen(text));
  free(text);
}

static void take_dir(struct loading *l, const char *v)
{
  if (l->of[CONF_dir].line && *v != '/')
    wrong(l, CONF_dir, "%s is not an absolute path", v);
  l->c->dir = xstrdup(v);
}

static void take_path(struct loading *l, const char *v) { l->c->path = xstrdup(v); }

static void take_connect(struct loading *l, const char *v)
{
  struct token_address a;

  if (token_address_parse(v, &a)) {
    wrong(l, CONF_connect, "%s is neither HOST:PORT nor unix:PATH", v);
    return;
  }
  l->c->connect = xstrdup(v);
  free(a.host);
}

static void take_proxy(struct loading *l, const char *v)
{
  const char *why;

  if (!strcmp(v, "no"))
    return;
  if (proxy_parse(v, &l->c->proxy, &why))
    wrong(l, CONF_proxy, "%s", why);
  else if (l->c->proxy.credentials && !l->of[CONF_proxy].line)
    wrong(l, CONF_proxy, "a password is not given on the command line, where others see it: put `proxy = URL` into a file for --config");
  else if (l->c->proxy.credentials)
    want_private(l, CONF_proxy);
}

static void take_log_level(struct loading *l, const char *v)
{
  static const char *const words[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i], v)) {
      l->c->level = (enum log_level)i;
      return;
    }
  wrong(l, CONF_log_level, "%s is neither debug, info nor warn", v);
}

static void take_log_format(struct loading *l, const char *v)
{
  static const char *const words[] = { "text", "json" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i], v)) {
      l->c->format = words[i];
      return;
    }
  wrong(l, CONF_log_format, "%s is neither text nor json", v);
}

static void take_upgrade(struct loading *l, const char *v)
{
  l->c->upgrade = !strcmp(v, "yes");
  if (!l->c->upgrade && strcmp(v, "no"))
    wrong(l, CONF_upgrade, "%s is neither yes nor no", v);
}

/* The keys of confine.h. */
#define TAKE(name)                                                  \
  static void take_##name(struct loading *l, const char *v)        \
  {                                                                 \
    const char *why = confine_take_##name(&l->c->confine, v);      \
    if (why)                                                        \
      wrong(l, CONF_##name, "%s", why);                             \
  }
TAKE(allow)
TAKE(max_runtime)
TAKE(limits)
TAKE(umask)
TAKE(slot_uids)
TAKE(isolate)
TAKE(exec_wrapper)
TAKE(cgroup)

static void (*const take[CONF_KEYS])(struct loading *l, const char *value) = {
#define C(name, argument, option, what) [CONF_##name] = take_##name,
#include "worker/conf.def"
#undef C
};

/* ---- all of it ---- */

static void use_connect(struct loading *l)
{
  struct conf *c = l->c;
  struct token_address a;

  if (!c->connect || !c->token.name || token_address_parse(c->connect, &a))
    return;
  for (int i = 0; i < c->token.addresses; i++)
    free(c->token.address[i].host);
  c->token.address[0] = a;
  c->token.addresses = 1;
  if (!a.is_unix && !c->token.pins)
    wrong(l, CONF_connect, "%s needs a key to check, and the join token has none", c->connect);
}

/* There is no token: who dials knows whom. */
static void use_stdio(struct loading *l, const char *name)
{
  struct token *t = &l->c->token;

  if (!str_is_name(name, strlen(name))) {
    log_error("worker", "--stdio: \"%.64s\" is no name of a worker", name);
    l->bad = true;
    return;
  }
  t->name = xstrdup(name);
  t->address[0] = (struct token_address){ .host = xstrdup("stdio"), .is_unix = true };
  t->addresses = 1;
}

static void check_together(struct loading *l)
{
  struct setting *join = &l->of[CONF_join], *join_file = &l->of[CONF_join_file];

  if (join->value && join_file->value && !join_file->line)
    join->value = NULL; /* the option wins */
  if (join->value && join_file->value) {
    wrong_line(l, join_file->line, "`join` and `join_file` are both given: keep one of them");
    join_file->value = NULL;
  }
  if (l->c->stdio && (join->value || join_file->value))
    wrong_line(l, 0, "there is a join token: that worker dials its master itself, and its folder is no other's");
  else if (!l->c->stdio && !join->value && !join_file->value && !l->bad)
    wrong_line(l, 0, "there is no join token: put `join = TOKEN` into it (mode 0600), or give --join-file FILE; `drover worker add NAME` on the master prints a token");
}

/* Where nobody says otherwise. */
static char *usual_dir(const struct conf_given *g)
{
  const char *home = g->stdio ? getenv("HOME") : NULL;

  return home ? xasprintf("%s/" STDIO_DIR, home) : xstrdup(g->stdio ? STDIO_DIR : CONF_DIR);
}

static char *which_file(const struct conf_given *g, bool *may_miss)
{
  char *dir, *file;

  *may_miss = !g->config && (g->value[CONF_dir] || g->value[CONF_join_file] || g->stdio);
  if (g->config)
    return xstrdup(g->config);
  if (!g->value[CONF_dir] && !g->stdio)
    return xstrdup(CONF_FILE);
  dir = g->value[CONF_dir] ? xstrdup(g->value[CONF_dir]) : usual_dir(g);
  file = xasprintf("%s/worker.conf", dir);
  free(dir);
  return file;
}

enum err conf_load(struct conf *c, const struct conf_given *given)
{
  struct loading l = { .c = c };
  bool may_miss;
  size_t len = 0;

  memset(c, 0, sizeof *c);
  confine_init(&c->confine);
  c->level = LOG_INFO;
  c->format = "text";
  c->stdio = given->stdio != NULL;
  l.file = which_file(given, &may_miss);
  read_file(&l, may_miss);
  for (int i = 0; i < CONF_KEYS; i++)
    if (given->value[i])
      l.of[i] = (struct setting){ given->value[i], 0 };
  check_together(&l);
  for (int i = 0; i < CONF_KEYS; i++)
    if (l.of[i].value)
      take[i](&l, l.of[i].value);
  use_connect(&l);
  if (c->stdio && !c->token.name)
    use_stdio(&l, given->stdio);
  if (!c->dir)
    c->dir = usual_dir(given);
  if (!c->path)
    c->path = xstrdup(CONF_PATH);
  c->upgrade = c->upgrade && !c->stdio; /* then the master brings the program before it is started */
  if (l.text)
    len = CONF_FILE_MAX; /* NULs stand between the lines by now */
  if (l.text)
    mem_wipe(l.text, len);
  free(l.text);
  free(l.file);
  return l.bad ? ERR_SYNTAX : ERR_OK;
}

void conf_free(struct conf *c)
{
  token_free(&c->token);
  proxy_free(&c->proxy);
  free(c->dir);
  free(c->path);
  free(c->connect);
  confine_free(&c->confine);
  memset(c, 0, sizeof *c);
}
