/* One request: read, checked, handed to its route, answered. */
#include "master/api/http_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/api/accept.h"
#include "master/api/auth.h"
#include "master/api/handlers.h"
#include "master/api/proxy.h"
#include "master/api/web.h"
#include "master/changes/hooks/hook.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/core/refusal.h"

static const struct sm_row rows[CALL_STATES] = {
  [CALL_READING] = { "reading", SM_TO(CALL_WORKING) | SM_TO(CALL_READY) | SM_TO(CALL_GONE) },
  [CALL_WORKING] = { "working", SM_TO(CALL_READY) | SM_TO(CALL_GONE) },
  [CALL_READY]   = { "ready",   SM_TO(CALL_SENDING) | SM_TO(CALL_GONE) },
  [CALL_SENDING] = { "sending", SM_TO(CALL_GONE) },
  [CALL_GONE]    = { "gone",    0 },
};

struct master *call_master(const struct call *c) { return c->h->m; }
bool call_is_tcp(const struct call *c) { return c->conn->s->tcp; }
const struct route *call_route(const struct call *c) { return c->route; }
int call_args(const struct call *c) { return c->nargs; }
int call_segments(const struct call *c) { return c->path.nseg; }
int call_web_dir(const struct call *c) { return c->h->web_dir; }
const char *call_query(const struct call *c, const char *key) { return path_query(&c->path, key); }
bool call_is_head(const struct call *c) { return c->is_head; }
const struct buf *call_body(const struct call *c) { return &c->body; }

void call_wipe_body(struct call *c)
{
  if (c->body.data)
    mem_wipe(c->body.data, c->body.len);
}


const char *call_arg(const struct call *c, int i)
{
  assert(i >= 0 && i < c->nargs);
  return c->args[i];
}

const char *call_header(const struct call *c, const char *name)
{
  return c->mhd ? MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name) : NULL;
}

void call_who(const struct call *c, char *who, size_t n)
{
  char name[AUTH_WHO_MAX] = "";

  assert(c->conn);
  if (!c->conn->s->tcp)
    auth_peer(c->conn->fd, name);
  snprintf(who, n, "%s", c->conn->s->tcp ? c->client : name);
}

void *call_data(struct call *c, size_t n)
{
  if (!c->data)
    c->data = xcalloc(1, n);
  return c->data;
}

/* ---- life and death ---- */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
  return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* Called with the request line; what it returns is the request's context from then on. */
void *call_begin(void *cls, const char *target, struct MHD_Connection *mhd)
{
  struct server *s = cls;
  struct call *c = xcalloc(1, sizeof *c);

  sm_init(&c->sm, "call", rows, CALL_STATES, CALL_READING);
  c->h = s->h;
  c->mhd = mhd;
  c->conn = conn_of(mhd);
  c->conn->call = c;
  c->target = xstrdup(target);
  c->began_us = clock_mono_us();
  buf_init(&c->body, HTTP_BODY_MAX);
  return c;
}

static void call_free(struct call *c)
{
  c->h->large -= c->large;
  path_free(&c->path);
  buf_free(&c->body);
  for (int i = 0; i < c->nheaders; i++)
    free(c->headers[i].value);
  free(c->target);
  free(c->out);
  free(c->data);
  free(c);
}

static void close_stream(struct call *c)
{
  const struct stream_ops *ops = c->ops;

  c->ops = NULL;
  if (ops)
    ops->close(c->stream);
}

void call_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why)
{
  struct call *c = *context;

  (void)cls;
  (void)mhd;
  if (!c)
    return;
  *context = NULL;
  log_debug("api", "%s%s%s %d in %lld us%s", c->client, *c->client ? ": " : "", c->target, c->status, (long long)(clock_mono_us() - c->began_us),
            why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : ", cut");
  close_stream(c);
  c->conn->deadline = clock_mono_ms() + HTTP_IDLE_MS;
  c->conn->call = NULL;
  c->conn = NULL;
  c->mhd = NULL;
  sm_move(&c->sm, CALL_GONE);
  if (!c->holds)
    call_free(c);
}

void call_hold(struct call *c)
{
  c->holds++;
  c->h->held++;
}

bool call_release(struct call *c)
{
  struct http *h = c->h;
  bool gone = c->sm.state == CALL_GONE;

  assert(c->holds > 0);
  c->holds--;
  h->held--;
  if (gone && !c->holds)
    call_free(c);
  if (gone)
    http_maybe_done(h);
  return !gone;
}

static void resume(struct call *c)
{
  if (!c->suspended)
    return;
  c->suspended = false;
  MHD_resume_connection(c->mhd);
  server_soon(c->conn->s);
}

void call_cut(struct call *c)
{
  c->cut = true;
  resume(c);
}

