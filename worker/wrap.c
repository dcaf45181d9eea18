/* Wrappers. A command's variables are the master's, and some of them make any program do anything (LD_PRELOAD, BASH_ENV): the wrapper must not have them. So they go through it under other names, and the worker's own
   program, which the wrapper starts, gives them back. Values are never words of a command line: others see those. */
#include "worker/wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "worker/child.h"
#include "worker/os.h"
#include "worker/slot.h"

#define PREFIX "DROVER_ENV_"
#define UNWRAP "--unwrap"
#define DELETED " (deleted)" /* what the system says of a program that was replaced */

extern char **environ;

enum { EXIT_NO_PROGRAM = 127, EXIT_NO_EXEC = 126 };

char *wrap_program(void)
{
  char path[PATH_MAX];
  ssize_t n = os_self_name(path, sizeof path - 1);

  if (n <= 0)
    return NULL;
  path[n] = 0;
  if ((size_t)n > strlen(DELETED) && !strcmp(path + n - strlen(DELETED), DELETED))
    path[n - (ssize_t)strlen(DELETED)] = 0;
  return xstrdup(path);
}

/* Without links, the caller's; NULL: errno. */
static char *place_path(int work, const char *place)
{
  int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = beneath_open(work, *place ? place : ".", O_RDONLY | O_DIRECTORY);
  char path[PATH_MAX], *found = NULL;

  if (here >= 0 && fd >= 0 && !fchdir(fd)) {
    found = getcwd(path, sizeof path) ? xstrdup(path) : NULL;
    if (fchdir(here))
      abort(); /* all names of the spool begin here */
  }
  if (fd >= 0)
    close(fd);
  if (here >= 0)
    close(here);
  return found;
}

/* One word with what stands for something put in. */
static char *fill(const char *word, size_t n, const char *dir, const char *slot, const char *cmd)
{
  const struct {
    const char *token, *value;
  } of[] = { { "{dir}", dir }, { "{slot}", slot }, { "{cid}", cmd } };
  struct buf out;
  char *text;

  buf_init(&out, BUF_NO_MAX);
  for (const char *end = word + n; word < end;) {
    size_t i = 0;
    while (i < COUNT(of) && !str_starts(word, of[i].token))
      i++;
    if (i == COUNT(of)) {
      buf_addc(&out, *word++);
    } else {
      buf_adds(&out, of[i].value);
      word += strlen(of[i].token);
    }
  }
  text = xstrdup(buf_str(&out));
  buf_free(&out);
  return text;
}

static void rename_variables(struct spec *s, const char *path, const char *cmd)
{
  char **env = xcalloc(s->nenv + 3, sizeof *env);
  size_t n = 0;

  env[n++] = xasprintf("PATH=%s", path);
  env[n++] = xasprintf("DROVER_COMMAND=%s", cmd);
  for (size_t i = 0; i < s->nenv; i++) {
    env[n++] = xasprintf(PREFIX "%s", s->env[i]);
    mem_wipe(s->env[i], strlen(s->env[i]));
    free(s->env[i]);
  }
  free(s->env);
  s->env = env;
  s->nenv = n;
}

static void put_words(struct spec *s, const struct confine *c, const char *dir, const char *slot, const char *cmd, const char *self)
{
  size_t words = 0, n = 0;
  const char **argv;

  while (s->argv[words])
    words++;
  argv = xcalloc(words + CONFINE_WORDS_MAX + 3, sizeof *argv);
  for (const char *w = c->wrapper; *w; w += strspn(w, " ")) {
    argv[n++] = fill(w, strcspn(w, " "), dir, slot, cmd);
    w += strcspn(w, " ");
  }
  argv[n++] = self;
  argv[n++] = UNWRAP;
  memcpy(argv + n, s->argv, words * sizeof *argv);
  s->argv = argv;
}

int wrap_command(struct spec *s, const struct confine *c, int work, const char *path, const char *cmd)
{
  char place[BENEATH_PATH_MAX], *dir;

  errno = ENOSYS;
  slot_place(s->cwd, place);
  dir = c->program ? place_path(work, place) : NULL;
  if (!dir)
    return errno;
  for (char *p = place; *p; p++) /* names are the master's: here they are one word that means nothing to anybody */
    if (!str_is_name(p, 1) && !(p > place && strchr("._-", *p)))
      *p = p > place && *p == '/' ? '-' : '_';
  put_words(s, c, dir, *place ? place : "_", cmd, c->program);
  rename_variables(s, path, cmd);
  return 0;
}

int wrap_main(char **argv)
{
  struct spec s = { .argv = (const char **)(uintptr_t)(argv + 2) };
  size_t n = 0;
  int e;

  while (environ[n])
    n++;
  s.env = xcalloc(n + 1, sizeof *s.env);
  n = 0;
  for (char **e_at = environ; *e_at; e_at++)
    if (str_starts(*e_at, PREFIX))
      s.env[n++] = *e_at + strlen(PREFIX);
  e = argv[2] ? child_exec(&s) : ENOENT;
  free(s.env);
  fprintf(stderr, "drover-worker: can't start %s: %s\n", argv[2] ? argv[2] : "nothing", strerror(e));
  return e == ENOENT ? EXIT_NO_PROGRAM : EXIT_NO_EXEC;
}
