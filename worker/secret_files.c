/* Secrets as variables, and the folder with those that are files. */
#include "worker/secret_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/secrets.h"

#define IN_MEMORY "/dev/shm"
#define PREFIX "drover-secret-"

enum { RANDOM_BYTES = 12, TRIES = 4, FOLDER_MAX = 512 };

static bool is_in_memory(void)
{
  return !getenv("DROVER_TEST_NO_TMPFS") && os_is_tmpfs(IN_MEMORY) && !access(IN_MEMORY, W_OK | X_OK);
}

static int try_make(const struct spool *sp, const char *base, uid_t uid, char folder[FOLDER_MAX])
{
  unsigned char random[RANDOM_BYTES];
  char hex[2 * RANDOM_BYTES + 1];
  enum err e;

  str_random(random, sizeof random);
  str_hex(random, sizeof random, hex);
  if (snprintf(folder, FOLDER_MAX, "%s/." PREFIX "%s", base, hex) >= FOLDER_MAX)
    return ENAMETOOLONG;
  e = spool_write_secrets(sp, folder);
  if (e)
    return e == ERR_NOSPACE ? ENOSPC : EIO;
  os_as(uid);
  e = mkdir(folder, 0700) ? ERR_IO : ERR_OK;
  os_as(0);
  return e ? errno : 0;
}

/* The folder, made; 0, or errno. */
static int make(const struct spool *sp, const char *spool, uid_t uid, char folder[FOLDER_MAX])
{
  int e = EEXIST;

  for (int i = 0; i < TRIES && e == EEXIST; i++)
    e = try_make(sp, is_in_memory() ? IN_MEMORY : spool, uid, folder);
  return e;
}

/* A file 0600 in it, named as the secret; 0, or errno. */
static int put(const char *folder, const char *name, uid_t uid, const char *value)
{
  size_t n = strlen(value);
  char path[PATH_MAX];
  ssize_t w;
  int fd;

  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
    return ENAMETOOLONG;
  os_as(uid);
  fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  os_as(0);
  if (fd < 0)
    return errno == EEXIST ? 0 : errno; /* two variables name one secret */
  w = write(fd, value, n);
  if (close(fd) || w != (ssize_t)n)
    return w < 0 ? errno : ENOSPC;
  return 0;
}

/* Without printf, which would leave the value on the stack. */
static char *assignment(const char *name, const char *value, size_t n)
{
  size_t at = strlen(name);
  char *text = xmalloc(at + n + 2);

  memcpy(text, name, at);
  text[at] = '=';
  memcpy(text + at + 1, value, n);
  text[at + 1 + n] = 0;
  return text;
}

int secrets_place(struct spec *s, const struct spool *sp, const char *spool, uid_t uid, const char *values, size_t n, const char **what)
{
  char folder[FOLDER_MAX] = "";

  for (size_t i = 0; i < s->nsecrets; i++) {
    const struct spec_secret *one = &s->secret[i];
    const char *value = secrets_get(values, n, one->name);
    int e = 0;
    *what = one->name;
    if (!one->file) {
      spec_set(s, assignment(one->env, value, secrets_line(value)));
      continue;
    }
    if (!*folder)
      e = make(sp, spool, uid, folder);
    e = e ? e : put(folder, one->name, uid, value);
    if (e)
      return e;
    spec_set(s, xasprintf("%s=%s/%s", one->env, folder, one->name));
  }
  return 0;
}

/* What the spool says was written by another version at worst, but never by somebody else; still nothing but a folder of ours is removed. */
void secret_files_remove(const struct spool *sp)
{
  char folder[FOLDER_MAX], *leaf;
  int base;

  if (!spool_read_secrets(sp, folder, sizeof folder))
    return;
  leaf = strrchr(folder, '/');
  if (!leaf || strncmp(leaf + 1, "." PREFIX, strlen("." PREFIX)))
    return;
  *leaf = 0;
  base = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (base >= 0 && !beneath_remove(base, leaf + 1))
    spool_drop_secrets(sp);
  else
    log_error("minder", "%s: the folder with its secrets, %s/%s, can't be removed: %s", sp->cmd, folder, leaf + 1, strerror(errno));
  if (base >= 0)
    close(base);
}
