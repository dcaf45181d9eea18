/* The worker programs that this installation hands out, for a host that is to become a worker: a list, each file, its SHA-256.

   Happy path: folder (key `downloads`, else ../lib/drover/worker beside the program, else the worker beside it as a build leaves it) → files named OS-ARCH → hashed once → streamed.
   Failures: a name that is none, a file that is not there, is no plain file or is larger than a worker can be: 404. A file that changes under a reader: the connection is cut.
   Hashing blocks the loop for as long as 8 MiB take (some 10 ms) and only where a file is new. */
#include "master/api/handlers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"

#define NAME_PREFIX "drover-worker-"
#define SUM_SUFFIX ".sha256"
#define LIST_HEAD "# sha256                                                          bytes name\n"

enum {
  SIZE_MAX_BYTES = 8 << 20,
  NAMES_MAX = 64,       /* of a folder are offered */
  NAME_LEN_MAX = 48,    /* of OS-ARCH */
  BLOCK = 64 << 10
};

/* A file that was hashed: the same inode with the same size and time is not read again. */
struct offer {
  char name[NAME_LEN_MAX + 1]; /* OS-ARCH */
  char sha256[2 * SHA256_DIGEST_LENGTH + 1];
  struct stat st;
};
static struct offer known[NAMES_MAX]; /* filled round and round; name empty: unused */
static unsigned known_next;

/* ---- names and places ---- */

/* OS-ARCH: "linux-x86_64". */
static bool is_name(const char *s)
{
  size_t n = strlen(s), os = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");

  return n <= NAME_LEN_MAX && os && s[os] == '-' && s[os + 1] && !s[os + 1 + strspn(s + os + 1, "abcdefghijklmnopqrstuvwxyz0123456789_")];
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

/* What a build leaves beside the master is a worker for this host's kind. */
static void beside_name(char out[NAME_LEN_MAX + 1])
{
  struct utsname u;

  memset(&u, 0, sizeof u);
  uname(&u);
  snprintf(out, NAME_LEN_MAX + 1, "%.15s-%.31s", u.sysname, u.machine);
  for (char *p = out; *p; p++)
    if (*p >= 'A' && *p <= 'Z')
      *p = (char)(*p - 'A' + 'a');
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
  char here[NAME_LEN_MAX + 1];
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

static bool hash(int fd, off_t size, char hex[2 * SHA256_DIGEST_LENGTH + 1])
{
  static char part[BLOCK];
  unsigned char sum[SHA256_DIGEST_LENGTH] = { 0 };
  EVP_MD_CTX *h = EVP_MD_CTX_new();
  bool good = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL);
  off_t at = 0;
  ssize_t n;

  while (good && at < size && (n = pread(fd, part, sizeof part, at)) > 0) {
    good = EVP_DigestUpdate(h, part, (size_t)n);
    at += n;
  }
  good = good && EVP_DigestFinal_ex(h, sum, NULL) && at == size;
  EVP_MD_CTX_free(h);
  str_hex(sum, sizeof sum, hex);
  return good;
}

/* fd is a file that may be handed out; NULL: it is not. */
static const struct offer *look_at(int fd, const char *name)
{
  struct offer *o;
  struct stat st;

  if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > SIZE_MAX_BYTES)
    return NULL;
  for (int i = 0; i < NAMES_MAX; i++)
    if (!strcmp(known[i].name, name) && same_file(&known[i].st, &st))
      return &known[i];
  o = &known[known_next++ % NAMES_MAX];
  snprintf(o->name, sizeof o->name, "%s", name);
  o->st = st;
  if (hash(fd, st.st_size, o->sha256))
    return o;
  o->name[0] = 0;
  return NULL;
}

static const struct offer *open_offer(const struct master *m, const char *name, int *fd)
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

