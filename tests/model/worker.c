/* Workers of the model, as docs/protocol.md has them: what they run is a table, and a command ends when the model says so. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/records.h"
#include "tests/model/model.h"

static void identity(char out[33])
{
  for (int i = 0; i < 32; i++)
    out[i] = "0123456789abcdef"[chance(16)];
  out[32] = 0;
}

void worker_begin(struct sim_worker *w, int n)
{
  memset(w, 0, sizeof *w);
  w->n = n;
  snprintf(w->name, sizeof w->name, "w%d", n + 1);
  identity(w->instance);
  identity(w->boot);
  w->seen_ms = model_now_ms;
}

int worker_runs(const struct sim_worker *w)
{
  int n = 0;

  for (int i = 0; i < w->ncommands; i++)
    n += w->commands[i].runs;
  return n;
}

/* ---- the link ---- */

void worker_connect(struct sim_worker *w, struct sim_master *m)
{
  static const struct id none = { 0, 0 };
  struct buf facts;

  assert(!w->link);
  w->link = link_make(m, w);
  w->greeted = false;
  w->conn++;
  buf_init(&facts, BUF_NO_MAX);
  records_put(&facts, "secret", w->name);
  records_put(&facts, "cores", "2");
  wire_put_blob(link_to_master(w->link), VERB_hello, facts.data, facts.len, "nsssnis", (int64_t)WIRE_VERSION, w->name, w->instance, w->boot, w->conn, &none, "files");
  buf_free(&facts);
  tally("worker: dials");
  model_tell("%s dials master %ld, connection %" PRId64, w->name, (long)(m - sim.masters), w->conn);
}

void worker_lost_link(struct sim_worker *w)
{
  w->link = NULL;
  for (int i = 0; i < w->ncommands; i++)
    w->commands[i].sending = false;
}

static struct sim_command *find(struct sim_worker *w, struct id id)
{
  for (int i = 0; i < w->ncommands; i++)
    if (!str_id_cmp(w->commands[i].id, id))
      return &w->commands[i];
  return NULL;
}

static void drop(struct sim_worker *w, struct sim_command *c)
{
  size_t at = (size_t)(c - w->commands);

  memmove(c, c + 1, ((size_t)--w->ncommands - at) * sizeof *c);
}

static void tell_exit(struct sim_worker *w, struct sim_command *c)
{
  if (w->link && link_alive(w->link) && c->sending && !c->runs)
    wire_put_blob(link_to_master(w->link), VERB_exit, "", 0, "iisnsncnnnnn", &c->id, &c->epoch, c->how, (int64_t)c->code, c->reason, (int64_t)0, (uint32_t)0, (int64_t)0, (int64_t)1, (int64_t)1, (int64_t)1, (int64_t)1);
}

static void tally_end(const char *how, int code, const char *reason)
{
  char what[64];

  snprintf(what, sizeof what, "command: %s %d %s", how, code, reason);
  tally(what);
}

void worker_exit(struct sim_worker *w, struct sim_command *c, const char *how, int code, const char *reason)
{
  assert(c->runs);
  c->runs = false;
  c->how = how;
  c->code = code;
  c->reason = reason;
  tally_end(how, code, reason);
  model_tell("%s: command %" PRId64 " of build %" PRId64 " ends: %s %d %s", w->name, c->id.n, c->build, how, code, reason);
  tell_exit(w, c);
}

static void put_error(struct sim_worker *w, const char *tag, const char *what)
{
  wire_put_blob(link_to_master(w->link), VERB_error, "no", 2, "ss", tag, what);
}

static void inventory(struct sim_worker *w)
{
  for (int i = 0; i < w->ncommands; i++) {
    struct sim_command *c = &w->commands[i];
    c->sending = false;
    wire_put(link_to_master(w->link), VERB_have, "iissnn", &c->id, &c->epoch, c->runs ? "running" : "exited", "0", (int64_t)0, (int64_t)0);
  }
  wire_put(link_to_master(w->link), VERB_listed, "n", (int64_t)w->ncommands);
}

/* The highest epoch that was told of the build as long as anything of it is here. */
static struct id epoch_of(const struct sim_worker *w, int64_t build)
{
  struct id highest = { 0, 0 };

  for (int i = 0; i < w->ncommands; i++)
    if (w->commands[i].build == build && str_id_cmp(w->commands[i].epoch, highest) > 0)
      highest = w->commands[i].epoch;
  return highest;
}

