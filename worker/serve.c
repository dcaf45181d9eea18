/* What the master says. Each verb's function checks its message and does it; a message that is not of its kind ends the link. */
#include "worker/serve.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/records.h"
#include "worker/admin.h"
#include "worker/command.h"
#include "worker/inventory.h"
#include "worker/os.h"
#include "worker/spec.h"
#include "worker/terminal.h"
#include "worker/version.h"

#ifndef SERVE_FEATURES /* a build for another system may have less */
#define SERVE_FEATURES "disk,secrets,files,control,report,limits,admin,logs,input" /* docs/protocol.md 2: what this worker can do that the first ones could not */
#endif

enum { HELLO_MAX = 16384, TIME_MAX_MS = 86400000, NAME_ROOM = sizeof TOKEN_POOL + MEMBER_NAME_MAX };

static void put_error(struct agent *a, const char *tag, const char *what, const char *text)
{
  wire_put_blob(&a->link.out, VERB_error, text, strlen(text), "ss", tag, what);
}

static const char *tag_of(enum err e)
{
  switch (e) {
  case ERR_NOSPACE: return "nospace";
  case ERR_BUSY: return "busy";
  case ERR_NOTFOUND: return "notfound";
  case ERR_BADARG: return "badarg";
  case ERR_FENCED: return "fenced";
  case ERR_EXISTS: return "exists";
  case ERR_DENIED: return "denied";
  default: return "io";
  }
}

static const char *text_of(struct id id, char out[STR_ID_MAX]) { return str_id_text(id, out); }

/* ---- greeting ---- */

/* Who it is, and what proves it: a member of a pool by its own key, before it is one by the pool's token. name: what the greeting calls it. */
static void put_credential(struct agent *a, struct buf *facts, char name[NAME_ROOM])
{
  const struct token *t = &a->conf->token;
  const struct member *m = &a->member;
  char machine[OS_MACHINE_LEN + 1];
  bool joins = t->pool && !*m->name;

  snprintf(name, NAME_ROOM, "%s%s", joins ? TOKEN_POOL : "", agent_name(a));
  if (t->secret)
    records_put(facts, "secret", *m->name ? m->key : t->secret);
  if (joins)
    records_put(facts, "key", m->key);
  if (os_machine_id(machine))
    records_put(facts, "machine", machine);
}

void serve_hello(struct agent *a)
{
  char name[NAME_ROOM];
  struct ident *i = &a->ident;
  struct buf facts;

  a->listed = false;
  i->conn++;
  if (ident_save(i)) {
    link_note(&a->link, LOG_ERROR, "ident", "ident can't be written: no greeting");
    link_end(&a->link, LINK_FAILED, NULL, 0);
    return;
  }
  buf_init(&facts, HELLO_MAX);
  put_credential(a, &facts, name);
  os_facts(&facts, a->work_path);
  confine_facts(&a->conf->confine, &facts);
  if (a->why_plain)
    records_put(&facts, "isolation_why", a->why_plain);
  if (a->why_none)
    records_put(&facts, "cgroup_why", a->why_none);
  records_put(&facts, "version", worker_version);
  records_put(&facts, "work", a->work_path);
  records_put(&facts, "path", a->conf->path);
  records_putf(&facts, "started", "%lld", (long long)a->started_ms);
  assert(!facts.failed);
  wire_put_blob(&a->link.out, VERB_hello, facts.data, facts.len, "nsssnis", (int64_t)WIRE_VERSION, name,
                i->instance, a->boot, i->conn, &i->high, SERVE_FEATURES);
  mem_wipe(facts.data, facts.len);
  buf_free(&facts);
}