/* ---- the list ---- */

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static int names_of(const struct master *m, char names[NAMES_MAX][NAME_LEN_MAX + 1])
{
  int folder = open_folder(m), n = 0;
  DIR *d = folder >= 0 ? fdopendir(folder) : NULL;
  struct dirent *e;

  while (d && n < NAMES_MAX && (e = readdir(d)))
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

void download_list(struct call *c)
{
  const char *accept = call_header(c, "Accept");
  bool json = accept && strstr(accept, "application/json");
  char names[NAMES_MAX][NAME_LEN_MAX + 1], full[sizeof NAME_PREFIX + NAME_LEN_MAX];
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");
  struct buf text;
  int n = names_of(call_master(c), names), fd;

  buf_init(&text, BUF_NO_MAX);
  buf_adds(&text, LIST_HEAD);
  for (int i = 0; i < n; i++) {
    const struct offer *o = open_offer(call_master(c), names[i], &fd);
    cJSON *item;
    if (!o)
      continue;
    close(fd);
    snprintf(full, sizeof full, NAME_PREFIX "%s", o->name);
    buf_addf(&text, "%s %7lld %s\n", o->sha256, (long long)o->st.st_size, full);
    item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", full);
    cJSON_AddNumberToObject(item, "size", (double)o->st.st_size);
    cJSON_AddStringToObject(item, "sha256", o->sha256);
    cJSON_AddItemToArray(items, item);
  }
  cJSON_AddNullToObject(body, "next");
  call_header_set(c, "Vary", "Accept");
  if (json) {
    call_json(c, 200, body);
  } else {
    call_body_text(c, 200, "text/plain; charset=utf-8", buf_str(&text));
    cJSON_Delete(body);
  }
  buf_free(&text);
}

/* ---- one of them ---- */

struct sending {
  int fd;
  off_t at, size;
};

static ssize_t sending_read(void *arg, char *out, size_t n)
{
  struct sending *s = arg;
  ssize_t got;

  if (s->at == s->size)
    return STREAM_END;
  got = pread(s->fd, out, n < (size_t)(s->size - s->at) ? n : (size_t)(s->size - s->at), s->at);
  if (got <= 0)
    return STREAM_BROKEN;
  s->at += got;
  return got;
}

static void sending_close(void *arg)
{
  struct sending *s = arg;

  close(s->fd);
  free(s);
}

static const struct stream_ops sending_ops = { .read = sending_read, .close = sending_close };

static void send_file(struct call *c, const struct offer *o, int fd)
{
  const char *held = call_header(c, "If-None-Match");
  char tag[sizeof o->sha256 + 2];
  struct sending *s;

  snprintf(tag, sizeof tag, "\"%s\"", o->sha256);
  call_header_set(c, "ETag", tag);
  if (held && strstr(held, tag)) {
    close(fd);
    call_body_text(c, 304, "application/octet-stream", "");
    return;
  }
  s = xcalloc(1, sizeof *s);
  s->fd = fd;
  s->size = o->st.st_size;
  call_stream(c, "application/octet-stream", s->size, BLOCK, &sending_ops, s);
}

void download_get(struct call *c)
{
  const char *full = call_arg(c, 0);
  size_t n = strlen(full), suffix = strlen(SUM_SUFFIX);
  bool sum = n > suffix && !strcmp(full + n - suffix, SUM_SUFFIX);
  char name[NAME_LEN_MAX + 2], line[2 * SHA256_DIGEST_LENGTH + sizeof NAME_PREFIX + NAME_LEN_MAX + 8];
  const struct offer *o = NULL;
  int fd;

  if (str_starts(full, NAME_PREFIX)) {
    snprintf(name, sizeof name, "%.*s", (int)(n - strlen(NAME_PREFIX) - (sum ? suffix : 0)), full + strlen(NAME_PREFIX));
    o = open_offer(call_master(c), name, &fd);
  }
  if (!o) {
    call_error(c, 404, "not_found", "/download/ lists what there is", "there is no such file to download");
  } else if (sum) {
    close(fd);
    snprintf(line, sizeof line, "%s  " NAME_PREFIX "%s\n", o->sha256, o->name);
    call_body_text(c, 200, "text/plain; charset=utf-8", line);
  } else {
    send_file(c, o, fd);
  }
}
