/* The agent's state, and its loop. */
#ifndef WORKER_AGENT_H
#define WORKER_AGENT_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/map.h"
#include "worker/conf.h"
#include "worker/files.h"
#include "worker/ident.h"
#include "worker/link.h"
#include "worker/member.h"
#include "worker/notice.h"
#include "worker/secrets.h"
#include "worker/spool.h"
#include "worker/upgrade.h"

#define AGENT_WAKE_MAX 4096

/* What the master has asked for, once the answer is out (docs/protocol.md 11). */
enum agent_next { AGENT_STAYS, AGENT_AGAIN, AGENT_BECOMES, AGENT_STOPS, AGENT_ENDS /* by ssh: the link is over, or the next agent has come */ };

struct agent {
  struct conf *conf;
  const struct conf_given *given;
  struct ident ident;
  struct member member;
  struct link link;
  struct files files;
  struct list commands;  /* in the order of their turns */
  struct map *by_id;
  int ncommands, nlive, live_max;
  int nfree;                   /* folders .free.0 to .free.<nfree - 1> in the spool */
  int dir, lock, spool, work; /* descriptors */
  int wake, wake_out, seen_fd; /* the FIFO's two ends; master-seen */
  char *dir_path, *spool_path, *work_path; /* absolute */
  char boot[33];
  char wake_part[AGENT_WAKE_MAX];
  size_t wake_len;
  int64_t seen_written, retention_at, check_at; /* on clock_mono_ms() */
  struct notice_seen seen;
  struct secrets_held secrets; /* for the `run` that comes next */
  bool listed; /* the inventory was told on this link */
  bool unshield;
  char *confine;         /* what minders are told of it: confine_text() */
  const char *why_plain; /* why `isolate = auto` found nothing; NULL: it did, or was not asked for */
  const char *why_none;  /* the same of control groups, and of limits that they don't hold */
  struct upgrade upgrade;
  enum agent_next next;
  char next_sum[SHA256_HEX_LEN + 1]; /* of the program that it becomes */
  int64_t started_ms;                /* on clock_boot_ms() */
};

/* Runs until a signal, or until the master says stop. Returns the program's exit code. given: what *c was made of; argv: main's. */
int agent_main(struct conf *c, const struct conf_given *given, char **argv);

/* What the master calls it; before a pool has given it a name, the pool's. */
const char *agent_name(const struct agent *a);
/* Tells the minders about the link: heard of the master now (or not), connected or not. */
void agent_seen(struct agent *a, bool heard, bool connected);

/* The exit codes of the program. */
enum { EXIT_STOPPED = 0 /* also: its master has hung up */, EXIT_OTHER = 1, EXIT_USAGE = 2, EXIT_IN_USE = 3, EXIT_TOLD = 4 };
#endif
