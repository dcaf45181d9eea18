/* What the worker was started with. Everything that is wrong is said in one line, and nothing is guessed. */
#include "worker/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_TEXT_MAX = 8192, FILE_MAX = 65536 };

/* All of a file, NUL-ended, the caller's. NULL: errno (EFBIG: longer than most). */
static char *slurp(int fd, size_t most)
{
  char *text = xmalloc(most + 2);
  size_t have = 0;
  ssize_t n;

  while ((n = read(fd, text + have, most + 1 - have)) > 0)
    have += (size_t)n;
  text[have] = 0;
  if (n == 0 && have <= most)
    return text;
  if (n == 0)
    errno = EFBIG;
  mem_wipe(text, have);
  free(text);
  return NULL;
}

static int open_token(const char *file)
{
  struct stat st;
  int fd;

  if (!strcmp(file, "-"))
    return dup(0);
  fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    log_error("worker", "the join file %s can't be opened: %s", file, strerror(errno));
  } else if (!fstat(fd, &st) && (st.st_mode & 077)) {
    log_error("worker", "the join file %s can be read by others (mode %04o): chmod 600 it first", file,
              (unsigned)(st.st_mode & 07777));
    close(fd);
    fd = -1;
  }
  return fd;
}

static enum err apply_connect(struct conf *c)
{
  struct token_address a;

  if (!c->connect)
    return ERR_OK;
  if (token_address_parse(c->connect, &a)) {
    log_error("worker", "--connect %s is neither HOST:PORT nor unix:PATH", c->connect);
    return ERR_SYNTAX;
  }
  for (int i = 0; i < c->token.addresses; i++)
    free(c->token.address[i].host);
  c->token.address[0] = a;
  c->token.addresses = 1;
  if (a.is_unix || c->token.pins)
    return ERR_OK;
  log_error("worker", "--connect %s needs a key to check, and the join token has none", c->connect);
  return ERR_SYNTAX;
}

enum err conf_read_token(struct conf *c)
{
  int fd = open_token(c->join_file);
  const char *why = "";
  char *text;
  enum err e;

  if (fd < 0)
    return ERR_DENIED;
  text = slurp(fd, TOKEN_TEXT_MAX);
  close(fd);
  if (!text) {
    log_error("worker", "the join token can't be read: %s", strerror(errno));
    return ERR_IO;
  }
  e = token_parse(text, &c->token, &why);
  mem_wipe(text, strlen(text));
  free(text);
  if (e) {
    log_error("worker", "the join token is not well-formed: %s", why);
    return e;
  }
  return apply_connect(c);
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

static enum err take_line(struct conf *c, char *line, int number)
{
  char *key = trim(line), *eq = strchr(line, '='), *value;

  if (!*key || *key == '#')
    return ERR_OK;
  if (!eq) {
    log_error("worker", "worker.conf:%d: this is not `key = value`", number);
    return ERR_SYNTAX;
  }
  *eq = 0;
  key = trim(key);
  value = trim(eq + 1);
  if (strcmp(key, "path")) {
    log_error("worker", "worker.conf:%d: unknown key `%s`; the only key is `path`", number, key);
    return ERR_UNKNOWN;
  }
  free(c->path);
  c->path = xstrdup(value);
  return ERR_OK;
}

enum err conf_read_file(struct conf *c, int dir)
{
  int fd = openat(dir, "worker.conf", O_RDONLY | O_CLOEXEC), number = 0;
  char *text, *line, *next;
  enum err e = ERR_OK;

  c->path = xstrdup(CONF_PATH);
  if (fd < 0 && errno == ENOENT)
    return ERR_OK;
  text = fd < 0 ? NULL : slurp(fd, FILE_MAX);
  if (!text)
    log_error("worker", "worker.conf can't be read: %s", strerror(errno));
  if (fd >= 0)
    close(fd);
  if (!text)
    return ERR_IO;
  for (line = text; line && !e; line = next) {
    next = strchr(line, '\n');
    if (next)
      *next++ = 0;
    e = take_line(c, line, ++number);
  }
  free(text);
  return e;
}

void conf_free(struct conf *c)
{
  token_free(&c->token);
  free(c->path);
}
