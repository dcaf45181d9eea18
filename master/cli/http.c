/* A small blocking HTTP/1.1 client over a unix socket; see http.h for what goes well and what may fail. */
#include "master/cli/http.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/str.h"
#include "master/cli/http_ssh.h"

#define HTTP_READ 65536        /* bytes asked of the kernel at a time */
#define HTTP_INFLATE 262144    /* raw bytes handed out at a time from a gzip body */
#define HTTP_CHUNK_LINE_MAX 1024
#define HTTP_SEND_S 30         /* a master that doesn't read for so long is away */

enum body_kind { BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE };

struct http {
  char *path, why[256];
  int fd;
  pid_t ssh;            /* what the connection goes through; 0: it is a socket of this host */
  bool used;            /* the connection has answered before */
  struct buf in;        /* what was read; at: how much of it is used up */
  size_t at;
  int status;
  struct buf head;
  enum body_kind kind;
  int64_t left;         /* of the body, or of the chunk */
  bool in_chunk;        /* a chunk's line feed is still to come */
  bool ended;           /* the body was read to its end */
  bool gzip, gzip_done;
  z_stream z;
  char *raw;            /* HTTP_INFLATE bytes */
};

struct http *http_new(const char *socket_path)
{
  struct http *h = xcalloc(1, sizeof *h);

  h->path = xstrdup(socket_path);
  h->fd = -1;
  h->ended = true;
  buf_init(&h->in, BUF_NO_MAX);
  buf_init(&h->head, HTTP_HEAD_MAX);
  return h;
}

static void end_gzip(struct http *h)
{
  if (h->gzip)
    inflateEnd(&h->z);
  h->gzip = h->gzip_done = false;
}

void http_close(struct http *h)
{
  if (h->fd >= 0)
    close(h->fd);
  h->fd = -1;
  if (h->ssh)
    http_ssh_close(h->ssh);
  h->ssh = 0;
  h->used = false;
  h->ended = true;
  end_gzip(h);
  buf_reset(&h->in);
  h->at = 0;
}

void http_free(struct http *h)
{
  if (!h)
    return;
  http_close(h);
  buf_free(&h->in);
  buf_free(&h->head);
  free(h->raw);
  free(h->path);
  free(h);
}

printf_like(3, 4) static enum err fail(struct http *h, enum err e, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(h->why, sizeof h->why, fmt, ap);
  va_end(ap);
  http_close(h);
  return e;
}

static enum err open_ssh(struct http *h)
{
  if (!http_ssh_valid(h->path))
    return fail(h, ERR_BADARG, "this is no ssh://[USER@]HOST[:PORT]: %s", h->path);
  h->fd = http_ssh_open(h->path, &h->ssh);
  return h->fd < 0 ? fail(h, ERR_AWAY, "can't start ssh: %s", strerror(errno)) : ERR_OK;
}

static enum err open_socket(struct http *h)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  struct timeval limit = { .tv_sec = HTTP_SEND_S };

  if (str_starts(h->path, SSH_PREFIX))
    return open_ssh(h);
  if (strlen(h->path) >= sizeof sa.sun_path)
    return fail(h, ERR_BADARG, "the socket's path is longer than %zu bytes: %s", sizeof sa.sun_path - 1, h->path);
  strcpy(sa.sun_path, h->path);
  h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (h->fd < 0)
    return fail(h, ERR_AWAY, "no socket: %s", strerror(errno));
  (void)setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (!connect(h->fd, (struct sockaddr *)&sa, sizeof sa))
    return ERR_OK;
  switch (errno) {
  case ENOENT:
    return fail(h, ERR_AWAY, "there is no master at %s", h->path);
  case ECONNREFUSED:
    return fail(h, ERR_AWAY, "the master at %s is not running", h->path);
  case EACCES:
  case EPERM:
    return fail(h, ERR_DENIED, "this user may not use %s", h->path);
  default:
    return fail(h, ERR_AWAY, "the master at %s can't be reached: %s", h->path, strerror(errno));
  }
}

/* ERR_NOTFOUND: closed, as of read_head: which of the two notices it first is a matter of luck. */
static enum err send_all(struct http *h, const struct buf *b)
{
  for (size_t at = 0; at < b->len;) {
    ssize_t n = send(h->fd, b->data + at, b->len - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return ERR_NOTFOUND;
    at += (size_t)n;
  }
  return ERR_OK;
}

/* Reads more. ERR_NOTFOUND: the other side has closed. */
static enum err fill(struct http *h, int64_t timeout_ms)
{
  struct pollfd pfd = { .fd = h->fd, .events = POLLIN };
  int64_t end = clock_mono_ms() + timeout_ms;
  ssize_t n;

