/* Both ends of HTTP: arbitrary bytes as a request's target, as what proxies and clients say in headers, and as the answer that the command line reads, by the first byte. A target that is taken says the same when it is encoded
   again; only a trusted proxy is believed; an answer is the same however it is
   framed and cut. */
#include "tests/fuzz/fuzz.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/api/accept.h"
#include "master/api/path.h"
#include "master/api/proxy.h"
#include "master/cli/http.h"
#include "master/cli/ids.h"

enum { ANSWER_MS = 5000, BODY_MAX = 1 << 20 };

/* ---- targets ---- */

static void put_target(struct buf *b, const struct path *t)
{
  buf_init(b, BUF_NO_MAX);
  for (int i = 0; i < t->nseg; i++) {
    buf_addc(b, '/');
    id_encode(b, t->seg[i]);
  }
  if (t->slash || !t->nseg)
    buf_addc(b, '/');
  for (int i = 0; i < t->nquery; i++) {
    buf_addc(b, i ? '&' : '?');
    id_encode(b, t->query[i].key);
    buf_addc(b, '=');
    id_encode(b, t->query[i].value);
  }
}

static void target(const char *text)
{
  struct path t, again;
  const char *why;
  struct buf b;

  if (path_parse(&t, text, "/ci", &why)) {
    must(why && *why);
    path_free(&t);
    return;
  }
  must(t.nseg >= 0 && t.nseg <= PATH_SEGMENTS_MAX && t.nquery >= 0 && t.nquery <= PATH_QUERY_MAX);
  for (int i = 0; i < t.nseg; i++) {
    const char *s = t.seg[i];
    must(*s && strcmp(s, ".") && strcmp(s, "..") && !strpbrk(s, "/\\;?#") && utf8_valid(s, strlen(s)));
    for (; *s; s++)
      must((unsigned char)*s >= ' ' && *s != 127);
  }
  for (int i = 0; i < t.nquery; i++) {
    must(utf8_valid(t.query[i].key, strlen(t.query[i].key)) && utf8_valid(t.query[i].value, strlen(t.query[i].value)));
    must(path_query(&t, t.query[i].key) == t.query[i].value);
  }
  put_target(&b, &t);
  if (b.len <= PATH_TARGET_MAX) {
    must(!path_parse(&again, buf_str(&b), NULL, &why));
    must(again.nseg == t.nseg && again.slash == t.slash && again.nquery == t.nquery);
    for (int i = 0; i < t.nseg; i++)
      must(!strcmp(t.seg[i], again.seg[i]));
    for (int i = 0; i < t.nquery; i++)
      must(!strcmp(t.query[i].key, again.query[i].key) && !strcmp(t.query[i].value, again.query[i].value));
    path_free(&again);
  }
  buf_free(&b);
  path_free(&t);
}

/* ---- headers ---- */

/* Four lines: X-Forwarded-For, -Proto, -Host, Forwarded; an empty one is not there. */
static void headers(char *text)
{
  static struct net trusted[2];
  struct net_addr peer, stranger;
  struct proxy_asked a, b;
  const char *line[4] = { NULL };
  struct proxy_says says, more;
  char *longer;

  must(!net_parse("10.0.0.0/8", &trusted[0]) && !net_parse("::1", &trusted[1]) && !net_addr_parse("10.1.2.3", 8, &peer) && !net_addr_parse("192.0.2.9", 9, &stranger));
  for (int i = 0; i < 4 && text; i++) {
    char *end = strchr(text, '\n');
    if (end)
      *end++ = 0;
    line[i] = *text ? text : NULL;
    text = end;
  }
  (void)accept_gzip(line[0]), (void)accept_html(line[1]), (void)accept_has(line[2], "\"e\"");
  says = (struct proxy_says){ line[0], line[1], line[2], line[3] };
  proxy_read(&says, &stranger, trusted, 2, &a);
  must(!memcmp(&a.client, &stranger, sizeof stranger) && !a.scheme && !a.has_host); /* whoever is no proxy of ours says nothing */
  proxy_read(&says, &peer, trusted, 2, &a);
  must(strlen(a.host) < PROXY_HOST_MAX && (!a.scheme || !strcmp(a.scheme, "http") || !strcmp(a.scheme, "https")) && (a.has_host || !*a.host));
  /* Whatever somebody writes in front of what our proxy has seen, he is whom the proxy has seen. */
  if (line[0] && !line[3] && !net_has(&trusted[0], &a.client) && !net_has(&trusted[1], &a.client)) {
    longer = xasprintf("203.0.113.7, %s", line[0]);
    more = says;
    more.x_for = longer;
    proxy_read(&more, &peer, trusted, 2, &b);
    must(!memcmp(&a.client, &b.client, sizeof a.client));
    free(longer);
  }
}

/* ---- answers ---- */

static struct sockaddr_un where = { .sun_family = AF_UNIX };

struct answer {
  const char *p;
  size_t n, piece; /* piece: bytes that are sent at once */
  int fd;          /* listens */
};

