/* Commands on Windows: command.h without minders. Processes, their output and their results are the agent's own, so that they outlive the link but not the agent; what it sends is kept in memory until the master has it.

   Happy path: folders → process in a job → output into chunks, chunks into records as they go over the wire → the first process has ended and its output too → what is left of its tree is ended → result.
   Failures: no such program or folder: a result `failed`. A time is over, a kill: all of the tree ends at once, since Windows has no polite signal for what has no window. Too much that is not acked: nothing is read, the process stands. */
#include "worker/windows/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scan.h"
#include "proto/chunk.h"
#include "worker/command.h"
#include "worker/spec.h"
#include "worker/windows/place.h"
#include "worker/windows/proc.h"
#include "worker/windows/win.h"

enum {
  CLOSE_MS = 1000, CLOSE_FOLLOWED_MS = 100, /* a chunk is closed so long after its first byte */
  HELD_MAX = 64 << 20,                      /* bytes of records not acked: then nothing more is read */
  KEEP_ACKED = 16 << 20,                    /* bytes of acked records that are kept, for a master that has to ask again */
  KILLED_CODE = 9,                          /* what other systems say of one that was ended by force */
  CHANNELS = 2
};
#define NEVER INT64_MAX

struct record {
  int64_t off, raw;
  char *bytes;
  size_t n;
};

struct tree {
  struct command c; /* first: the others know it by this */
  char *blob, *in;
  size_t in_len;
  struct spec spec;
  struct proc *proc; /* NULL: it has ended */
  struct chunk_enc *enc;
  struct record *record;
  size_t nrecords, cap, next; /* next: to be sent */
  size_t held;                /* bytes in all of them */
  int64_t off, lines, start, main_end, close_at, idle_at, total_at, most_at, kill_at;
  uint32_t crc, code;
  bool open[CHANNELS], followed, main_ended, killed, full;
  char reason[SPOOL_WORD_MAX];
  char part[PROC_READ_MAX]; /* read, and not all in the chunk yet */
  size_t part_at, part_len;
  unsigned part_channel;
};

static int64_t heard_at;

static const struct sm_row rows[COMMAND_STATES] = {
  [COMMAND_LIVE] = { "live", SM_TO(COMMAND_ENDED) },
  [COMMAND_ENDED] = { "ended", 0 },
};

static struct tree *tree_of(struct command *c) { return (struct tree *)(void *)c; }
static int64_t after(int64_t from, int64_t ms) { return ms <= 0 || ms > NEVER - from ? NEVER : from + ms; }

/* ---- which there are ---- */

struct command *command_find(struct agent *a, struct id id)
{
  char name[STR_ID_MAX];
  return map_get(a->by_id, str_id_text(id, name));
}

static void drop(struct agent *a, struct tree *t)
{
  map_set(a->by_id, t->c.sp.cmd, NULL);
  list_remove(&t->c.node);
  a->ncommands--;
  if (t->proc)
    proc_free(t->proc);
  chunk_enc_free(t->enc);
  for (size_t i = 0; i < t->nrecords; i++)
    free(t->record[i].bytes);
  for (size_t i = 0; i < t->spec.nenv; i++)
    free(t->spec.env[i]);
  free(t->spec.argv);
  free(t->spec.env);
  free(t->spec.place);
  free(t->spec.fresh);
  free(t->spec.secret);
  free(t->record);
  free(t->c.stream);
  free(t->c.exit);
  free(t->spec.in);
  free(t->in);
  free(t->blob);
  free(t);
}

/* ---- output ---- */

static void close_chunk(struct tree *t)
{
  struct record *r;
  struct buf out;
  struct chunk c;

  t->close_at = NEVER;
  chunk_enc_close(t->enc, &c);
  if (!c.raw)
    return;
  buf_init(&out, BUF_NO_MAX);
  wire_put_blob(&out, VERB_out, c.blob, c.blob_len, "snnnncnc", t->c.sp.cmd, (int64_t)0, t->off, (int64_t)c.raw, (int64_t)c.lines, c.crc, (int64_t)c.spans, c.bcrc);
  if (t->nrecords == t->cap) {
    t->cap = t->cap ? t->cap * 2 : 16;
    t->record = xrealloc(t->record, t->cap * sizeof *t->record);
  }
  r = &t->record[t->nrecords++];
  *r = (struct record){ t->off, c.raw, NULL, out.len };
  r->bytes = buf_take(&out);
  t->held += r->n;
  t->off += c.raw;
  t->lines += c.lines;
  t->crc = chunk_crc_join(t->crc, c.crc, c.raw);
}