static void on_welcome(struct agent *a, struct wire_msg *m)
{
  int64_t version = wire_num(m, 0), incarnation = wire_num(m, 3), ping_ms = wire_num(m, 4);

  if (m->bad)
    return;
  if (version != WIRE_VERSION) {
    link_note(&a->link, LOG_ERROR, "protocol", "the master speaks version %lld of the protocol, this worker %d", (long long)version, WIRE_VERSION);
    link_end(&a->link, LINK_FAILED, "protocol", 0);
    return;
  }
  if (incarnation < a->ident.incarnation) {
    link_note(&a->link, LOG_ERROR, "incarnation", "the master's incarnation %lld is older than %lld, seen before", (long long)incarnation,
              (long long)a->ident.incarnation);
    link_end(&a->link, LINK_FAILED, "incarnation", 0);
    return;
  }
  if (incarnation > a->ident.incarnation) {
    a->ident.incarnation = incarnation;
    if (ident_save(&a->ident)) {
      link_note(&a->link, LOG_ERROR, "ident", "ident can't be written");
      link_end(&a->link, LINK_FAILED, NULL, 0);
      return;
    }
  }
  link_up(&a->link, ping_ms);
  log_info("worker", "connected as %s, connection %lld", agent_name(a), (long long)a->ident.conn);
  agent_seen(a, true, true);
  upgrade_welcomed(&a->upgrade);
  inventory_tell(a);
}

/* The pool has taken it in. */
static void on_member(struct agent *a, struct wire_msg *m)
{
  const char *name = wire_str(m, 0);

  if (m->bad)
    return;
  if (!a->member.pool || *a->member.name || !str_is_name(name, strlen(name))) {
    link_broken(&a->link, "a name for a worker that has one");
    return;
  }
  if (member_named(&a->member, name)) {
    link_note(&a->link, LOG_ERROR, "ident", "member can't be written: no membership");
    link_end(&a->link, LINK_FAILED, NULL, 0);
    return;
  }
  log_info("worker", "the pool %s calls this worker %s", a->member.pool, name);
}

/* The master does not know this member any more: it joins anew. True: done. */
static bool join_anew(struct agent *a, const char *reason, const struct wire_msg *m)
{
  if (!*a->member.name || (strcmp(reason, "name") && strcmp(reason, "secret")))
    return false;
  log_warn("worker", "no longer %s of the pool %s (%.*s): it joins anew", a->member.name, a->member.pool, (int)m->blob_len, m->blob ? m->blob : "");
  if (member_forgotten(&a->member)) {
    link_note(&a->link, LOG_ERROR, "ident", "member can't be written");
    link_end(&a->link, LINK_FAILED, NULL, 0);
  } else {
    link_end(&a->link, LINK_TOLD, NULL, 0);
  }
  return true;
}

static void on_no(struct agent *a, struct wire_msg *m)
{
  int64_t retry_ms = wire_num(m, 1);
  char tag[LINK_TAG_MAX];

  if (m->bad || join_anew(a, wire_str(m, 0), m))
    return;
  snprintf(tag, sizeof tag, "no-%.16s", wire_str(m, 0));
  link_note(&a->link, LOG_ERROR, tag, "the master refuses this worker (%s): %.*s", wire_str(m, 0), (int)m->blob_len, m->blob ? m->blob : "");
  link_end(&a->link, LINK_FAILED, NULL, retry_ms);
}

static void on_busy(struct agent *a, struct wire_msg *m)
{
  int64_t ms = wire_num(m, 0);

  if (m->bad)
    return;
  link_note(&a->link, LOG_DEBUG, "busy", "the master is busy");
  link_end(&a->link, LINK_TOLD, NULL, ms < TIME_MAX_MS ? ms : TIME_MAX_MS);
}

/* ---- commands ---- */

/* The highest epoch seen for that build while anything of it is in the spool. */
static struct id epoch_of(struct agent *a, int64_t build)
{
  struct id highest = { 0, 0 };

  list_each(it, &a->commands) {
    const struct command *c = list_of(it, struct command, node);
    if (c->build == build && str_id_cmp(c->epoch, highest) > 0)
      highest = c->epoch;
  }
  return highest;
}

static void put_state(struct agent *a, const struct command *c)
{
  wire_put(&a->link.out, VERB_state, "iis", &c->id, &c->epoch, command_state_name(c));
}