void call_wake(struct call *c)
{
  resume(c);
}

/* ---- answers ---- */

static void ready(struct call *c, int status, const char *type)
{
  c->status = status;
  if (status == 503)
    call_header_set(c, "Retry-After", "1");
  c->type = type;
  sm_move(&c->sm, CALL_READY);
  resume(c);
}

void call_json(struct call *c, int status, cJSON *body)
{
  c->out = cJSON_PrintUnformatted(body);
  assert(c->out);
  c->out_len = strlen(c->out);
  cJSON_Delete(body);
  ready(c, status, "application/json");
}

void call_bytes(struct call *c, int status, const char *type, const void *p, size_t n)
{
  c->out = xmalloc(n + 1);
  if (n)
    memcpy(c->out, p, n);
  c->out_len = n;
  ready(c, status, type);
}

void call_body_text(struct call *c, int status, const char *type, const char *text)
{
  call_bytes(c, status, type, text, strlen(text));
}

void call_error(struct call *c, int status, const char *code, const char *help, const char *fmt, ...)
{
  cJSON *body;
  va_list ap;

  va_start(ap, fmt);
  body = refusal_v(code, help, fmt, ap);
  va_end(ap);
  call_json(c, status, body);
}

void call_header_set(struct call *c, const char *name, const char *value)
{
  assert(c->nheaders < CALL_HEADERS_MAX);
  for (const char *s = value; *s; s++)
    assert((unsigned char)*s >= ' ' && *s != 127);
  c->headers[c->nheaders].name = name;
  c->headers[c->nheaders++].value = xstrdup(value);
}

void call_stream(struct call *c, const char *type, int64_t length, size_t block, const struct stream_ops *ops, void *s)
{
  c->ops = ops;
  c->stream = s;
  c->length = length;
  c->block = block;
  ready(c, 200, type);
}

static ssize_t on_read(void *cls, uint64_t pos, char *out, size_t max)
{
  struct call *c = cls;
  ssize_t n;

  (void)pos;
  if (c->cut || !c->ops)
    return MHD_CONTENT_READER_END_WITH_ERROR;
  n = c->ops->read(c->stream, out, max);
  if (n == STREAM_WAIT) {
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
    return 0;
  }
  return n == STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM : n == STREAM_BROKEN ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

static struct MHD_Response *make_response(struct call *c)
{
  char *out = c->out;

  if (c->ops)
    return MHD_create_response_from_callback(c->length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)c->length, c->block, on_read, c, NULL);
  c->out = NULL;
  return MHD_create_response_from_buffer(c->out_len, out ? out : xstrdup(""), MHD_RESPMEM_MUST_FREE);
}

static void add_default(const struct call *c, struct MHD_Response *r, const char *name, const char *value)
{
  for (int i = 0; i < c->nheaders; i++)
    if (!strcmp(c->headers[i].name, name))
      return;
  MHD_add_response_header(r, name, value);
}

static enum MHD_Result queue(struct call *c)
{
  struct MHD_Response *r = make_response(c);
  enum MHD_Result queued;

  MHD_add_response_header(r, "Content-Type", c->type);
  MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
  add_default(c, r, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  add_default(c, r, "Cache-Control", "no-store");
  for (int i = 0; i < c->nheaders; i++)
    MHD_add_response_header(r, c->headers[i].name, c->headers[i].value);
  if (c->h->close_by)
    MHD_add_response_header(r, "Connection", "close");
  if (c->ops)
    MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)HTTP_STREAM_IDLE_S);
  c->conn->deadline = 0;
  sm_move(&c->sm, CALL_SENDING);
  queued = MHD_queue_response(c->mhd, (unsigned)c->status, r);
  MHD_destroy_response(r);
  return queued;
}

/* ---- the database ---- */

struct db_tx *call_tx(const struct call *c)
{
  return db_tx(c->h->m->db, DB_READ);
}

void call_away(struct call *c)
{
  const char *why = c->h->m->db_why;

  call_error(c, 503, "database_away", "try again; `drover status` tells more", "the database is away%s%s", why ? ": " : "", why ? why : "");
}

static void on_answer(struct db_res *r, void *arg)
{
  struct call *c = arg;

  if (!call_release(c))
    return;
  if (db_err(r) == ERR_AWAY) {
    call_away(c);
  } else if (db_err(r)) {
    log_error("api", "%s: %s", c->target, db_errtext(r));
    call_error(c, 500, "internal", "the master's log has the details", "the database refused the question");
  } else {
    c->got(c, r);
  }
}

void call_ask(struct call *c, struct db_tx *tx, void (*got)(struct call *c, const struct db_res *r))
{
  assert(!c->holds);
  c->got = got;
  call_hold(c);
  db_send(tx, on_answer, c);
}

/* ---- requests ---- */

