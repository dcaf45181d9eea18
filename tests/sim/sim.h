/* The simulation of link, spool and resume: the worker's own code (agent, minders, undertakers, spool, link) and the master's (sessions, runs, log ends, the wire), in one process and one thread, between a clock, a
   network, disks, processes and a database that are made up, so that anything may break at any moment, and a seed plays it again.

   The worker's objects are linked into one, their calls of the system renamed to sys_*() (sys.txt), and each of its processes is a coroutine with its own copy of the program's variables (proc.c). The master is linked as in
   tests/model, with that one's clock, loop and chance; its database is a few tables (store.c), and transactions are done late, not at all, or done without an answer (base.c). */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <ucontext.h>

#include "proto/token.h"
#include "tests/model/model.h"

enum {
  SIM_HOSTS = 2,
  SIM_BUILDS = 3,          /* of a host */
  SIM_STEPS = 3,           /* of a build, at most */
  SIM_CHUNK = 1024,        /* bytes of a chunk at most, as the worker is built for it (Makefile) */
  SIM_WINDOW = 6 * SIM_CHUNK, /* of credit. With an ack's step and a segment (Makefile) less than the spool takes, as it is in truth: else a minder would wait for an ack that is never written down */
  SIM_COMMANDS = 64,       /* of a seed: builds, their steps, and what is made anew */
  SIM_CHANNELS = 3,        /* what a command writes: its two, and */
  SIM_FILE = 2,            /* a file that is followed, which is stream 1 */
  SIM_STREAMS = 2,
  SIM_FDS = 48,            /* of a process */
  SIM_FIFO = 65536,        /* bytes in a pipe, as Linux has it: agent.c counts on it */
  SIM_HEAP_MAX = 2 << 20,  /* of one process of the worker */
  SIM_SPOOL_MAX = 160 << 10, /* of one command: what the minder may have (guest.c), what it reads at once and what is in the pipes at the end (64 KiB each, deflated), segments that are kept */
  SIM_SPOOL_FILE_MAX = 80 << 10, /* of its file, whose rest is left in it at the end until there is room (follow.c) */
};

/* ---- what happened ---- */
void trace(const char *what, int64_t a, int64_t b); /* into the hash, and told where verbose */
extern uint64_t trace_hash;

/* ---- disks (disk.c) ---- */
enum node_kind { NODE_FILE, NODE_FOLDER, NODE_FIFO };
struct node;
struct entry {
  char name[40];
  struct node *node;
};
struct undo;
struct node {
  enum node_kind kind;
  int refs, undos;         /* undos: of these, those that only a loss of power would make count */
  struct host *host;       /* whose disk counts its bytes; NULL: none (a pipe) */
  char *data;              /* of a file or pipe */
  size_t len, cap;
  char *safe;              /* what a loss of power leaves at least, where it is not the same */
  size_t safe_len;
  bool dirty;
  int readers, writers;    /* of a pipe */
  int64_t since;           /* when something came into it, and it was empty */
  struct entry *entries;
  int nentries;
  struct undo *undo;       /* of a folder: what was not synced, the last first */
  struct list all;         /* of its host's files and folders */
};
struct node *node_new(struct host *h, enum node_kind kind);
void node_unref(struct node *n);
struct node *node_find(const struct node *folder, const char *name); /* NULL: not there */
int disk_add(struct node *folder, const char *name, struct node *n);  /* 0, or errno; a reference more */
int disk_remove(struct node *folder, const char *name);
int disk_rename(struct node *folder, const char *from, const char *to);
int disk_swap(struct node *folder, const char *a, const char *b);
ssize_t disk_write(struct node *n, size_t at, const void *p, size_t len); /* perhaps less; -1 and errno */
void disk_truncate(struct node *n, size_t len);
int disk_sync(struct node *n);         /* 0, or errno */
extern int disk_breaks;                /* in how many syncs once; 0: never */
extern bool disk_no_acks;              /* just when an ack is to be written down there is no room */
bool disk_takes(struct host *h);       /* room for one more inode */
extern int disk_moments;               /* in how many looks for such room there is none, as where others come and go; 0: never */
void disk_power_loss(struct host *h);
int64_t disk_used(const struct host *h);