static int64_t not_acked(const struct tree *t) { return t->off - t->c.stream->acked; }

/* All of the part into chunks. */
static void add_part(struct tree *t, int64_t now)
{
  while (t->part_at < t->part_len) {
    size_t n = chunk_enc_add(t->enc, t->part_channel, now - t->start, t->part + t->part_at, t->part_len - t->part_at);
    t->part_at += n;
    if (!n)
      close_chunk(t);
    else if (t->close_at == NEVER)
      t->close_at = now + (t->followed ? CLOSE_FOLLOWED_MS : CLOSE_MS);
  }
}

/* Some of what the process has said. True: there may be more. */
static bool take_output(struct tree *t, int64_t now)
{
  bool more = false;

  for (int i = 0; i < CHANNELS; i++) {
    int n;
    t->full = not_acked(t) >= HELD_MAX;
    if (t->full || !t->open[i])
      continue;
    n = proc_read(t->proc, i, t->part);
    if (n < 0)
      t->open[i] = false;
    if (n <= 0)
      continue;
    more = true;
    t->part_at = 0;
    t->part_len = (size_t)n;
    t->part_channel = (unsigned)i;
    add_part(t, now);
    t->idle_at = after(now, t->spec.idle_ms);
  }
  return more;
}

/* ---- start and end ---- */

static void end(struct agent *a, struct tree *t, const char *how, int64_t code)
{
  struct spool_exit *x = xcalloc(1, sizeof *x);
  struct proc_used used = { 0, 0, 0 };

  close_chunk(t);
  if (t->proc) {
    proc_used(t->proc, &used);
    proc_free(t->proc);
  }
  t->proc = NULL;
  snprintf(x->how, sizeof x->how, "%s", how);
  snprintf(x->reason, sizeof x->reason, "%s", t->reason);
  x->code = code;
  x->len = t->off;
  x->lines = t->lines;
  x->crc = t->crc;
  if (strcmp(how, "failed")) {
    x->wall_ms = t->main_end - t->start;
    x->user_ms = used.user_ms;
    x->sys_ms = used.sys_ms;
    x->maxrss_kib = used.maxrss_kib;
  }
  t->c.exit = x;
  a->nlive--;
  sm_move(&t->c.sm, COMMAND_ENDED);
  if (t->c.forgotten)
    drop(a, t);
}

/* Ends the tree. The first reason counts, and none when the first process had ended by itself. */
static void kill_tree(struct tree *t, const char *reason)
{
  if (!t->proc)
    return;
  if (!t->main_ended && !t->killed)
    snprintf(t->reason, sizeof t->reason, "%s", reason);
  t->killed = true;
  proc_kill(t->proc);
}

static int make_places(const struct agent *a, const struct tree *t, const char **what)
{
  const struct spec *s = &t->spec;

  for (size_t i = 0; s->place[i]; i++) {
    int e = 0;
    *what = s->place[i];
    if (s->fresh[i])
      e = place_remove(a->work_path, s->place[i]);
    e = e ? e : place_mkdirs(a->work_path, s->place[i]);
    if (e)
      return e;
  }
  *what = s->cwd;
  return place_mkdirs(a->work_path, s->cwd);
}

static int start(const struct agent *a, struct tree *t, const char **doing, const char **what)
{
  struct proc_args p = { .argv = t->spec.argv, .env = t->spec.env, .path = a->conf->path, .in = t->in, .in_len = t->in_len };
  wchar_t *cwd;
  int e;

  *doing = "can't use the folder";
  e = make_places(a, t, what);
  if (e)
    return e;
  cwd = place_path(a->work_path, t->spec.cwd);
  if (!cwd)
    return errno;
  *doing = "can't start";
  *what = t->spec.argv[0];
  for (size_t i = 0; i < t->spec.nenv; i++)
    if (!strncmp(t->spec.env[i], "PATH=", 5))
      p.path = t->spec.env[i] + 5;
  p.cwd = cwd;
  e = proc_start(&p, &t->proc);
  free(cwd);
  return e;
}

/* most_ms: of worker.conf, whatever the master says and whether it reads; 0: none. */
static void set_timers(struct tree *t, int64_t most_ms)
{
  t->start = t->main_end = clock_mono_ms();
  t->close_at = t->kill_at = NEVER;
  t->idle_at = after(t->start, t->spec.idle_ms);
  t->total_at = after(t->start, t->spec.total_ms);
  t->most_at = after(t->start, most_ms);
}

enum err command_start(struct agent *a, struct id id, int64_t build, struct id epoch, int64_t limit, const char *blob, size_t n, const struct secrets_held *secrets)
{
  struct tree *t;
  const char *doing, *what;
  int e;

