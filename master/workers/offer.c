/* Happy path: folder (key `downloads`, else ../lib/drover/worker beside the program, else the worker beside it as a build leaves it) → files named OS-ARCH → hashed once.
   Hashing blocks the loop for as long as 8 MiB take (some 10 ms) and only where a file is new. */
#include "master/workers/offer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"

#define VERSION_MARK "@(#)drover-worker " /* worker/version.h */

static struct offer known[OFFER_NAMES_MAX]; /* filled round and round; name empty: unused */
static unsigned known_next;

/* ---- names and places ---- */

/* OS-ARCH: "linux-x86_64". */
static bool is_name(const char *s)
{
  size_t n = strlen(s), os = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");

  return n <= OFFER_NAME_MAX && os && s[os] == '-' && s[os + 1] && !s[os + 1 + strspn(s + os + 1, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

/* The folder of the program, without a slash at its end; NULL where nobody tells. It stays the same while we run. */
static const char *program_folder(void)
{
  static char self[PATH_MAX];
  ssize_t n;
  char *slash;

  if (*self)
    return self;
  n = readlink("/proc/self/exe", self, sizeof self - 1);
  self[n > 0 ? n : 0] = 0;
  slash = strrchr(self, '/');
  if (slash)
    *slash = 0;
  return slash ? self : NULL;
}

bool offer_kind(const char *os, const char *arch, char out[OFFER_NAME_MAX + 1])
{
  int n = snprintf(out, OFFER_NAME_MAX + 1, "%s-%s", os, arch);

  for (char *p = out; *p; p++)
    if (*p >= 'A' && *p <= 'Z')
      *p = (char)(*p - 'A' + 'a');
  return n <= OFFER_NAME_MAX && is_name(out);
}

/* What a build leaves beside the master is a worker for this host's kind. */
static void beside_name(char out[OFFER_NAME_MAX + 1])
{
  struct utsname u;

  memset(&u, 0, sizeof u);
  uname(&u);
  if (!offer_kind(u.sysname, u.machine, out))
    out[0] = 0;
}

/* -1: there is no folder. */
static int open_folder(const struct master *m)
{
  char path[PATH_MAX + 32];

  if (m->conf->downloads)
    return open(m->conf->downloads, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!program_folder())
    return -1;
  snprintf(path, sizeof path, "%s/../lib/drover/worker", program_folder());
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_beside(void)
{
  char path[PATH_MAX + 32];

  if (!program_folder())
    return -1;
  snprintf(path, sizeof path, "%s/drover-worker", program_folder());
  return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static int open_named(const struct master *m, const char *name)
{
  char here[OFFER_NAME_MAX + 1];
  int folder = open_folder(m), fd;

  if (folder >= 0) {
    fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(folder);
    return fd;
  }
  beside_name(here);
  return m->conf->downloads || strcmp(name, here) ? -1 : open_beside();
}

/* ---- a file ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
         a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* All of it, the caller's to free; NULL: it can't be read, or is shorter by now. */
static char *slurp(int fd, off_t size)
{
  char *bytes = xmalloc((size_t)size);
  off_t at = 0;
  ssize_t n;

  while (at < size && (n = pread(fd, bytes + at, (size_t)(size - at), at)) > 0)
    at += n;
  if (at == size)
    return bytes;
  free(bytes);
  return NULL;
}

/* What the program calls itself; "" where it does not say. */
static void find_version(const char *bytes, size_t n, char out[OFFER_VERSION_MAX])
{
  const char *at = memmem(bytes, n, VERSION_MARK, sizeof VERSION_MARK - 1);
  size_t len = 0;

  out[0] = 0;
  if (!at)
    return;
  at += sizeof VERSION_MARK - 1;
  while (at + len < bytes + n && len < OFFER_VERSION_MAX - 1 && strchr("0123456789abcdefghijklmnopqrstuvwxyz.+~-", at[len]) && at[len])
    len++;
  memcpy(out, at, len);
  out[len] = 0;
}

static void hash(const char *bytes, size_t n, char hex[OFFER_SUM_LEN + 1])
{
  unsigned char sum[SHA256_DIGEST_LENGTH];

  SHA256((const unsigned char *)bytes, n, sum);
  str_hex(sum, sizeof sum, hex);
}

static bool examine(int fd, off_t size, struct offer *o)
{
  char *bytes = slurp(fd, size);

  if (!bytes)
    return false;
  hash(bytes, (size_t)size, o->sha256);
  find_version(bytes, (size_t)size, o->version);
  free(bytes);
  return true;
}

/* fd is a file that may be handed out; NULL: it is not. */
static const struct offer *look_at(int fd, const char *name)
{
  struct offer *o;
  struct stat st;

  if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > OFFER_SIZE_MAX)
    return NULL;
  for (int i = 0; i < OFFER_NAMES_MAX; i++)
    if (!strcmp(known[i].name, name) && same_file(&known[i].st, &st))
      return &known[i];
  o = &known[known_next++ % OFFER_NAMES_MAX];
  snprintf(o->name, sizeof o->name, "%s", name);
  o->st = st;
  if (examine(fd, st.st_size, o))
    return o;
  o->name[0] = 0;
  return NULL;
}

const struct offer *offer_open(const struct master *m, const char *name, int *fd)
{
  const struct offer *o = NULL;

  *fd = is_name(name) ? open_named(m, name) : -1;
  if (*fd >= 0)
    o = look_at(*fd, name);
  if (*fd >= 0 && !o) {
    close(*fd);
    *fd = -1;
  }
  return o;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int offer_names(const struct master *m, char names[OFFER_NAMES_MAX][OFFER_NAME_MAX + 1])
{
  int folder = open_folder(m), n = 0;
  DIR *d = folder >= 0 ? fdopendir(folder) : NULL;
  struct dirent *e;

  while (d && n < OFFER_NAMES_MAX && (e = readdir(d)))
    if (is_name(e->d_name))
      memcpy(names[n++], e->d_name, strlen(e->d_name) + 1);
  if (d)
    closedir(d);
  else if (folder >= 0)
    close(folder);
  else if (!m->conf->downloads)
    beside_name(names[n++]);
  qsort(names, (size_t)n, sizeof names[0], by_name);
  return n;
}

char *offer_read(const struct master *m, const char *name, const struct offer **of)
{
  char hex[OFFER_SUM_LEN + 1], *bytes;
  int fd;

  *of = offer_open(m, name, &fd);
  if (!*of)
    return NULL;
  bytes = slurp(fd, (*of)->st.st_size);
  close(fd);
  if (bytes)
    hash(bytes, (size_t)(*of)->st.st_size, hex);
  if (bytes && !strcmp(hex, (*of)->sha256))
    return bytes;
  free(bytes);
  return NULL;
}

int offer_compare(const char *a, const char *b)
{
  while (*a || *b) {
    unsigned long x = strtoul(a, NULL, 10), y = strtoul(b, NULL, 10);
    if (x != y)
      return x < y ? -1 : 1;
    a += strcspn(a, ".");
    b += strcspn(b, ".");
    a += *a == '.';
    b += *b == '.';
  }
  return 0;
}
