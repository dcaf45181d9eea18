/* One command as the agent sees it: its minder's life, its log's way to the master.

     live ──▶ ended        live: a minder (or an undertaker) holds the lock. ended: there is a result. Forgotten ones are gone. */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H
#include "common/sm.h"
#include "worker/agent.h"
#include "worker/feed.h"
#include "worker/segment.h"

#define COMMAND_ACK_MINUTES 10 /* acked output is kept so long, */
#define COMMAND_KEEP_SEGMENTS 32 /* or until it is more than so many segments of 8 MiB */

enum command_state { COMMAND_LIVE, COMMAND_ENDED, COMMAND_STATES };

/* One of its streams on its way: what the process writes, or a file that is followed. */
struct command_stream {
  struct spool sp;
  struct segment_reader log; /* the next to send */
  int64_t limit, acked, ack_written, lo;
  int64_t sent;              /* on this link so far: a resume may send some of it again, and acks of the first time still come */
  int64_t acked_ago[COMMAND_ACK_MINUTES]; /* `acked` so many minutes ago */
  bool sending;              /* the master said run or resume on this link */
  int64_t resume_at;         /* where sending begins once it is settled; -1: it has begun */
  bool woken;                /* there may be something new to send */
  bool stalled;              /* the next chunk passes the limit */
  bool many;                 /* more than one segment */
};

struct command {
  struct list node;
  struct spool sp;
  struct id id, epoch;
  int64_t build;
  struct sm sm;
  int pidfd;                 /* of the minder; -1: none, it is looked after by time */
  struct command_stream *stream; /* nstreams, one at least */
  int nstreams;
  struct spool_exit *exit;   /* when ended */
  bool settling;             /* an undertaker is at it: its log is not to be trusted yet */
  bool exit_sent, forgotten;
  bool report;               /* it told something in its report */
  struct feed *feed;         /* standard input that the master brings; NULL: not of this one */
  bool terminal;             /* it has one */
  bool plain;                /* its folder holds no more than the usual files: it can be used again */
  bool this_boot;            /* started under this boot of the host, or looked at under it */
};

struct command *command_find(struct agent *a, struct id id);

/* ERR_OK: a minder has it. Others: nothing is left of it. secrets: the values that it takes, or NULL. */
enum err command_start(struct agent *a, struct id id, int64_t build, struct id epoch, int64_t limit, const char *blob,
                       size_t n, const struct secrets_held *secrets) must_check;
/* A folder that was found in the spool at the agent's start. */
void command_adopt(struct agent *a, struct id id);

/* The minder's FIFO: ctl. Nobody there is fine. */
void command_tell(struct agent *a, struct command *c, const char *line);
/* A new epoch (never a lower one). */
void command_set_epoch(struct command *c, struct id epoch);
/* ERR_NOTFOUND, ERR_BADARG: as segment_seek(). */
enum err command_resume(struct agent *a, struct command *c, int stream, int64_t off, int64_t limit) must_check;
void command_ack(struct command *c, int stream, int64_t off, int64_t limit);
/* Removes it, now or when its killed processes have ended. */
void command_forget(struct agent *a, struct command *c);

/* "accepted", "running", "done" or "lost" (docs/protocol.md 3). */
const char *command_state_name(const struct command *c);
int64_t command_end(const struct command *c, int stream); /* of what was written */

/* A minder woke us: ended: it wrote a result. */
void command_woken(struct agent *a, const char *name, bool ended);
void command_wake_all(struct agent *a);
/* The minder's descriptor says that it is gone. */
void command_minder_gone(struct agent *a, struct command *c);
/* Now and then: minders without a descriptor; keeping acked output. */
void command_check_all(struct agent *a);
void command_retention_all(struct agent *a);

/* Copies what may be sent, in fair turns, while the link's queue has room. */
void command_send_all(struct agent *a);
/* The link is lost: nothing is sent before the master says so again. */
void command_detach_all(struct agent *a);
#endif
