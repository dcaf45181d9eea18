/* The network between workers and masters: connections of bytes that come late, in pieces, not at all, or whose other end is gone without a word. The master's end is its link, as master/workers/link.h has it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "master/workers/session.h"
#include "tests/sim/sim.h"

enum { SILENT_MS = 30000, CONNS_MAX = 64 };

struct conn {
  struct list node;
  struct host *host;
  struct link *l;             /* NULL: not connected yet, or the master's end is gone */
  struct sim_master *to;
  bool connecting, half;      /* half: nothing comes through, and nobody is told */
  bool closed;                /* the worker's end */
  bool over, reset;           /* the master's end is gone, without a word */
  int64_t at[3];              /* when it is connected; when bytes to the worker, to the master may move again */
  struct buf ready, flight;   /* come to the worker, not read yet; on their way to the master */
  size_t room;                /* of flight */
};

struct link {
  struct list node;
  struct sim_master *m;
  struct conn *c;             /* NULL: the worker's end is gone, and what it sent has come */
  struct buf out;
  struct wire_reader *in;
  struct tap *tap;
  void *data;
  bool told, closing, more, trusted;
  int64_t heard_at, ping_at, began;
};

static struct list conns = { &conns, &conns }, links = { &links, &links };
bool net_down;

struct buf *__wrap_link_out(struct link *l);
void __wrap_link_trust(struct link *l);
void __wrap_link_close(struct link *l, const char *reason);
void __wrap_link_set_data(struct link *l, void *data);
void *__wrap_link_data(const struct link *l);
const char *__wrap_link_dialled(const struct link *l);
const char *__wrap_link_peer(const struct link *l);
bool __wrap_link_peer_uid(const struct link *l, uid_t *uid);
size_t __wrap_link_unsent(const struct link *l);
int64_t __wrap_link_heard_ms(const struct link *l);
void __wrap_link_ping(struct link *l);
void __wrap_link_pause(struct link *l, bool on);
struct link_server *__wrap_link_server_of(const struct link *l);
void *__wrap_link_server_ctx(const struct link_server *s);

/* ---- the master's end ---- */

struct buf *__wrap_link_out(struct link *l)
{
  static struct buf sink;

  if (!l->closing)
    return &l->out;
  buf_free(&sink);
  buf_init(&sink, BUF_NO_MAX);
  return &sink;
}

void __wrap_link_trust(struct link *l)
{
  wire_reader_trust(l->in);
  l->trusted = true;
}

void __wrap_link_close(struct link *l, const char *reason)
{
  model_tell("    a master closes a link: %s", reason);
  if (!l->closing && l->trusted)
    wire_put(&l->out, VERB_bye, "s", reason);
  l->closing = true;
}

void __wrap_link_set_data(struct link *l, void *data) { l->data = data; }
void *__wrap_link_data(const struct link *l) { return l->data; }
const char *__wrap_link_dialled(const struct link *l) { (void)l; return NULL; }
const char *__wrap_link_peer(const struct link *l) { (void)l; return "192.0.2.1:1"; }
bool __wrap_link_peer_uid(const struct link *l, uid_t *uid) { (void)l; (void)uid; return false; }
size_t __wrap_link_unsent(const struct link *l) { return l->out.len; }
int64_t __wrap_link_heard_ms(const struct link *l) { return model_now_ms - l->heard_at; }
void __wrap_link_ping(struct link *l) { l->ping_at = model_now_ms; }
void __wrap_link_pause(struct link *l, bool on) { (void)l; (void)on; }
struct link_server *__wrap_link_server_of(const struct link *l) { return (struct link_server *)(void *)&l->m->m; }
void *__wrap_link_server_ctx(const struct link_server *s) { return (void *)(uintptr_t)s; }

static struct link *link_new(struct conn *c)
{
  struct link *l = xcalloc(1, sizeof *l);

  l->m = c->to;
  l->c = c;
  buf_init(&l->out, BUF_NO_MAX);
  l->in = wire_reader_new(WIRE_WORKER);
  l->tap = tap_new();
  l->heard_at = l->began = model_now_ms;
  l->ping_at = INT64_MAX;
  list_push(&links, &l->node);
  return l;
}

/* So many bytes come through. */
static void to_worker(struct link *l, size_t n)
{
  tap_to_worker(l->tap, l->out.data, n, &l->c->ready);
  buf_drop(&l->out, n);
}

static void conn_free(struct conn *c)
{
  list_remove(&c->node);
  buf_free(&c->ready);
  buf_free(&c->flight);
  free(c);
}

/* The last of it that the worker gets, and its end. */
static void link_gone(struct link *l)
{
  struct conn *c = l->c;

  list_remove(&l->node);
  if (c) {
    if (!c->half && !c->reset && !c->closed)
      to_worker(l, l->out.len);
    c->l = NULL;
    c->over = true;
    if (c->closed)
      conn_free(c);
  }
  if (l->told)
    session_link_ops.on_close(l, "cut");
  wire_reader_free(l->in);
  tap_free(l->tap);
  buf_free(&l->out);
  free(l);
}