/* Somebody who answers, and closes. */
static void *serve(void *arg)
{
  const struct answer *a = arg;
  int fd = accept(a->fd, NULL, NULL);
  char in[4096];

  must(fd >= 0 && recv(fd, in, sizeof in, 0) > 0);
  for (size_t at = 0; at < a->n;) {
    size_t n = a->n - at < a->piece ? a->n - at : a->piece;
    ssize_t w = send(fd, a->p + at, n, MSG_NOSIGNAL);
    if (w <= 0)
      break; /* it has read enough */
    at += (size_t)w;
  }
  shutdown(fd, SHUT_WR);
  while (recv(fd, in, sizeof in, 0) > 0)
    ;
  close(fd);
  return NULL;
}

struct got {
  enum err start, end;
  int status;
  struct buf body;
  char type[64];
};

static void get(struct answer *a, struct got *g)
{
  struct http *h = http_new(where.sun_path);
  pthread_t thread;
  const void *p;
  size_t n;

  memset(g, 0, sizeof *g);
  buf_init(&g->body, BODY_MAX);
  must(!pthread_create(&thread, NULL, serve, a));
  g->start = http_start(h, "GET", "/x", NULL, NULL, ANSWER_MS);
  if (!g->start) {
    g->status = http_status(h);
    must(g->status >= 200 && g->status <= 999);
    (void)http_header(h, "content-type", g->type, sizeof g->type);
    while (!(g->end = http_read(h, &p, &n, ANSWER_MS)) && !g->body.failed) {
      must(n > 0);
      buf_add(&g->body, p, n);
    }
  }
  must(g->start != ERR_TIMEOUT && g->end != ERR_AGAIN);
  must((!g->start && (g->end == ERR_NOTFOUND || g->body.failed)) || *http_why(h));
  http_free(h);
  pthread_join(thread, NULL);
}

static void leave(void) { unlink(where.sun_path); }

static int listener(void)
{
  static int listening = -1;

  if (listening < 0) {
    snprintf(where.sun_path, sizeof where.sun_path, "/tmp/drover-fuzz-http.%d", (int)getpid());
    unlink(where.sun_path);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listening >= 0 && !bind(listening, (struct sockaddr *)&where, sizeof where) && !listen(listening, 4));
    atexit(leave);
  }
  return listening;
}

static void answer(const char *p, size_t n)
{
  struct answer a = { p, n, n ? n : 1, listener() };
  struct got whole, cut;
  size_t least;

  get(&a, &whole);
  a.piece = 1 + n % 7;
  get(&a, &cut);
  must(whole.start == cut.start && whole.end == cut.end && whole.status == cut.status && !strcmp(whole.type, cut.type));
  least = whole.body.len < cut.body.len ? whole.body.len : cut.body.len;
  must(whole.body.len == cut.body.len || whole.end != ERR_NOTFOUND); /* of what is damaged more may be given out before it is noticed */
  must(!memcmp(buf_str(&whole.body), buf_str(&cut.body), least));
  buf_free(&whole.body);
  buf_free(&cut.body);
}

/* The same bytes, framed in each way that there is, are what is read. */
static void framed(const char *p, size_t n)
{
  enum { LENGTH, CHUNKED, CLOSE, GZIP, WAYS };
  static const char *const heads[WAYS] = { [LENGTH] = "", [CHUNKED] = "Transfer-Encoding: chunked\r\n", [CLOSE] = "Connection: close\r\n", [GZIP] = "Content-Encoding: gzip\r\n" };

  for (int i = 0; i < WAYS; i++) {
    struct answer a = { .piece = 1 + n % 61, .fd = listener() };
    char *gz = xmalloc(n + 1024);
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)p, .avail_in = (unsigned)n, .next_out = (unsigned char *)gz, .avail_out = (unsigned)n + 1024 };
    struct buf b;
    struct got g;
    must(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK && deflate(&z, Z_FINISH) == Z_STREAM_END);
    buf_init(&b, BUF_NO_MAX);
    buf_addf(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%s", heads[i]);
    if (i == LENGTH || i == GZIP)
      buf_addf(&b, "Content-Length: %zu\r\n", i == GZIP ? (size_t)z.total_out : n);
    buf_adds(&b, "\r\n");
    for (size_t at = 0, len; i == CHUNKED && at < n; at += len) {
      len = 1 + (unsigned char)p[at] % 100u;
      len = len < n - at ? len : n - at;
      buf_addf(&b, "%zx\r\n", len);
      buf_add(&b, p + at, len);
      buf_adds(&b, "\r\n");
    }
    if (i == CHUNKED)
      buf_adds(&b, "0\r\n\r\n");
    else
      buf_add(&b, i == GZIP ? gz : p, i == GZIP ? (size_t)z.total_out : n);
    deflateEnd(&z);
    a.p = b.data;
    a.n = b.len;
    get(&a, &g);
    must(!g.start && g.status == 200 && !strcmp(g.type, "text/plain") && g.end == ERR_NOTFOUND && g.body.len == n && !memcmp(buf_str(&g.body), p, n));
    buf_free(&g.body);
    buf_free(&b);
    free(gz);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *text;

  if (!n)
    return 0;
  text = xstrndup((const char *)p + 1, n - 1);
  switch (*p % 4) {
  case 0: target(text); break;
  case 1: framed((const char *)p + 1, n - 1); break;
  case 2: headers(text); break;
  case 3: answer((const char *)p + 1, n - 1); break;
  }
  free(text);
  return 0;
}