/* Only for the `run` that follows. */
static void on_secrets(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0);

  os_no_dump(); /* only now: whoever runs the worker may look into it as long as there is nothing to hide */
  if (!m->bad && m->blob)
    secrets_hold(&a->secrets, id, m->blob, m->blob_len);
  wire_wipe_blob(m);
}

static void run(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 2);
  int64_t build = wire_num(m, 1), limit = wire_num(m, 3);
  const char *why = "no records", *name = wire_str(m, 0);
  const struct secrets_held *held;
  struct command *c;
  enum err e;

  if (m->bad)
    return;
  c = command_find(a, id);
  if (c) {
    put_state(a, c);
    return;
  }
  if (str_id_cmp(epoch, epoch_of(a, build)) < 0) {
    put_error(a, "fenced", name, "a later epoch of that build was here");
    return;
  }
  held = a->secrets.blob && !str_id_cmp(a->secrets.cmd, id) ? &a->secrets : NULL;
  e = m->blob ? spec_check(m->blob, m->blob_len, &why) : ERR_BADARG;
  if (!e && !secrets_check(m->blob, m->blob_len, held ? held->blob : NULL, held ? held->n : 0, &why))
    e = ERR_BADARG;
  if (!e) {
    e = command_start(a, id, build, epoch, limit, m->blob, m->blob_len, held);
    why = err_text(e);
  }
  if (e) {
    log_warn("command", "%s is not started: %s", name, why);
    put_error(a, tag_of(e), name, why);
  } else {
    wire_put(&a->link.out, VERB_state, "iis", &id, &epoch, "accepted");
  }
}

static void on_run(struct agent *a, struct wire_msg *m)
{
  run(a, m);
  secrets_drop(&a->secrets);
}

/* The command of a message, fenced by its epoch. NULL: answered. */
static struct command *fenced(struct agent *a, struct id id, struct id epoch)
{
  struct command *c = command_find(a, id);
  char name[STR_ID_MAX];

  if (!c) {
    put_error(a, "notfound", text_of(id, name), "there is no such command here");
    return NULL;
  }
  if (str_id_cmp(epoch, epoch_of(a, c->build)) < 0) {
    put_error(a, "fenced", c->sp.cmd, "a later epoch of that build was here");
    return NULL;
  }
  command_set_epoch(c, epoch);
  return c;
}

static bool has_stream(struct agent *a, const struct command *c, int64_t stream)
{
  if (stream < c->nstreams)
    return true;
  put_error(a, "badarg", c->sp.cmd, "there is no such stream");
  return false;
}

static void on_resume(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  int64_t stream = wire_num(m, 2), off = wire_num(m, 3), limit = wire_num(m, 4);
  struct command *c;
  enum err e;

  if (m->bad || !(c = fenced(a, id, epoch)) || !has_stream(a, c, stream))
    return;
  e = command_resume(a, c, (int)stream, off, limit);
  if (e)
    put_error(a, tag_of(e), c->sp.cmd, e == ERR_NOTFOUND ? "that part of the log is not here any more" : err_text(e));
}

static void on_ack(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0);
  int64_t stream = wire_num(m, 1), off = wire_num(m, 2), limit = wire_num(m, 3);
  const struct command_stream *s;
  struct command *c;

  if (m->bad)
    return;
  c = command_find(a, id);
  if (!c) {
    put_error(a, "notfound", wire_str(m, 0), "there is no such command here");
    return;
  }
  if (!has_stream(a, c, stream))
    return;
  s = &c->stream[stream];
  if (s->sending && !c->settling && off > s->sent)
    put_error(a, "badarg", c->sp.cmd, "that was not sent yet");
  else if (s->sending)
    command_ack(c, (int)stream, off, limit);
}

static void on_follow(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0);
  int64_t on = wire_num(m, 1);
  struct command *c;

  if (m->bad)
    return;
  c = command_find(a, id);
  if (c)
    command_tell(a, c, on ? "follow 1\n" : "follow 0\n");
}

/* A word for the exit record: of those that the protocol has. */
static const char *known_reason(const char *reason)
{
  static const char *const words[] = { "cancel", "idle", "total", "alone", "shutdown", "minder", "boot", "spool", "start" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i], reason))
      return reason;
  return "cancel";
}