static void take_one(struct link *l)
{
  struct wire_msg m;
  enum err e = wire_next(l->in, &m);

  if (e == ERR_AGAIN) {
    l->more = false;
    return;
  }
  if (e) {
    model_bad("the worker sends what can't be read: %s", wire_reader_word(l->in));
    l->closing = true;
    return;
  }
  trace(wire_verbs[m.verb].name, l->c ? l->c->host->n : -1, m.blob_len ? (int64_t)m.blob_len : m.ntok);
  if (model_verbose && m.ntok > 4 && m.verb == VERB_out)
    model_tell("    out %s off %s raw %s", m.tok[0], m.tok[2], m.tok[3]);
  tap_to_master(l->tap, &m);
  if (m.verb == VERB_ping)
    wire_put(link_out(l), VERB_pong, "s", m.tok[0]);
  if (m.verb == VERB_ping || m.verb == VERB_pong)
    return;
  l->told = true;
  if (m.verb == VERB_hello)
    l->ping_at = model_now_ms + LINK_PING_MS;
  session_link_ops.on_msg(l, &m);
}

/* ---- the worker's end ---- */

struct conn *net_dial(struct host *h, const char *address, int *number)
{
  struct sim_master *m = &sim.masters[address[1] == '1'];
  struct conn *c;

  *number = ECONNREFUSED;
  if (!net_down && (!m->alive || chance_of(2)))
    return NULL;
  c = xcalloc(1, sizeof *c);
  c->host = h;
  c->to = m;
  c->connecting = true;
  c->half = net_down;
  c->at[0] = model_now_ms + (int64_t)chance(chance_of(80) ? 3 : 12000);
  c->room = 16 + (size_t)chance(chance_of(30) ? 300 : 65536);
  buf_init(&c->ready, BUF_NO_MAX);
  buf_init(&c->flight, BUF_NO_MAX);
  list_push(&conns, &c->node);
  return c;
}

int net_error(struct conn *c) { return c->reset && !c->l ? ECONNREFUSED : 0; }

short net_ready(const struct conn *c)
{
  bool end = c->over || c->reset;

  if (c->connecting)
    return 0;
  return (short)((c->ready.len || end ? POLLIN : 0) | (c->flight.len < c->room || end ? POLLOUT : 0) | (c->reset ? POLLERR | POLLHUP : 0));
}

ssize_t net_recv(struct conn *c, void *p, size_t n)
{
  if (c->ready.len) {
    n = n < c->ready.len ? n : c->ready.len;
    n = chance(6) ? n : 1 + (size_t)chance(n);
    memcpy(p, c->ready.data, n);
    buf_drop(&c->ready, n);
    return (ssize_t)n;
  }
  if (c->over && !c->reset)
    return 0;
  errno = c->reset ? ECONNRESET : EAGAIN;
  return -1;
}

ssize_t net_send(struct conn *c, const void *p, size_t n)
{
  size_t room = c->room > c->flight.len ? c->room - c->flight.len : 0;

  if (c->reset || c->over) {
    errno = EPIPE;
    return -1;
  }
  if (!room) {
    errno = EAGAIN;
    return -1;
  }
  n = n < room ? n : room;
  if (n > 1 && !chance(8))
    n = 1 + (size_t)chance(n);
  buf_add(&c->flight, p, n);
  return (ssize_t)n;
}

void net_hang_up(struct conn *c)
{
  c->closed = true;
  if (!c->l) {
    conn_free(c);
  } else if (c->half || c->reset) {
    c->l->c = NULL; /* the master finds out by silence */
    conn_free(c);
  }
}

/* ---- what may happen ---- */

enum { NET_CONNECT, NET_TO_WORKER, NET_TO_MASTER, NET_END };
static struct choice {
  int what;
  struct conn *c;
} choices[CONNS_MAX * 4];
static int nchoices;

static void may(int what, struct conn *c)
{
  if (nchoices < (int)COUNT(choices))
    choices[nchoices++] = (struct choice){ what, c };
}

int net_choices(void)
{
  nchoices = 0;
  list_each(it, &conns) {
    struct conn *c = list_of(it, struct conn, node);
    if (c->half || c->reset)
      continue;
    if (c->connecting && model_now_ms >= c->at[0])
      may(NET_CONNECT, c);
    if (!c->l)
      continue;
    if (c->l->out.len && !c->closed && model_now_ms >= c->at[1])
      may(NET_TO_WORKER, c);
    if (c->flight.len && !c->l->closing && model_now_ms >= c->at[2])
      may(NET_TO_MASTER, c);
    if (c->closed && !c->flight.len && !c->l->more && !c->l->closing)
      may(NET_END, c);
  }
  return nchoices;
}

/* How long the next bytes take. */
static int64_t delay(void)
{
  return sim_calm || chance_of(92) ? 0 : (int64_t)chance(chance_of(80) ? 50 : 8000);
}

static size_t piece(size_t n)
{
  return chance_of(60) ? n : 1 + (size_t)chance(n);
}

