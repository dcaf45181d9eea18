/* The site's key: its file, and encryption with it. */
#include "master/core/site_key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"

enum { LINE = 2 * SITE_KEY_BYTES + 1, FILE_MAX = SITE_KEYS_MAX * LINE, OPEN_TO_OTHERS = 077 };

static char *path_of(const char *state)
{
  return xasprintf("%s/keys/site.key", state);
}

static void set_id(struct site_keys *k, int i)
{
  unsigned char hash[SHA256_DIGEST_LENGTH];

  SHA256(k->key[i], SITE_KEY_BYTES, hash);
  str_hex(hash, (SITE_KEY_ID_MAX - 1) / 2, k->id[i]);
}

void site_keys_wipe(struct site_keys *k)
{
  mem_wipe(k, sizeof *k);
}

static enum err parse(struct site_keys *k, const char *text, size_t n, const char *path, struct buf *why)
{
  memset(k, 0, sizeof *k);
  for (size_t at = 0; at < n; at += LINE) {
    if (k->n == SITE_KEYS_MAX || n - at < LINE || text[at + LINE - 1] != '\n' || str_unhex(text + at, LINE - 1, k->key[k->n], SITE_KEY_BYTES)) {
      buf_addf(why, "the site's key %s is not one of drover's: 1 to %d lines of %d hex digits", path, SITE_KEYS_MAX, LINE - 1);
      return ERR_SYNTAX;
    }
    set_id(k, k->n++);
  }
  if (k->n)
    return ERR_OK;
  buf_addf(why, "the site's key %s is empty", path);
  return ERR_SYNTAX;
}

static enum err read_file(const char *path, struct site_keys *k, struct buf *why)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char text[FILE_MAX + 1];
  struct stat st;
  enum err e = ERR_IO;
  ssize_t n;

  if (fd < 0 && errno == ENOENT) {
    buf_addf(why, "the site's key %s is not there", path);
    return ERR_NOTFOUND;
  }
  if (fd < 0 || fstat(fd, &st) || (n = read(fd, text, sizeof text)) < 0) {
    buf_addf(why, "the site's key %s can't be read: %s", path, strerror(errno));
  } else if (st.st_mode & OPEN_TO_OTHERS) {
    buf_addf(why, "the site's key %s is open to others, its mode is %04o: chmod 0600", path, (unsigned)st.st_mode & 07777);
    e = ERR_DENIED;
  } else {
    e = parse(k, text, (size_t)n, path, why);
  }
  if (fd >= 0)
    close(fd);
  mem_wipe(text, sizeof text);
  return e;
}

static bool sync_folder(const char *folder)
{
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && !fsync(fd);

  if (fd >= 0)
    close(fd);
  return ok;
}

/* In one step: there is never half a key. */
static enum err write_file(const char *state, const struct site_keys *k, struct buf *why)
{
  char *folder = xasprintf("%s/keys", state), *path = path_of(state), *new = xasprintf("%s.new", path), text[FILE_MAX + 1];
  int fd = mkdir(folder, 0700) && errno != EEXIST ? -1 : open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  size_t n = 0;
  bool ok;

  for (int i = 0; i < k->n; i++, n += LINE) {
    str_hex(k->key[i], SITE_KEY_BYTES, text + n);
    text[n + LINE - 1] = '\n';
  }
  ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && !fsync(fd);
  if (fd >= 0)
    ok = !close(fd) && ok;
  ok = ok && !rename(new, path) && sync_folder(folder);
  if (!ok)
    buf_addf(why, "the site's key %s can't be written: %s", path, strerror(errno));
  mem_wipe(text, sizeof text);
  free(folder);
  free(path);
  free(new);
  return ok ? ERR_OK : ERR_IO;
}

enum err site_keys_read(const char *state, bool make, struct site_keys *k, struct buf *why)
{
  char *path = path_of(state);
  enum err e = read_file(path, k, why);

  free(path);
  if (e != ERR_NOTFOUND || !make)
    return e;
  buf_reset(why);
  memset(k, 0, sizeof *k);
  return site_keys_add(state, k, why);
}

enum err site_keys_add(const char *state, struct site_keys *k, struct buf *why)
{
  enum err e;

  if (k->n == SITE_KEYS_MAX) {
    buf_addf(why, "there are %d keys already: a rotation was begun", k->n);
    return ERR_BUSY;
  }
  memmove(k->key[1], k->key[0], (size_t)k->n * sizeof k->key[0]);
  memmove(k->id[1], k->id[0], (size_t)k->n * sizeof k->id[0]);
  k->n++;
  str_random(k->key[0], SITE_KEY_BYTES);
  set_id(k, 0);
  e = write_file(state, k, why);
  return e;
}

enum err site_keys_trim(const char *state, struct site_keys *k, struct buf *why)
{
  k->n = 1;
  return write_file(state, k, why);
}

static char *associated(const char *name, int64_t version)
{
  return xasprintf("drover secret %s %" PRId64, name, version);
}

void site_key_seal(const struct site_keys *k, const char *name, int64_t version, const void *value, size_t n, unsigned char nonce[SITE_KEY_NONCE], unsigned char *sealed)
{
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  char *aad = associated(name, version);
  int ok, len;

  str_random(nonce, SITE_KEY_NONCE);
  ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->key[0], nonce) == 1 && EVP_EncryptUpdate(c, NULL, &len, (const unsigned char *)aad, (int)strlen(aad)) == 1 &&
       EVP_EncryptUpdate(c, sealed, &len, value, (int)n) == 1 && EVP_EncryptFinal_ex(c, sealed + n, &len) == 1 &&
       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SITE_KEY_TAG, sealed + n) == 1;
  assert(ok);
  EVP_CIPHER_CTX_free(c);
  free(aad);
}

enum err site_key_open(const struct site_keys *k, const char *id, const char *name, int64_t version, const void *nonce, const void *sealed, size_t n, unsigned char *value)
{
  EVP_CIPHER_CTX *c;
  char *aad;
  int ok, len, i = 0;

  while (i < k->n && strcmp(k->id[i], id))
    i++;
  if (i == k->n)
    return ERR_NOTFOUND;
  if (n < SITE_KEY_TAG)
    return ERR_CORRUPT;
  n -= SITE_KEY_TAG;
  c = EVP_CIPHER_CTX_new();
  aad = associated(name, version);
  ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->key[i], nonce) == 1 && EVP_DecryptUpdate(c, NULL, &len, (const unsigned char *)aad, (int)strlen(aad)) == 1 &&
       EVP_DecryptUpdate(c, value, &len, sealed, (int)n) == 1 &&
       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SITE_KEY_TAG, (void *)((uintptr_t)sealed + n)) == 1 && EVP_DecryptFinal_ex(c, value + n, &len) == 1;
  EVP_CIPHER_CTX_free(c);
  free(aad);
  if (ok)
    return ERR_OK;
  mem_wipe(value, n);
  return ERR_CORRUPT;
}
