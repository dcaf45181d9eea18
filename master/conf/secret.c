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

char *secret_read(const char *path, struct buf *why, const char **help)
{
  char bytes[SECRET_MAX + 2], *secret = NULL;
  ssize_t n;

  *help = NULL;
  n = read_file(path, bytes, sizeof bytes, why, help);
  if (n > 0 && bytes[n - 1] == '\n')
    n--;
  if (n >= SECRET_LEAST && n <= SECRET_MAX && !memchr(bytes, 0, (size_t)n) && !memchr(bytes, '\n', (size_t)n)) {
    secret = xstrndup(bytes, (size_t)n);
  } else if (n >= 0) {
    buf_addf(why, "the secret in %s is not one line of %d to %d bytes", path, SECRET_LEAST, SECRET_MAX);
    *help = "make one: openssl rand -hex 32";
  }
  mem_wipe(bytes, sizeof bytes);
  return secret;
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

char *secret_read_key(const char *path, struct buf *why, const char **help)
{
  char *bytes = xmalloc(SECRET_KEY_MAX + 1), *key = NULL;
  ssize_t n;

  *help = NULL;
  n = read_file(path, bytes, SECRET_KEY_MAX, why, help);
  bytes[n > 0 ? n : 0] = 0;
  if (n >= 0 && (n == SECRET_KEY_MAX || strlen(bytes) != (size_t)n || strncmp(bytes, "-----BEGIN ", 11))) {
    buf_addf(why, "there is no private key in %s", path);
    *help = "make one: ssh-keygen -t ed25519 -N '' -f FILE";
  } else if (n >= 0 && has_passphrase(bytes)) {
    buf_addf(why, "the private key in %s has a passphrase, and nobody is there to type it", path);
    *help = "make one without: ssh-keygen -t ed25519 -N '' -f FILE";
  } else if (n >= 0) {
    key = xstrdup(bytes);
  }
  mem_wipe(bytes, SECRET_KEY_MAX + 1);
  free(bytes);
  return key;
}
