/* The worker programs that this installation hands out, for a host that is to become a worker: a list, each file, its SHA-256 (workers/offer.h).

   Failures: a name that is none, a file that is not there, is no plain file or is larger than a worker can be: 404. A file that changes under a reader: the connection is cut. */
#include "master/api/handlers.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/core/master.h"
#include "master/workers/offer.h"

#define NAME_PREFIX "drover-worker-"
#define SUM_SUFFIX ".sha256"
#define LIST_HEAD "# sha256                                                          bytes name\n"

enum { BLOCK = 64 << 10 };

/* ---- the list ---- */

void download_list(struct call *c)
{
  const char *accept = call_header(c, "Accept");
  bool json = accept && strstr(accept, "application/json");
  char names[OFFER_NAMES_MAX][OFFER_NAME_MAX + 1], full[sizeof NAME_PREFIX + OFFER_NAME_MAX];
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");
  struct buf text;
  int n = offer_names(call_master(c), names), fd;

  buf_init(&text, BUF_NO_MAX);
  buf_adds(&text, LIST_HEAD);
  for (int i = 0; i < n; i++) {
    const struct offer *o = offer_open(call_master(c), names[i], &fd);
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
  char name[OFFER_NAME_MAX + 2], line[OFFER_SUM_LEN + sizeof NAME_PREFIX + OFFER_NAME_MAX + 8];
  const struct offer *o = NULL;
  int fd;

  if (str_starts(full, NAME_PREFIX)) {
    snprintf(name, sizeof name, "%.*s", (int)(n - strlen(NAME_PREFIX) - (sum ? suffix : 0)), full + strlen(NAME_PREFIX));
    o = offer_open(call_master(c), name, &fd);
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