void net_do(int n)
{
  struct conn *c = choices[n].c;
  size_t k;

  trace("network", choices[n].what, c->host->n);
  switch (choices[n].what) {
  case NET_CONNECT:
    c->connecting = false;
    c->reset = !c->to->alive;
    if (!c->reset)
      c->l = link_new(c);
    return;
  case NET_TO_WORKER:
    k = piece(c->l->out.len);
    to_worker(c->l, k);
    c->at[1] = model_now_ms + delay();
    if (tap_lost(c->l->tap))
      net_cut(c, false);
    return;
  case NET_TO_MASTER:
    k = piece(c->flight.len);
    wire_feed(c->l->in, c->flight.data, k);
    buf_drop(&c->flight, k);
    c->l->more = true;
    c->l->heard_at = model_now_ms;
    c->at[2] = model_now_ms + delay();
    return;
  default:
    c->l->closing = true;
  }
}

bool net_has_message(const struct sim_master *m)
{
  list_each(it, &links) {
    const struct link *l = list_of(it, struct link, node);
    if (l->m == m && l->more && !l->closing)
      return true;
  }
  return false;
}

void net_deliver(struct sim_master *m)
{
  list_each(it, &links) {
    struct link *l = list_of(it, struct link, node);
    if (l->m != m || !l->more || l->closing)
      continue;
    take_one(l);
    return;
  }
}

/* Links that are to end are told so, all of a master's. */
void net_finish(struct sim_master *m)
{
  for (struct list *it = links.next, *next; it != &links; it = next) {
    struct link *l = list_of(it, struct link, node);
    next = it->next;
    if (l->m == m && l->closing)
      link_gone(l);
  }
}

static int64_t soonest(int64_t a, int64_t b) { return b > model_now_ms && b < a ? b : a; }

int64_t net_due(void)
{
  int64_t due = INT64_MAX;

  list_each(it, &conns) {
    const struct conn *c = list_of(it, struct conn, node);
    for (int i = 0; i < 3; i++)
      due = soonest(due, c->at[i]);
  }
  list_each(it, &links) {
    const struct link *l = list_of(it, struct link, node);
    due = soonest(due, l->ping_at);
    due = soonest(due, l->heard_at + SILENT_MS);
  }
  return due;
}

void net_tick(void)
{
  list_each(it, &links) {
    struct link *l = list_of(it, struct link, node);
    if (!l->closing && model_now_ms - l->heard_at >= SILENT_MS)
      link_close(l, "silence");
    if (l->closing || model_now_ms < l->ping_at)
      continue;
    wire_put(&l->out, VERB_ping, "n", model_now_ms);
    l->ping_at = model_now_ms + LINK_PING_MS;
  }
}

/* ---- faults ---- */

static void cut_short(struct buf *b, size_t n)
{
  struct buf left;

  buf_init(&left, BUF_NO_MAX);
  buf_add(&left, b->data, n);
  buf_free(b);
  *b = left;
}

void net_cut(struct conn *c, bool half)
{
  trace(half ? "a connection is half open" : "a connection is cut", c->host->n, (int64_t)c->flight.len);
  if (half) {
    c->half = true;
    return;
  }
  if (c->l && c->flight.len && chance_of(50)) { /* some of what was under way still came */
    wire_feed(c->l->in, c->flight.data, 1 + (size_t)chance(c->flight.len));
    while (!c->l->closing && (c->l->more = true, take_one(c->l), c->l->more))
      ;
  }
  if (c->l && !c->closed)
    to_worker(c->l, (size_t)chance(c->l->out.len + 1));
  if (chance_of(50))
    cut_short(&c->ready, (size_t)chance(c->ready.len + 1));
  c->reset = true;
  if (c->l) {
    c->l->closing = true;
    c->l->c = NULL;
    c->l = NULL;
    if (c->closed)
      conn_free(c);
  }
}

struct conn *net_any(void)
{
  struct conn *found = NULL;
  uint64_t n = 0;

  list_each(it, &conns) {
    struct conn *c = list_of(it, struct conn, node);
    if (!c->reset && !c->over && !c->half && !chance(++n))
      found = c;
  }
  return found;
}

void net_cut_all(struct host *h, bool half)
{
  for (struct list *it = conns.next, *next; it != &conns; it = next) {
    struct conn *c = list_of(it, struct conn, node);
    next = it->next;
    if ((!h || c->host == h) && !c->reset && !c->over)
      net_cut(c, half);
  }
}

void net_cut_master(struct sim_master *m, bool half)
{
  for (struct list *it = conns.next, *next; it != &conns; it = next) {
    struct conn *c = list_of(it, struct conn, node);
    next = it->next;
    if (c->to == m && !c->connecting && !c->reset && !c->over)
      net_cut(c, half);
  }
  if (half)
    return;
  list_each(it, &links)
    if (list_of(it, struct link, node)->m == m)
      list_of(it, struct link, node)->closing = true;
}

void net_begin(void)
{
  net_down = false;
  tap_reset();
}

void net_end(void)
{
  assert(list_empty(&links));
  while (!list_empty(&conns))
    conn_free(list_of(conns.next, struct conn, node));
}