  if (a->nlive >= a->live_max)
    return ERR_BUSY;
  if (secrets || spec_streams(blob, n) > 1 || spec_is_fed(blob, n) || spec_has_terminal(blob, n))
    return ERR_BADARG; /* it has said that it can't */
  ident_note(&a->ident, id);
  t = xcalloc(1, sizeof *t);
  t->blob = xmalloc(n + 1);
  memcpy(t->blob, blob, n);
  t->blob[n] = 0;
  t->c.id = id;
  t->c.build = build;
  t->c.epoch = epoch;
  t->c.pidfd = -1;
  str_id_text(id, t->c.sp.cmd);
  sm_init(&t->c.sm, t->c.sp.cmd, rows, COMMAND_STATES, COMMAND_LIVE);
  t->c.nstreams = 1;
  t->c.stream = xcalloc(1, sizeof *t->c.stream);
  t->c.stream->limit = limit;
  t->c.stream->sending = true;
  t->enc = chunk_enc_new();
  snprintf(t->reason, sizeof t->reason, "-");
  list_push(&a->commands, &t->c.node);
  map_set(a->by_id, t->c.sp.cmd, &t->c);
  a->ncommands++;
  a->nlive++;
  spec_load(&t->spec, t->blob, n, a->work_path, a->conf->path, t->c.sp.cmd);
  t->in = spec_input(&t->spec, NULL, 0, &t->in_len);
  t->open[0] = t->open[1] = true;
  e = start(a, t, &doing, &what);
  set_timers(t, a->conf->confine.most_ms);
  if (e) {
    char text[SPOOL_TEXT_MAX];
    snprintf(text, sizeof text, "%s %.800s: %s", doing, what, e == EXDEV ? "it is outside the work folder" : e == ENOEXEC ? "it is no program (a batch file needs cmd /c)" : strerror(e));
    snprintf(t->reason, sizeof t->reason, "start");
    end(a, t, "failed", e);
    snprintf(t->c.exit->text, sizeof t->c.exit->text, "%s", text);
  }
  return ERR_OK;
}

/* What has ended by its own will and what by ours: the exit code says it, since whoever ends a tree gives one. */
static void settle(struct agent *a, struct tree *t, int64_t now)
{
  bool silent = !t->open[0] && !t->open[1];

  if (!t->main_ended && proc_ended(t->proc, &t->code)) {
    t->main_ended = true;
    t->main_end = now;
    t->kill_at = now + t->spec.grace_ms;
  }
  if (!t->main_ended)
    return;
  if (!silent && now >= t->kill_at) /* others of the tree hold its output */
    kill_tree(t, "-");
  if (silent)
    end(a, t, t->killed && t->code == PROC_TERMINATED ? "signaled" : "exited", t->killed && t->code == PROC_TERMINATED ? KILLED_CODE : t->code);
}

static void tick(struct agent *a, struct tree *t, int64_t now)
{
  bool was_full = t->full;

  while (take_output(t, now))
    continue;
  if (now >= t->close_at)
    close_chunk(t);
  if (was_full && !t->full)
    t->idle_at = after(now, t->spec.idle_ms);
  if (!t->killed && !t->main_ended && !t->full) {
    if (now >= t->idle_at)
      kill_tree(t, "idle");
    else if (now >= t->total_at)
      kill_tree(t, "total");
  }
  if (!t->killed && !t->main_ended && now >= t->most_at)
    kill_tree(t, "total");
  if (!t->killed && !t->main_ended && now - heard_at >= t->spec.alone_ms && t->spec.alone_ms)
    kill_tree(t, "alone");
  settle(a, t, now);
}

void commands_turn(struct agent *a, int64_t now)
{
  list_each(it, &a->commands) {
    struct tree *t = tree_of(list_of(it, struct command, node));
    if (t->proc)
      tick(a, t, now);
  }
}

int64_t commands_due(const struct agent *a)
{
  int64_t due = NEVER;

  list_each(it, &a->commands) {
    const struct tree *t = tree_of(list_of(it, struct command, node));
    int64_t alone = after(heard_at, t->spec.alone_ms), at[] = { t->close_at, t->full || t->killed ? NEVER : t->idle_at, t->full || t->killed ? NEVER : t->total_at, t->kill_at, t->killed ? NEVER : alone, t->killed ? NEVER : t->most_at };
    for (size_t i = 0; t->proc && i < COUNT(at); i++)
      due = at[i] < due ? at[i] : due;
  }
  return due;
}

void commands_heard(int64_t now) { heard_at = now; }

void commands_end(struct agent *a)
{
  list_each(it, &a->commands)
    drop(a, tree_of(list_of(it, struct command, node)));
}

