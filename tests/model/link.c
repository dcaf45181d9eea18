/* Links of the model: bytes both ways, messages one at a time, each end and cut when the model says so. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "master/workers/session.h"
#include "tests/model/model.h"

struct link {
  struct list node;
  struct sim_master *m;
  struct sim_worker *w;      /* NULL: it has let go */
  struct buf out, in;        /* to the worker, to the master */
  struct wire_reader *to_worker, *to_master;
  void *data;
  bool told, closing;        /* on_msg was called; the master, the worker or the network has closed it */
  struct wire_msg held[2];   /* read, and not told yet */
  bool has[2];
};

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
  wire_reader_trust(l->to_master);
}

void __wrap_link_close(struct link *l, const char *reason)
{
  model_tell("    a master closes the link of %s: %s", l->w ? l->w->name : "?", reason);
  l->closing = true;
}

void __wrap_link_set_data(struct link *l, void *data) { l->data = data; }
void *__wrap_link_data(const struct link *l) { return l->data; }
const char *__wrap_link_dialled(const struct link *l) { (void)l; return NULL; }
const char *__wrap_link_peer(const struct link *l) { (void)l; return "192.0.2.1:1"; }
bool __wrap_link_peer_uid(const struct link *l, uid_t *uid) { (void)l; (void)uid; return false; }
size_t __wrap_link_unsent(const struct link *l) { return l->out.len; }
int64_t __wrap_link_heard_ms(const struct link *l) { return l->w ? 0 : MODEL_SILENT_MS; }
void __wrap_link_ping(struct link *l) { (void)l; }
void __wrap_link_pause(struct link *l, bool on) { (void)l; (void)on; }
struct link_server *__wrap_link_server_of(const struct link *l) { return (struct link_server *)(void *)&l->m->m; }
void *__wrap_link_server_ctx(const struct link_server *s) { return (void *)(uintptr_t)s; }

struct link *link_make(struct sim_master *m, struct sim_worker *w)
{
  struct link *l = xcalloc(1, sizeof *l);

  l->m = m;
  l->w = w;
  buf_init(&l->out, BUF_NO_MAX);
  buf_init(&l->in, BUF_NO_MAX);
  l->to_worker = wire_reader_new(WIRE_MASTER);
  wire_reader_trust(l->to_worker);
  l->to_master = wire_reader_new(WIRE_WORKER);
  list_push(&sim.links, &l->node);
  return l;
}

struct buf *link_to_master(struct link *l) { return &l->in; }
struct sim_master *link_master(const struct link *l) { return l->m; }
bool link_alive(const struct link *l) { return !l->closing; }
bool link_closing(const struct link *l) { return l->closing; }

/* A message is read ahead, so that it is known whether there is one. */
static bool read_one(struct link *l, bool to_master)
{
  struct wire_reader *r = to_master ? l->to_master : l->to_worker;
  struct buf *b = to_master ? &l->in : &l->out;
  enum err e;

  if (l->has[to_master])
    return true;
  if (b->len) {
    assert(!b->failed);
    wire_feed(r, b->data, b->len);
    buf_reset(b);
  }
  e = wire_next(r, &l->held[to_master]);
  if (e && e != ERR_AGAIN)
    model_bad("a message that can't be read: %s", wire_reader_word(r));
  return l->has[to_master] = !e;
}

bool link_has(const struct link *l, bool to_master)
{
  if (to_master ? l->closing : !l->w)
    return false;
  return read_one((struct link *)(uintptr_t)l, to_master);
}

void link_deliver(struct link *l, bool to_master)
{
  if (!read_one(l, to_master))
    return;
  l->has[to_master] = false;
  if (!to_master) {
    worker_take(l->w, &l->held[0]);
    return;
  }
  l->told = true;
  session_link_ops.on_msg(l, &l->held[1]);
}

void link_finish(struct link *l)
{
  list_remove(&l->node);
  l->closing = true;
  if (l->told)
    session_link_ops.on_close(l, "cut");
  while (l->w && l->w->link == l && link_has(l, false)) /* what was said before the end */
    link_deliver(l, false);
  if (l->w && l->w->link == l)
    worker_lost_link(l->w);
  wire_reader_free(l->to_worker);
  wire_reader_free(l->to_master);
  buf_free(&l->out);
  buf_free(&l->in);
  free(l);
}

void link_cut(struct link *l, bool some)
{
  struct sim_worker *w = l->w;

  while (some && w && w->link == l && link_has(l, false) && chance_of(50))
    link_deliver(l, false);
  if (l->closing && !l->w)
    return;
  l->w = NULL;
  l->closing = true;
  if (w && w->link == l)
    worker_lost_link(w);
}