/* Heads that two servers in a row could read differently, counted in one pass. */
struct head {
  size_t bytes;
  int hosts, lengths, encodings, origins, control;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
  struct head *h = cls;

  (void)kind;
  value = value ? value : "";
  h->bytes += strlen(key) + strlen(value) + 4;
  h->hosts += !strcasecmp(key, "Host");
  h->lengths += !strcasecmp(key, "Content-Length");
  h->encodings += !strcasecmp(key, "Transfer-Encoding");
  h->origins += !strcasecmp(key, "Origin");
  for (; *value; value++)
    h->control += ((unsigned char)*value < ' ' && *value != '\t') || *value == 127;
  return MHD_YES;
}

static bool refused_shape(struct call *c)
{
  struct head h = { .bytes = strlen(c->target) };
  const char *why, *encoding = call_header(c, "Transfer-Encoding");

  MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, on_header, &h);
  if (h.bytes > HTTP_HEAD_MAX)
    call_error(c, 413, "too_large", NULL, "the head of a request has at most %u bytes", HTTP_HEAD_MAX);
  else if (h.hosts > 1 || h.lengths > 1 || h.encodings > 1 || h.origins > 1 || (h.lengths && h.encodings) || h.control)
    call_error(c, 400, "bad_request", NULL, "headers that contradict each other");
  else if (encoding && strcasecmp(encoding, "chunked"))
    call_error(c, 400, "bad_request", NULL, "a transfer encoding that is not known here");
  else if (path_parse(&c->path, c->target, c->h->m->conf->prefix, &why))
    call_error(c, 400, "bad_request", NULL, "the path of the request has %s", why);
  else
    return false;
  return true;
}

/* Lines of one name, joined as RFC 9110 5.3 says. */
struct lines {
  const char *name;
  struct buf all;
};

static enum MHD_Result on_line(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
  struct lines *l = cls;

  (void)kind;
  if (!strcasecmp(key, l->name)) {
    buf_adds(&l->all, l->all.len ? ", " : "");
    buf_adds(&l->all, value ? value : "");
  }
  return MHD_YES;
}

/* NULL: there is none; else freed by the caller. */
static char *joined(struct call *c, const char *name)
{
  struct lines l = { .name = name };

  if (!call_header(c, name))
    return NULL;
  buf_init(&l.all, 2 * HTTP_HEAD_MAX);
  MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, on_line, &l);
  return buf_take(&l.all);
}

/* Who asks over TCP, and by which name: the peer, or what it says where it is a proxy that is trusted. */
static void read_proxy(struct call *c, struct proxy_asked *asked)
{
  const struct conf *conf = c->h->m->conf;
  char *all[] = { joined(c, "X-Forwarded-For"), joined(c, "X-Forwarded-Proto"), joined(c, "X-Forwarded-Host"), joined(c, "Forwarded") };
  struct proxy_says says = { all[0], all[1], all[2], all[3] };
  struct net_addr peer;

  memset(asked, 0, sizeof *asked);
  if (!net_peer(c->conn->fd, &peer)) {
    proxy_read(&says, &peer, conf->trusted, conf->ntrusted, asked);
    net_addr_text(&asked->client, c->client);
  }
  for (size_t i = 0; i < COUNT(all); i++)
    free(all[i]);
}

/* A browser must not be the one who asks for another page's sake. What a proxy says can only narrow this: the name that reached us has to be ours, too. */
static bool refused_browser(struct call *c, const char *method)
{
  const char *origin = call_header(c, "Origin"), *host = call_header(c, "Host"), *url = c->h->m->conf->url;
  const char *site = call_header(c, "Sec-Fetch-Site");
  char local[NET_TEXT_MAX] = "";
  struct proxy_asked asked;
  struct net_addr here;

  if (!c->conn->s->tcp) {
    if (!origin && (!site || !strcmp(method, "GET")))
      return false;
    call_error(c, 403, "forbidden", NULL, "no browser is served on this socket");
    return true;
  }
  read_proxy(c, &asked);
  if (!net_local(c->conn->fd, &here))
    net_addr_text(&here, local);
  if (!auth_host(host, local, url) || (asked.has_host && !auth_host(asked.host, local, url)))
    call_error(c, 403, "forbidden", "set site.url to the address that the page is reached by", "this is not the host that was asked for");
  else if (origin && !auth_origin(origin, asked.has_host ? asked.host : host, asked.scheme, url))
    call_error(c, 403, "forbidden", NULL, "another site's page asked for this");
  else
    return false;
  return true;
}

static bool known_key(const char *keys, const char *key)
{
  size_t n = strlen(key);

  for (const char *at = keys; *at; at += strcspn(at, " "), at += strspn(at, " "))
    if (strcspn(at, " ") == n && !memcmp(at, key, n))
      return true;
  return false;
}