/* ---- descriptors (file.c) ---- */
enum file_kind { FILE_NODE, FILE_SOCKET, FILE_PROCESS };
struct conn;
struct file {
  enum file_kind kind;
  int refs, flags;
  bool locked;
  struct node *node;
  size_t at;
  struct conn *conn;
  int pid;
};
struct proc;
int file_put(struct proc *p, struct file *f, bool cloexec); /* the lowest free number; takes the reference */
void file_close(struct proc *p, int fd);
short file_ready(const struct proc *p, int fd, short want);

/* ---- the network (net.c) ---- */
struct conn *net_dial(struct host *h, const char *address, int *number); /* NULL: errno */
int net_error(struct conn *c);
ssize_t net_recv(struct conn *c, void *p, size_t n);
ssize_t net_send(struct conn *c, const void *p, size_t n);
short net_ready(const struct conn *c);
void net_hang_up(struct conn *c);      /* the worker's side is closed */
void net_begin(void);
void net_end(void);
int net_choices(void);                 /* things that may happen now */
void net_do(int n);
int64_t net_due(void);                 /* when something may, later; INT64_MAX: never */
void net_cut(struct conn *c, bool half);
struct conn *net_any(void);            /* one that stands; NULL */
void net_cut_all(struct host *h, bool half);  /* NULL: all hosts' */
void net_cut_master(struct sim_master *m, bool half);
void net_tick(void);                   /* the master's pings */
bool net_has_message(const struct sim_master *m);
void net_deliver(struct sim_master *m);
void net_finish(struct sim_master *m);
extern bool net_down;                  /* nobody gets through */

/* What passes on a link is looked at (tap.c). */
struct tap;
struct tap *tap_new(void);
void tap_free(struct tap *t);
void tap_reset(void);                  /* for each seed */
extern bool tap_says_twice;
extern int tap_loses_acks;             /* so many percent of acks, but for those behind a resume, are lost with their link, */
bool tap_lost(const struct tap *t);    /* which must be cut then */
void tap_to_worker(struct tap *t, const char *p, size_t n, struct buf *out); /* whole messages, to out */
void tap_to_master(struct tap *t, struct wire_msg *m);

/* ---- processes (proc.c) ---- */
enum proc_kind { PROC_AGENT, PROC_MINDER, PROC_CHILD };
struct proc {
  struct list node;
  int pid, parent;
  enum proc_kind kind;
  struct host *host;
  bool zombie, stopped, blocked;       /* blocked: in poll */
  bool forgotten;                      /* a minder that was told so */
  int status;
  int64_t start_ms;
  struct file *fd[SIM_FDS];
  bool cloexec[SIM_FDS];
  ucontext_t context;
  void *stack;
  char *image[2];                      /* its copies of the program's variables: of its own, of what both kinds have */
  struct list heap;
  size_t heap_bytes, heap_most;
  struct sigaction act[NSIG];
  uint64_t pending;
  struct pollfd *poll;                 /* while blocked */
  int npoll;
  int64_t until;                       /* on its host's monotonic clock */
  int die_in;                          /* so many calls to go; 0: it lives on */
  char cmd[STR_ID_MAX];                /* of a minder or child */
  char **argv;
  struct node *cwd;                    /* NULL: the root; its host keeps it */
  struct program *program;             /* of a child */
};
extern struct proc *self;              /* the coroutine that runs; NULL: the world */
extern struct list procs;
void proc_begin(void);                 /* once: pictures of the program's variables as they are at its start */
void proc_reset(void);                 /* for each seed */
void proc_agent(struct host *h);
struct proc *proc_find(int pid);
bool proc_may_run(struct proc *p);
void proc_run(struct proc *p);
void proc_signal(struct proc *p, int sig);
void proc_ended(struct proc *p, int status);
int64_t proc_due(void);                /* when the next one wakes up by time; INT64_MAX: none */
void proc_point(const char *call);     /* a call of the system begins: others may run, it may die */
void proc_power_loss(struct host *h);
void procs_check(void);                /* while nothing is under way */
struct proc *proc_child(const char *cmd);