static void on_run(struct sim_worker *w, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 2);
  const char *alone = m->blob ? records_get(m->blob, m->blob_len, "alone") : NULL;
  int64_t build = wire_num(m, 1);

  if (find(w, id))
    return;
  if (str_id_cmp(epoch, epoch_of(w, build)) < 0) {
    tally("worker: refuses a run as fenced");
    put_error(w, "fenced", wire_str(m, 0));
    return;
  }
  if (!alone || w->ncommands == MODEL_COMMANDS) {
    model_bad("%s: a run without `alone`, or too many commands", w->name);
    return;
  }
  w->commands[w->ncommands++] = (struct sim_command){ .id = id, .epoch = epoch, .build = build, .alone_ms = strtoll(alone, NULL, 10), .runs = true, .sending = true };
  model_tell("%s: command %" PRId64 " of build %" PRId64 " begins", w->name, id.n, build);
}

/* NULL: answered. */
static struct sim_command *fenced(struct sim_worker *w, struct wire_msg *m)
{
  struct sim_command *c = find(w, wire_id(m, 0));
  struct id epoch = wire_id(m, 1);

  if (!c)
    put_error(w, "notfound", wire_str(m, 0));
  else if (str_id_cmp(epoch, epoch_of(w, c->build)) < 0) {
    tally("worker: refuses as fenced");
    put_error(w, "fenced", wire_str(m, 0));
  }
  else
    c->epoch = epoch;
  return c && !str_id_cmp(c->epoch, epoch) ? c : NULL;
}

void worker_take(struct sim_worker *w, struct wire_msg *m)
{
  struct sim_command *c;
  struct buf facts;

  model_tell("    %s hears %s %s", w->name, wire_verbs[m->verb].name, m->ntok ? m->tok[0] : "");
  if (w->greeted || m->verb == VERB_welcome)
    w->seen_ms = model_now_ms; /* before that nobody is its master */
  switch (m->verb) {
  case VERB_welcome:
    w->greeted = true;
    inventory(w);
    return;
  case VERB_inventory: inventory(w); return;
  case VERB_run: on_run(w, m); return;
  case VERB_resume:
    if ((c = fenced(w, m))) {
      c->sending = true;
      tell_exit(w, c);
    }
    return;
  case VERB_kill:
    if ((c = fenced(w, m)))
      c->killed = true;
    return;
  case VERB_forget:
    if (!(c = find(w, wire_id(m, 0))))
      return;
    (void)tally_of(c->runs, "worker: forgets what runs", "worker: forgets");
    if (c->runs)
      model_tell("%s: command %" PRId64 " is ended and forgotten", w->name, c->id.n);
    drop(w, c);
    return;
  case VERB_no:
  case VERB_busy: return; /* the end of the link follows */
  case VERB_stat: case VERB_mkdir: case VERB_remove: case VERB_disk: case VERB_usage: case VERB_list: case VERB_get: case VERB_rename: case VERB_copy:
    buf_init(&facts, BUF_NO_MAX);
    records_put(&facts, "kind", "none");
    wire_put_blob(link_to_master(w->link), VERB_done, facts.data, facts.len, "ns", wire_num(m, 0), "ok");
    buf_free(&facts);
    return;
  default: return;
  }
}

/* ---- what befalls it ---- */

void worker_reboot(struct sim_worker *w)
{
  if (w->link)
    link_cut(w->link, false);
  tally("fault: a worker boots");
  identity(w->boot);
  for (int i = 0; i < w->ncommands; i++)
    if (w->commands[i].runs)
      worker_exit(w, &w->commands[i], "lost", 0, "boot");
  model_tell("%s boots", w->name);
}

void worker_replace(struct sim_worker *w)
{
  if (w->link)
    link_cut(w->link, false);
  tally("fault: a worker is set up anew");
  identity(w->boot);
  identity(w->instance);
  w->ncommands = 0;
  w->conn = 0;
  model_tell("%s is set up anew", w->name);
}

void worker_time(struct sim_worker *w)
{
  struct sim_master *m = w->link ? link_master(w->link) : NULL;

  if (m && m->alive && !m->frozen && link_alive(w->link) && w->greeted)
    w->seen_ms = model_now_ms; /* pings */
  else if (w->link && model_now_ms - w->seen_ms > MODEL_SILENT_MS) {
    tally("worker: gives a silent master up");
    link_cut(w->link, false);
  }
  for (int i = 0; i < w->ncommands; i++) {
    struct sim_command *c = &w->commands[i];
    if (c->runs && model_now_ms - w->seen_ms >= c->alone_ms)
      worker_exit(w, c, "signaled", 9, "alone");
  }
}