static bool refused_route(struct call *c, const char *method)
{
  struct buf allow;

  buf_init(&allow, 256);
  c->route = route_find(method, &c->path, c->args, &c->nargs, &allow);
  if (!c->route && !allow.len && c->path.nseg <= WEB_DEPTHS && accept_html(call_header(c, "Accept")) && route_may_be_page(method, &c->path))
    c->route = route_unknown_page();
  if (!c->route && allow.len) {
    call_header_set(c, "Allow", buf_str(&allow));
    call_error(c, 405, "method_not_allowed", NULL, "this can only be asked for with %s", buf_str(&allow));
  } else if (!c->route) {
    call_error(c, 404, "not_found", "docs/api.md lists all paths", "there is nothing under this path");
  } else if (c->conn->s->tcp && c->route->permission != PERM_READ && c->route->permission != PERM_HOOK) {
    call_header_set(c, "WWW-Authenticate", "Bearer");
    call_error(c, 401, "unauthorized", "use `drover` on the master's host, over its unix socket", "over TCP this master can only be read");
  }
  buf_free(&allow);
  for (int i = 0; c->route && c->sm.state == CALL_READING && i < c->path.nquery; i++)
    if (!known_key(c->route->query, c->path.query[i].key))
      call_error(c, 400, "bad_request", *c->route->query ? c->route->query : NULL, "unknown key in the query");
  return c->sm.state != CALL_READING;
}

static size_t body_max(struct call *c, const char *method)
{
  const char *args[ROUTE_ARGS_MAX];
  const struct route *r;
  struct buf allow;
  int n;

  buf_init(&allow, 256);
  r = route_find(method, &c->path, args, &n, &allow);
  buf_free(&allow);
  if (r && r->permission == PERM_HOOK)
    return HOOK_BODY_MAX;
  return r && r->permission == PERM_BUILD && r->action == ACT_TRY && !c->conn->s->tcp ? HTTP_TRY_MAX : HTTP_BODY_MAX;
}

static void too_large(struct call *c)
{
  call_error(c, 413, "too_large", NULL, "the body of this request has at most %zu bytes", c->body.max);
}

/* The head is there. What is refused is answered when the body has been read, so that the client sees the answer; a body that is too large is not waited for. */
static enum MHD_Result take_head(struct call *c, const char *method)
{
  const char *length = call_header(c, "Content-Length");
  int64_t n;

  c->head_read = true;
  c->is_head = !strcmp(method, "HEAD");
  c->conn->deadline = clock_mono_ms() + HTTP_BODY_MS;
  MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)(HTTP_IDLE_MS / 1000));
  if (refused_shape(c))
    return queue(c);
  buf_init(&c->body, body_max(c, method));
  if (length && (str_number(length, strlen(length), &n) || n > (int64_t)c->body.max)) {
    too_large(c);
    return queue(c);
  }
  if (!refused_browser(c, method) && !refused_route(c, method) && c->route->permission == PERM_HOOK)
    hook_head(c);
  return MHD_YES;
}

/* Few large bodies at a time: strangers may fill this much memory, and not more. */
static bool take_large(struct call *c)
{
  if (c->large)
    return true;
  if (c->h->large == HTTP_LARGE_MAX) {
    call_error(c, 503, "busy", "send it again", "too many large bodies at once");
    buf_free(&c->body);
    return false;
  }
  c->large = true;
  c->h->large++;
  return true;
}

static enum MHD_Result take_body(struct call *c, const char *data, size_t *size)
{
  c->body_seen += *size;
  if (c->sm.state == CALL_READING && (c->body_seen <= HTTP_BODY_MAX || take_large(c)))
    buf_add(&c->body, data, *size);
  *size = 0;
  return c->body_seen > c->body.max + HTTP_BODY_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result work(struct call *c)
{
  c->conn->deadline = 0;
  if (c->body.failed) {
    too_large(c);
  } else {
    sm_move(&c->sm, CALL_WORKING);
    c->route->handle(c);
  }
  if (c->sm.state == CALL_READY)
    return queue(c);
  c->suspended = true;
  MHD_suspend_connection(c->mhd);
  return MHD_YES;
}

/* Called with the head, with each part of the body, at its end, and once more when a suspended call was resumed. */
enum MHD_Result call_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *data, size_t *size, void **context)
{
  struct call *c = *context;

  (void)cls;
  (void)mhd;
  (void)url;
  (void)version;
  if (c->cut)
    return MHD_NO;
  if (!c->head_read)
    return take_head(c, method);
  if (*size)
    return take_body(c, data, size);
  return c->sm.state == CALL_READY ? queue(c) : c->sm.state == CALL_READING ? work(c) : MHD_NO;
}