/* ---- what the master says ---- */

void command_tell(struct agent *a, struct command *c, const char *line)
{
  struct tree *t = tree_of(c);
  char word[SPOOL_WORD_MAX];
  long long grace;
  int number;

  (void)a;
  if (scan(line, "kill %lld %15s", &grace, word) == 2)
    kill_tree(t, word);
  else if (scan(line, "follow %d", &number) == 1)
    t->followed = number;
}

void command_set_epoch(struct command *c, struct id epoch)
{
  if (str_id_cmp(epoch, c->epoch) > 0)
    c->epoch = epoch;
}

enum err command_resume(struct agent *a, struct command *c, int stream, int64_t off, int64_t limit)
{
  struct command_stream *s = &c->stream[stream];
  struct tree *t = tree_of(c);
  size_t i = 0;

  (void)a;
  s->sending = false;
  if (off < s->lo)
    return ERR_NOTFOUND;
  while (i < t->nrecords && t->record[i].off < off)
    i++;
  if (i < t->nrecords ? t->record[i].off != off : off < t->off)
    return ERR_BADARG;
  t->next = i;
  s->sent = i < t->nrecords ? off : t->off;
  s->limit = limit;
  s->sending = true;
  c->exit_sent = false;
  return ERR_OK;
}

/* Of what the master has, some is kept. */
static void forget_acked(struct tree *t)
{
  size_t n = 0, bytes = 0, acked = 0;

  for (size_t i = 0; i < t->nrecords && t->record[i].off + t->record[i].raw <= t->c.stream->acked; i++)
    acked += t->record[i].n;
  while (n < t->next && n < t->nrecords && acked - bytes > KEEP_ACKED && t->record[n].off + t->record[n].raw <= t->c.stream->acked) {
    bytes += t->record[n].n;
    free(t->record[n++].bytes);
  }
  memmove(t->record, t->record + n, (t->nrecords - n) * sizeof *t->record);
  t->nrecords -= n;
  t->next -= n;
  t->held -= bytes;
  t->c.stream->lo = t->nrecords ? t->record->off : t->off;
}

void command_ack(struct command *c, int stream, int64_t off, int64_t limit)
{
  struct command_stream *s = &c->stream[stream];

  s->limit = limit;
  if (off <= s->acked)
    return;
  s->acked = off;
  forget_acked(tree_of(c));
}

void command_forget(struct agent *a, struct command *c)
{
  if (c->sm.state == COMMAND_LIVE) {
    c->forgotten = true;
    c->stream->sending = false;
    c->stream->acked = tree_of(c)->off; /* it does not wait for that any more */
    kill_tree(tree_of(c), "cancel");
    return;
  }
  drop(a, tree_of(c));
}

const char *command_state_name(const struct command *c)
{
  return c->sm.state == COMMAND_ENDED ? "done" : "running";
}

int64_t command_end(const struct command *c, int stream)
{
  (void)stream;
  return ((const struct tree *)(const void *)c)->off;
}

/* ---- sending ---- */

static void put_exit(struct agent *a, struct command *c)
{
  const struct spool_exit *x = c->exit;

  wire_put_blob(&a->link.out, VERB_exit, x->text, strlen(x->text), "iisnsncnnnnn", &c->id, &c->epoch, x->how, x->code, x->reason, x->len, x->crc, x->lines, x->wall_ms, x->user_ms, x->sys_ms, x->maxrss_kib);
  c->exit_sent = true;
}

/* True: something was copied. */
static bool send_some(struct agent *a, struct tree *t)
{
  struct command_stream *s = t->c.stream;
  const struct record *r = t->next < t->nrecords ? &t->record[t->next] : NULL;

  if (!s->sending || t->c.exit_sent || (r && r->off + r->raw > s->limit))
    return false;
  if (r) {
    buf_add(&a->link.out, r->bytes, r->n);
    s->sent = r->off + r->raw > s->sent ? r->off + r->raw : s->sent;
    t->next++;
  } else if (t->c.exit) {
    put_exit(a, &t->c);
  }
  return r || t->c.exit;
}

void command_send_all(struct agent *a)
{
  bool more = true;

  while (more && link_queued(&a->link) < LINK_OUT_FULL) {
    more = false;
    list_each(it, &a->commands)
      if (link_queued(&a->link) < LINK_OUT_FULL && send_some(a, tree_of(list_of(it, struct command, node))))
        more = true;
    link_flush(&a->link);
  }
}

void command_detach_all(struct agent *a)
{
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    c->stream->sending = false;
    c->stream->sent = 0;
  }
}
