/* How commands are kept apart from the host and from each other: what worker.conf says of it. Only who may write that file decides here; nothing of it comes over the wire. Pure. */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"
#include "proto/wire.h"

/* Namespaces of their own (jail.h). All others need CONFINE_PID, whose first process holds them. */
enum { CONFINE_PID = 1, CONFINE_MOUNT = 2, CONFINE_IPC = 4, CONFINE_UTS = 8, CONFINE_NET = 16, CONFINE_USER = 32 };
/* Those from CONFINE_RULED on hold for all of a command together, by its control group; cpu in per cent of one processor. */
enum confine_limit { CONFINE_NPROC, CONFINE_NOFILE, CONFINE_FSIZE, CONFINE_AS, CONFINE_CORE, CONFINE_MEMORY, CONFINE_PROCESSES, CONFINE_CPU, CONFINE_LIMITS, CONFINE_RULED = CONFINE_MEMORY, CONFINE_RULES = CONFINE_LIMITS - CONFINE_RULED };
/* What control groups do here (cgroup.h): hold those limits, each a bit in their order, and kill. */
enum { RULED_MEMORY = 1, RULED_PROCESSES = 2, RULED_CPU = 4, RULED_LIMITS = 7, RULED_KILL = 8, RULED_NONE = 16 /* its word */ };
/* Groups of what a master may ask for (`allow`). */
enum { ALLOW_RUN = 1, ALLOW_READ = 2, ALLOW_WRITE = 4, ALLOW_FACTS = 8, ALLOW_LOG = 16, ALLOW_RESTART = 32, ALLOW_STOP = 64, ALLOW_ALL = 127 };

#define CONFINE_UIDS_MAX 65536
#define CONFINE_UMASK 022
#define CONFINE_WORDS_MAX 64   /* of exec_wrapper */
#define CONFINE_NAMES_MAX 64

struct confine {
  unsigned spaces;               /* CONFINE_PID and so on */
  bool best;                     /* isolate = auto: what can be had */
  uid_t first, last;             /* slot_uids; 0: commands run as the worker's user */
  int64_t limit[CONFINE_LIMITS]; /* -1: as the worker has it */
  mode_t umask;
  int64_t most_ms;               /* max_runtime; 0: as long as the master says */
  unsigned allow;
  char *wrapper;                 /* exec_wrapper: words with one blank between, owned; NULL: none */
  char *program;                 /* with a wrapper: the path of this one, owned (wrap.h) */
  bool no_groups;                /* cgroup = off */
  char *group;                   /* where commands have groups of their own: what comes before a command's id in the path, owned; NULL: they have none */
  unsigned ruled;                /* by these groups: RULED_KILL and so on */
};

void confine_init(struct confine *c);
void confine_free(struct confine *c);

/* Each takes the value of the key of its name. NULL, or what is wrong with it (static text). */
const char *confine_take_isolate(struct confine *c, const char *v) must_check;
const char *confine_take_slot_uids(struct confine *c, const char *v) must_check;
const char *confine_take_limits(struct confine *c, const char *v) must_check;
const char *confine_take_umask(struct confine *c, const char *v) must_check;
const char *confine_take_max_runtime(struct confine *c, const char *v) must_check;
const char *confine_take_allow(struct confine *c, const char *v) must_check;
const char *confine_take_exec_wrapper(struct confine *c, const char *v) must_check;
const char *confine_take_cgroup(struct confine *c, const char *v) must_check;

/* Which limits worker.conf asks of groups, as RULED_ bits. */
unsigned confine_asked(const struct confine *c);
/* Of those that no group holds each process gets what is nearest: memory is `as`, processes is `nproc`, where worker.conf does not say these itself. */
void confine_fall_back(struct confine *c);

/* All but `allow`, as one word of a minder's command line; the caller frees it. confine_read() makes it a confine again (ERR_BADARG: it is none). */
char *confine_text(const struct confine *c) must_check;
enum err confine_read(struct confine *c, const char *text) must_check;

/* "uid,pid,mount,ipc", or "plain"; returns out. */
char *confine_names(const struct confine *c, char out[CONFINE_NAMES_MAX]);

/* The record `isolation`, those names, and `cgroup`: "kill,memory", or "off". */
void confine_facts(const struct confine *c, struct buf *out);

/* Which group the master's verb is of; 0: it may always come. */
unsigned confine_group(enum verb v);
/* What to answer when it is not of `allow`: a sentence that names the group; NULL: it may. */
const char *confine_refusal(const struct confine *c, enum verb v);
#endif