static void on_kill(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  int64_t grace = wire_num(m, 2);
  const char *reason = wire_str(m, 3);
  struct command *c;
  char line[64];

  if (m->bad || !(c = fenced(a, id, epoch)))
    return;
  snprintf(line, sizeof line, "kill %lld %s\n", (long long)(grace < TIME_MAX_MS ? grace : TIME_MAX_MS), known_reason(reason));
  command_tell(a, c, line);
}

/* Signals have other numbers on other systems: on the wire they have names. */
static const struct { const char *name; int number; } signals[] = {
  { "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT }, { "KILL", SIGKILL }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
  { "TERM", SIGTERM }, { "ALRM", SIGALRM }, { "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "WINCH", SIGWINCH },
};

static void on_signal(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  const char *name = wire_str(m, 2);
  struct command *c;
  char line[32];
  int number = 0;

  if (m->bad || !(c = fenced(a, id, epoch)))
    return;
  for (size_t i = 0; i < COUNT(signals); i++)
    if (!strcmp(signals[i].name, name))
      number = signals[i].number;
  if (!number) {
    put_error(a, "badarg", c->sp.cmd, "there is no signal of that name");
    return;
  }
  snprintf(line, sizeof line, "signal %d\n", number);
  command_tell(a, c, line);
}

/* Whose standard input it is. NULL: answered. */
static struct command *fed(struct agent *a, struct id id, struct id epoch)
{
  struct command *c = fenced(a, id, epoch);

  if (c && !c->feed)
    put_error(a, "badarg", c->sp.cmd, "its standard input is not open");
  return c && c->feed ? c : NULL;
}

static void on_stdin(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  int64_t off = wire_num(m, 2);
  struct command *c;

  os_no_dump(); /* it may be anything, as what a secret is */
  if (!m->bad && (c = fed(a, id, epoch)))
    feed_take(a, c, off, m->blob, m->blob ? m->blob_len : 0);
  wire_wipe_blob(m);
}

static void on_close(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  int64_t off = wire_num(m, 2);
  struct command *c;

  if (!m->bad && (c = fed(a, id, epoch)))
    feed_close(a, c, off);
}

static void on_resize(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0), epoch = wire_id(m, 1);
  const char *size = wire_str(m, 2);
  struct command *c;
  int cols, rows;
  char line[32];

  if (m->bad || !(c = fenced(a, id, epoch)))
    return;
  if (!c->terminal || !terminal_size(size, &cols, &rows)) {
    put_error(a, "badarg", c->sp.cmd, c->terminal ? "that is no size of a terminal" : "it has no terminal");
    return;
  }
  snprintf(line, sizeof line, "resize %s\n", size);
  command_tell(a, c, line);
}

static void on_forget(struct agent *a, struct wire_msg *m)
{
  struct id id = wire_id(m, 0);
  struct command *c;

  if (m->bad)
    return;
  c = command_find(a, id);
  if (c)
    command_forget(a, c);
}

/* ---- the rest ---- */

static void on_file(struct agent *a, struct wire_msg *m)
{
  struct files_ask ask = { .verb = m->verb, .req = wire_num(m, 0), .blob = m->blob ? m->blob : "", .n = m->blob ? m->blob_len : 0 };

  if (wire_verbs[m->verb].tokens > 1)
    ask.a = wire_num(m, 1);
  if (wire_verbs[m->verb].tokens > 2)
    ask.b = wire_num(m, 2);
  if (m->verb == VERB_disk) {
    ask.blob = "."; /* it takes none */
    ask.n = 1;
  }
  if (!m->bad)
    files_take(&a->files, &ask, &a->link.out);
}

static void on_inventory(struct agent *a, struct wire_msg *m)
{
  (void)m;
  inventory_tell(a);
}

static void on_bye(struct agent *a, struct wire_msg *m)
{
  link_note(&a->link, LOG_INFO, "bye", "the master says bye: %s", wire_str(m, 0));
  link_end(&a->link, link_is(&a->link, LINK_UP) ? LINK_LOST : LINK_FAILED, NULL, 0);
}

static void on_error(struct agent *a, struct wire_msg *m)
{
  (void)a;
  log_warn("worker", "the master reports %s about %s: %.*s", wire_str(m, 0), wire_str(m, 1), (int)m->blob_len,
           m->blob ? m->blob : "");
}

static const struct {
  void (*take)(struct agent *, struct wire_msg *);
  bool greeting, later; /* when it may come */
} verbs[VERB_COUNT] = {
  [VERB_welcome] = { on_welcome, true, false }, [VERB_no] = { on_no, true, false },
  [VERB_member] = { on_member, true, false },
  [VERB_busy] = { on_busy, true, false },       [VERB_bye] = { on_bye, true, true },
  [VERB_error] = { on_error, true, true },      [VERB_inventory] = { on_inventory, false, true },
  [VERB_run] = { on_run, false, true },         [VERB_secrets] = { on_secrets, false, true },
          [VERB_resume] = { on_resume, false, true },
  [VERB_ack] = { on_ack, false, true },         [VERB_follow] = { on_follow, false, true },
  [VERB_kill] = { on_kill, false, true },       [VERB_forget] = { on_forget, false, true },
  [VERB_signal] = { on_signal, false, true },
  [VERB_stdin] = { on_stdin, false, true },     [VERB_close] = { on_close, false, true },
  [VERB_resize] = { on_resize, false, true },
  [VERB_stat] = { on_file, false, true },       [VERB_mkdir] = { on_file, false, true },
  [VERB_remove] = { on_file, false, true },     [VERB_usage] = { on_file, false, true },
  [VERB_disk] = { on_file, false, true },       [VERB_list] = { on_file, false, true },
  [VERB_get] = { on_file, false, true },        [VERB_put] = { on_file, false, true },
  [VERB_rename] = { on_file, false, true },     [VERB_copy] = { on_file, false, true },
  [VERB_glob] = { on_file, false, true },       [VERB_puttree] = { on_file, false, true },
  [VERB_gettree] = { on_file, false, true },
  [VERB_upgrade] = { admin_upgrade, false, true }, [VERB_restart] = { admin_restart, false, true },
  [VERB_stop] = { admin_stop, false, true },       [VERB_tail] = { admin_tail, false, true },
  [VERB_facts] = { admin_facts, false, true },
};

/* What worker.conf does not allow is answered, and nothing else. */
static bool refuse(struct agent *a, struct wire_msg *m)
{
  const char *why = confine_refusal(&a->conf->confine, m->verb);
  bool of_command = confine_group(m->verb) == ALLOW_RUN;
  int64_t req;

  if (!why)
    return false;
  wire_wipe_blob(m);
  req = of_command ? 0 : wire_num(m, 0);
  if (of_command)
    (void)wire_id(m, 0);
  if (m->bad)
    return false; /* as any other that is not well-formed */
  if (!of_command)
    wire_put_blob(&a->link.out, VERB_done, why, strlen(why), "ns", req, "denied");
  else if (m->verb != VERB_secrets) /* a run follows, which is answered */
    put_error(a, "denied", wire_str(m, 0), why);
  return true;
}

static void serve(struct agent *a, struct wire_msg *m)
{
  bool up = link_is(&a->link, LINK_UP);
  char what[WIRE_VERB_MAX + 32];

  if (verbs[m->verb].take && (up ? verbs[m->verb].later : verbs[m->verb].greeting)) {
    if (up && refuse(a, m))
      return;
    verbs[m->verb].take(a, m);
    if (!m->bad || !a->link.in)
      return;
    snprintf(what, sizeof what, "%s with a wrong token", wire_verbs[m->verb].name);
  } else {
    snprintf(what, sizeof what, "%s at the wrong time", wire_verbs[m->verb].name);
  }
  link_broken(&a->link, what);
}

void serve_messages(struct agent *a)
{
  struct wire_msg m;

  while (link_next(&a->link, &m) == ERR_OK)
    serve(a, &m);
}