  if (h->fd < 0)
    return ERR_NOTFOUND;
  for (;;) {
    int64_t left = timeout_ms ? end - clock_mono_ms() : 0;
    int ready = poll(&pfd, 1, left > 0 ? (int)left : 0);
    if (ready > 0)
      break;
    if (ready == 0 || errno != EINTR)
      return ERR_AGAIN;
  }
  buf_drop(&h->in, h->at);
  h->at = 0;
  buf_reserve(&h->in, HTTP_READ);
  do
    n = read(h->fd, h->in.data + h->in.len, HTTP_READ);
  while (n < 0 && errno == EINTR);
  if (n <= 0)
    return ERR_NOTFOUND;
  buf_grown(&h->in, (size_t)n);
  return ERR_OK;
}

bool http_header(const struct http *h, const char *name, char *out, size_t cap)
{
  size_t n = strlen(name);

  for (const char *line = strstr(buf_str(&h->head), "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
    const char *s = line + 2;
    if (strncasecmp(s, name, n) || s[n] != ':')
      continue;
    s += n + 1 + strspn(s + n + 1, " \t");
    n = strcspn(s, "\r\n");
    if (n >= cap)
      return false;
    memcpy(out, s, n);
    out[n] = 0;
    return true;
  }
  return false;
}

/* From the head: how the body is framed. */
static enum err begin_body(struct http *h, const char *method)
{
  char value[64];

  h->ended = h->in_chunk = false;
  h->left = 0;
  h->kind = BODY_CLOSE;
  if (!strcmp(method, "HEAD") || h->status == 204 || h->status == 304) {
    h->ended = true;
  } else if (http_header(h, "transfer-encoding", value, sizeof value)) {
    if (strcasecmp(value, "chunked"))
      return fail(h, ERR_SYNTAX, "the master answered with an unknown transfer encoding");
    h->kind = BODY_CHUNKED;
  } else if (http_header(h, "content-length", value, sizeof value)) {
    h->kind = BODY_LENGTH;
    if (str_number(value, strlen(value), &h->left))
      return fail(h, ERR_SYNTAX, "the master answered with a bad length");
    h->ended = h->left == 0;
  }
  if (http_header(h, "content-encoding", value, sizeof value) && !strcasecmp(value, "gzip")) {
    memset(&h->z, 0, sizeof h->z);
    if (inflateInit2(&h->z, 15 + 16) != Z_OK)
      abort();
    h->z.avail_out = 1; /* not full: nothing is held back inside */
    h->gzip = true;
    if (!h->raw)
      h->raw = xmalloc(HTTP_INFLATE);
  }
  return ERR_OK;
}

/* ERR_NOTFOUND: closed before a byte of the answer came. */
static enum err read_head(struct http *h, const char *method, int64_t timeout_ms)
{
  int64_t end = clock_mono_ms() + timeout_ms;
  char *stop;

  for (;;) {
    int64_t left = end - clock_mono_ms();
    enum err e;
    if (h->in.len && (stop = memmem(h->in.data, h->in.len, "\r\n\r\n", 4))) {
      size_t n = (size_t)(stop - h->in.data) + 4;
      buf_reset(&h->head);
      buf_add(&h->head, h->in.data, n - 2);
      buf_drop(&h->in, n);
      if (h->head.failed || memchr(buf_str(&h->head), 0, h->head.len))
        return fail(h, ERR_TOOBIG, "the master's answer has a bad head");
      if (sscanf(buf_str(&h->head), "HTTP/1.%*1[01] %3d", &h->status) != 1 || h->status < 100)
        return fail(h, ERR_SYNTAX, "what answers at %s is not drover's master", h->path);
      if (h->status >= 200)
        return begin_body(h, method);
      continue; /* 1xx: the real one follows */
    }
    if (h->in.len >= HTTP_HEAD_MAX)
      return fail(h, ERR_TOOBIG, "the master's answer has too long a head");
    e = fill(h, left > 0 ? left : 0);
    if (e == ERR_NOTFOUND && !h->in.len)
      return ERR_NOTFOUND;
    if (e == ERR_NOTFOUND)
      return fail(h, ERR_AWAY, "the master closed the connection");
    if (e)
      return fail(h, ERR_TIMEOUT, "the master did not answer for %lld s", (long long)timeout_ms / 1000);
  }
}

enum err http_start(struct http *h, const char *method, const char *path, const char *headers, const char *json, int64_t timeout_ms)
{
  bool again = !strcmp(method, "GET");
  struct buf b;
  enum err e;

  if (!h->ended || !again)
    http_close(h); /* a POST never meets a connection that may be half closed */
  end_gzip(h);
  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drover/" DROVER_VERSION "\r\n%s", method, path, headers ? headers : "");
  if (json)
    buf_addf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(json), json);
  else
    buf_adds(&b, again ? "\r\n" : "Content-Length: 0\r\n\r\n");
  for (;; http_close(h)) {
    bool used = h->used;
    e = h->fd >= 0 ? ERR_OK : open_socket(h);
    if (!e)
      e = send_all(h, &b);
    else
      used = false;
    if (!e)
      e = read_head(h, method, timeout_ms);
    if (!used || !again || (e != ERR_NOTFOUND && e != ERR_AWAY))
      break;
  }
  buf_free(&b);
  if (e == ERR_NOTFOUND)
    return fail(h, ERR_AWAY, h->ssh ? "nothing answers through %s" : "the master closed the connection without an answer%.0s", h->path);
  h->used = !e;
  return e;
}

int http_status(const struct http *h)
{
  return h->status;
}

/* A line that ends in LF, from what was read; *line is valid until the next fill. */
static enum err take_line(struct http *h, const char **line, int64_t timeout_ms)
{
  for (;;) {
    char *s = h->in.len > h->at ? memchr(h->in.data + h->at, '\n', h->in.len - h->at) : NULL;
    enum err e;
    if (s) {
      *s = 0;
      *line = h->in.data + h->at;
      h->at = (size_t)(s - h->in.data) + 1;
      return ERR_OK;
    }
    if (h->in.len - h->at > HTTP_CHUNK_LINE_MAX)
      return fail(h, ERR_SYNTAX, "the master's answer is not well-formed");
    e = fill(h, timeout_ms);
    if (e == ERR_NOTFOUND)
      return fail(h, ERR_AWAY, "the master closed the connection");
    if (e)
      return e;
  }
}

/* The next chunk's size into left; 0 and ended at the last one. May be called again after ERR_AGAIN. */
static enum err next_chunk(struct http *h, int64_t timeout_ms)
{
  const char *line;
  char *end;
  enum err e = take_line(h, &line, timeout_ms);