/* ---- commands (program.c) ---- */
struct program;
struct truth {                         /* of one command, whatever became of it */
  int64_t number;
  int starts;
  int64_t wrote[SIM_CHANNELS];         /* bytes of each channel that left the process */
  int64_t total[SIM_CHANNELS];
  int code;
  bool ended, killed;
  bool excused;                        /* something befell it after which it may be lost, */
  bool power;                          /* and its files with it */
};
struct truth *truth_of(int64_t number);
void program_reset(uint64_t seed);
void program_bytes(int64_t number, int channel, int64_t from, char *out, size_t n);
struct program *program_start(struct proc *p, const char *cmd, const char *place); /* it writes to descriptors 3 and 4, and to that file; NULL: to none */
void program_free(struct program *g);
int64_t program_due(const struct program *g); /* INT64_MAX: when somebody reads */
void program_turn(struct proc *p);
void program_told(struct proc *p, int sig);
void program_calm(void);

/* ---- hosts (world.c) ---- */
struct host {
  int n;
  char name[16], boot[33];
  struct token token;
  struct node *root;
  struct list nodes;                   /* of its disk */
  int64_t disk_max, disk_size;         /* room now; and when nothing else takes any */
  struct proc *agent;
  int64_t agent_at;                    /* when it is started again */
  int64_t slept;                       /* ms that its monotonic clock stood still */
  int64_t asleep_until, sleeps_from;   /* 0: it is awake */
};
extern struct host hosts[SIM_HOSTS];
extern int nhosts;
extern bool sim_calm;
int64_t host_mono(const struct host *h);
void host_empty(struct host *h);      /* its disk */

/* ---- the database: transactions (base.c, as model.h has it), tables (store.c) ---- */
struct db_tx;
PGresult *store_do(const struct db_tx *tx, int stmt, bool *refused); /* refused: a guard did not hold */
extern int base_fails;                 /* one in so many transactions does, for reasons of the database's own; 0: none */
void store_failed(const struct db_tx *tx);
int base_answers(struct base *b);       /* how many may be told now */
void store_begin(void);
void store_end(void);
void store_build(int64_t worker, int steps);
bool store_over(void);                 /* all builds are done */
void store_check(void);                /* what must hold at the end */
void store_forgotten(int64_t number);  /* a worker is told to forget that command, */
int64_t store_border(int64_t number, int stream, int64_t from); /* of one of its chunks from there on; -1: none */
bool store_has_file(int64_t number, int64_t n); /* so much of its file is committed, or nobody waits for it */
void store_acked(int64_t number, int stream, int64_t off); /* that so much of it is committed, */
void store_removed(int64_t number);    /* or removes it */
int store_builds(void);
bool store_cancel(int n, int64_t *build);
bool store_give_up(int n);
uint64_t store_sum(void);

/* ---- masters (masters.c), started and killed as model.h has it ---- */
void masters_check(void);              /* while nothing is under way */

/* ---- faults (faults.c) ---- */
void faults_begin(void);
void faults_one(void);
void faults_calm(void);
void excuse(struct proc *minder);      /* its command may be lost; an agent has none */
void excuse_host(struct host *h);

/* ---- a seed (world.c) ---- */
struct result_of {
  uint64_t hash;
  int64_t events, ms;
};
struct result_of world_play(uint64_t seed);
void cancel_build(struct sim_master *m, int64_t build);
#endif
