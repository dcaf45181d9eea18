/* Reading secrets of the site. */
#include "master/conf/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_TO_OTHERS = 027 }; /* write for the group, anything for the rest: the service may read by its group */

/* The bytes into out, which takes so many of them; -1: why. */
static ssize_t read_file(const char *path, char *out, size_t room, struct buf *why, const char **help)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  ssize_t n = -1;

  if (fd < 0 || fstat(fd, &st)) {
    buf_addf(why, "the secret's file %s can't be read: %s", path, strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    buf_addf(why, "the secret's file %s is no ordinary file", path);
  } else if (st.st_mode & OPEN_TO_OTHERS) {
    buf_addf(why, "the secret's file %s is open to others, its mode is %04o", path, (unsigned)st.st_mode & 07777);
    *help = "chmod 0600, or 0640 where the service reads it by its group";
  } else if ((n = read(fd, out, room)) < 0) {
    buf_addf(why, "the secret's file %s can't be read: %s", path, strerror(errno));
  }
  if (fd >= 0)
    close(fd);
  return n;
}

bool secret_is_line(char *value, size_t least, const char *what, struct buf *why)
{
  size_t n = strlen(value);

  if (n && value[n - 1] == '\n')
    value[--n] = 0;
  if (n >= least && n <= SECRET_MAX && !memchr(value, '\n', n))
    return true;
  buf_addf(why, "%s is not one line of %zu to %d bytes", what, least, SECRET_MAX);
  return false;
}

static char *read_line(const char *path, size_t least, struct buf *why, const char **help)
{
  char bytes[SECRET_MAX + 3], *what = xasprintf("the secret in %s", path), *secret = NULL;
  ssize_t n;

  *help = NULL;
  n = read_file(path, bytes, sizeof bytes - 1, why, help);
  bytes[n > 0 ? n : 0] = 0;
  if (n >= 0 && memchr(bytes, 0, (size_t)n))
    buf_addf(why, "%s is not one line of %zu to %d bytes", what, least, SECRET_MAX);
  else if (n >= 0 && secret_is_line(bytes, least, what, why))
    secret = xstrdup(bytes);
  mem_wipe(bytes, sizeof bytes);
  free(what);
  return secret;
}

char *secret_read(const char *path, struct buf *why, const char **help)
{
  char *secret = read_line(path, SECRET_LEAST, why, help);

  if (!secret && !*help)
    *help = "make one: openssl rand -hex 32";
  return secret;
}

char *secret_read_password(const char *path, struct buf *why, const char **help)
{
  return read_line(path, SECRET_PASSWORD_LEAST, why, help);
}

bool secret_fits(const char *bytes, size_t n, const char *what, struct buf *why)
{
  if (n && n <= SECRET_VALUE_MAX && !memchr(bytes, 0, n))
    return true;
  if (!n)
    buf_addf(why, "%s is empty", what);
  else if (n > SECRET_VALUE_MAX)
    buf_addf(why, "%s is larger than %d KiB", what, SECRET_VALUE_MAX / 1024);
  else
    buf_addf(why, "%s has a NUL in it, which no variable can have", what);
  return false;
}

char *secret_value(const char *path, struct buf *why, const char **help)
{
  char bytes[SECRET_VALUE_MAX + 1], *what = xasprintf("the secret's file %s", path), *value = NULL;
  ssize_t n;

  *help = NULL;
  n = read_file(path, bytes, sizeof bytes, why, help);
  if (n >= 0 && secret_fits(bytes, (size_t)n, what, why))
    value = xstrndup(bytes, (size_t)n);
  mem_wipe(bytes, sizeof bytes);
  free(what);
  return value;
}

/* What an OpenSSH key begins with that has no passphrase: "openssh-key-v1", the cipher "none". */
#define PLAIN_OPENSSH "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"

static bool has_passphrase(const char *text)
{
  static const char openssh[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";

  return strncmp(text, openssh, sizeof openssh - 1) ? strstr(text, "ENCRYPTED") != NULL : strncmp(text + sizeof openssh - 1, PLAIN_OPENSSH, strlen(PLAIN_OPENSSH)) != 0;
}

bool secret_is_key(const char *value, const char *what, struct buf *why, const char **help)
{
  *help = NULL;
  if (strlen(value) >= SECRET_KEY_MAX || strncmp(value, "-----BEGIN ", 11)) {
    buf_addf(why, "there is no private key in %s", what);
    *help = "make one: ssh-keygen -t ed25519 -N '' -f FILE";
    return false;
  }
  if (has_passphrase(value)) {
    buf_addf(why, "the private key in %s has a passphrase, and nobody is there to type it", what);
    *help = "make one without: ssh-keygen -t ed25519 -N '' -f FILE";
    return false;
  }
  return true;
}

char *secret_read_key(const char *path, struct buf *why, const char **help)
{
  char *bytes = xmalloc(SECRET_KEY_MAX + 1), *key = NULL;
  ssize_t n;

  *help = NULL;
  n = read_file(path, bytes, SECRET_KEY_MAX, why, help);
  bytes[n > 0 ? n : 0] = 0;
  if (n >= 0 && strlen(bytes) != (size_t)n)
    bytes[0] = 0; /* no key has a NUL */
  if (n >= 0 && secret_is_key(bytes, path, why, help))
    key = xstrdup(bytes);
  mem_wipe(bytes, SECRET_KEY_MAX + 1);
  free(bytes);
  return key;
}