  if (e)
    return e;
  if (h->in_chunk) { /* the CRLF behind the chunk before */
    h->in_chunk = false;
    if (strcmp(line, "\r"))
      return fail(h, ERR_SYNTAX, "the master's answer is not well-formed");
    return next_chunk(h, timeout_ms);
  }
  h->left = strtoll(line, &end, 16);
  if (end == line || h->left < 0 || (*end && *end != '\r' && *end != ';'))
    return fail(h, ERR_SYNTAX, "the master's answer is not well-formed");
  if (h->left > 0) {
    h->in_chunk = true;
    return ERR_OK;
  }
  do {
    e = take_line(h, &line, HTTP_SEND_S * 1000);
    if (e)
      return e == ERR_AGAIN ? fail(h, ERR_AWAY, "the master's answer broke off") : e;
  } while (strcmp(line, "\r"));
  h->ended = true;
  return ERR_OK;
}

/* The body's next bytes without chunking, as stored in the input buffer. */
static enum err next_bytes(struct http *h, const void **p, size_t *n, int64_t timeout_ms)
{
  for (;;) {
    enum err e = ERR_OK;
    if (h->ended)
      return ERR_NOTFOUND;
    if (h->kind == BODY_CHUNKED && h->left == 0) {
      e = next_chunk(h, timeout_ms);
    } else if (h->in.len > h->at) {
      *n = h->in.len - h->at;
      if (h->kind != BODY_CLOSE && (int64_t)*n > h->left)
        *n = (size_t)h->left;
      *p = h->in.data + h->at;
      h->at += *n;
      h->left -= h->kind != BODY_CLOSE ? (int64_t)*n : 0;
      h->ended = h->kind == BODY_LENGTH && h->left == 0;
      return ERR_OK;
    } else {
      e = fill(h, timeout_ms);
      if (e == ERR_NOTFOUND && h->kind != BODY_CLOSE)
        return fail(h, ERR_AWAY, "the master closed the connection");
      if (e == ERR_NOTFOUND) {
        h->ended = true;
        close(h->fd);
        h->fd = -1;
        h->used = false;
        return ERR_NOTFOUND;
      }
    }
    if (e)
      return e;
  }
}

enum err http_read(struct http *h, const void **p, size_t *n, int64_t timeout_ms)
{
  if (!h->gzip)
    return next_bytes(h, p, n, timeout_ms);
  for (;;) {
    const void *in = NULL;
    size_t len = 0;
    int z;

    if (!h->z.avail_in && (h->z.avail_out || h->gzip_done)) {
      enum err e = next_bytes(h, &in, &len, timeout_ms);
      if (e == ERR_NOTFOUND && !h->gzip_done)
        return fail(h, ERR_AWAY, "the log broke off");
      if (e)
        return e;
      h->z.next_in = (unsigned char *)(uintptr_t)in;
      h->z.avail_in = (unsigned)len;
    }
    if (h->gzip_done && h->z.avail_in)
      return fail(h, ERR_CORRUPT, "there are bytes behind the log's end");
    h->z.next_out = (unsigned char *)h->raw;
    h->z.avail_out = HTTP_INFLATE;
    z = inflate(&h->z, Z_NO_FLUSH);
    if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
      return fail(h, ERR_CORRUPT, "the log's compressed bytes are damaged");
    h->gzip_done = z == Z_STREAM_END;
    *n = HTTP_INFLATE - h->z.avail_out;
    *p = h->raw;
    if (*n)
      return ERR_OK;
  }
}

int http_fd(const struct http *h)
{
  return h->fd;
}

bool http_ready(const struct http *h)
{
  return h->ended || h->in.len > h->at || (h->gzip && (h->z.avail_in || !h->z.avail_out));
}

const char *http_why(const struct http *h)
{
  return h->why;
}
