/* The files of one command, which is all that agent and minder share. Below DIR/spool/<cmd>/:

     cmd           its id, the run's tokens and blob. The minder holds its flock for life; the agent takes it before the minder is
                   started and hands the descriptor on, so there is no moment without a holder
     ctl           FIFO from agent to minder: "kill <grace_ms> <reason>", "follow <0|1>", "signal <number>"
     started       boot id, minder's pid, time; written before the process is started. Without it nothing was ever received
     log.<offset>  log segments (segment.h); those of stream 1, a file that is followed, are log-1.<offset>, and so with tail, ack and base
     tail.<offset> the end of an output that is over its limit, while it is kept aside (tail.h); the minder's alone
     ack           raw offset below which the master has all (lazily written; the minder reads it when the spool grows)
     base          offset, CRC and lines of the log before its lowest segment, once acked segments were deleted
     in            FIFO with standard input that the master brings (feed.h), and
     fed           how much of it the command was given; both only where it is brought
     epoch         build epoch of the last resume, when it is not the run's
     result        the exit record; until then zeros, which keep room for it
     report        what it told in its report (report.h); only where it told something
     secrets       where the folder with its secrets as files is, while there is one (secret_files.h); no value ever stands in a spool

   Folders are used again: making and removing some five inodes a command is what costs most of a short one. A forgotten folder
   becomes .free.<n>, its long files emptied; the next command takes it by a rename. So each small file names its command, and
   one with another's id counts as not there.

   What else agent and minders tell each other is in notice.h.
   All names are relative to a descriptor of DIR/spool. Everything read back is checked, since another version may have written it, and can stand in a message of the wire: words are tokens, numbers not below 0. */
#ifndef WORKER_SPOOL_H
#define WORKER_SPOOL_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/str.h"

#define SPOOL_FORGET "forget" /* reason of a kill: neither output nor result is wanted */
#define SPOOL_BLOB_MAX 4194304
#define SPOOL_TEXT_MAX 1024
#define SPOOL_WORD_MAX 16
#define SPOOL_NAME_MAX (STR_ID_MAX + 32)

struct spool {
  int dir; /* DIR/spool, or AT_FDCWD there */
  char cmd[STR_ID_MAX];
  int stream; /* whose log, tail, ack and base are meant */
};

#define SPOOL_STREAMS_MAX 9 /* what the process writes, and files that are followed */

struct spool_cmd {
  int64_t build;
  struct id epoch;
  char *blob; /* owned, NUL behind it */
  size_t blob_len;
};

struct spool_started {
  char boot[33];
  int64_t pid, at_ms; /* of the minder; on clock_boot_ms() */
};

/* What came of a file that was followed. */
struct spool_log {
  int64_t len, lines, left_bytes, left_lines;
  uint32_t crc;
};

struct spool_exit {
  char how[SPOOL_WORD_MAX], reason[SPOOL_WORD_MAX];
  int64_t code, len, lines, wall_ms, user_ms, sys_ms, maxrss_kib;
  int64_t left_bytes, left_lines; /* of the output, because it was over its limits (cut.h) */
  uint32_t crc;
  int nlogs;
  struct spool_log log[SPOOL_STREAMS_MAX - 1]; /* streams 1 … nlogs */
  char text[SPOOL_TEXT_MAX]; /* a sentence or ""; with logs a short one: it is in one small file with them */
};

char *spool_name(const struct spool *s, const char *file, char out[SPOOL_NAME_MAX]);
int spool_open(const struct spool *s, const char *file, int flags); /* mode 0600; -1 and errno */
/* What errno says as an error code. */
enum err spool_err(int number);

#ifndef SPOOL_FREE_MAX
#define SPOOL_FREE_MAX 16 /* folders kept for being used again */
#endif

/* Makes folder (out of .free.<from> where from is not -1), cmd (its flock taken) and ctl. On success the two descriptors, which
   an exec keeps, are the caller's; on failure nothing is left, and what was there stays (ERR_EXISTS). ERR_NOSPACE, ERR_IO. */
enum err spool_create(const struct spool *s, int from, int64_t build, struct id epoch, const char *blob, size_t n, int *cmd_fd,
                      int *ctl_fd) must_check;
/* ERR_CORRUPT, ERR_IO; ERR_NOTFOUND: it is another command's. */
enum err spool_read_cmd(const struct spool *s, int cmd_fd, struct spool_cmd *c) must_check;
/* The flock of cmd, now: a descriptor that an exec keeps, -1: somebody holds it, -2: it can't be opened. */
int spool_lock(const struct spool *s);

enum err spool_write_started(const struct spool *s, const struct spool_started *w) must_check;
enum err spool_read_started(const struct spool *s, struct spool_started *w) must_check; /* ERR_NOTFOUND, ERR_CORRUPT */

/* sync: with fsync of file and folder. Replaces what is there. */
enum err spool_write_exit(const struct spool *s, const struct spool_exit *x, bool sync) must_check;
enum err spool_read_exit(const struct spool *s, struct spool_exit *x) must_check; /* ERR_NOTFOUND, ERR_CORRUPT (or half written) */

enum err spool_write_ack(const struct spool *s, int64_t off) must_check;
int64_t spool_read_ack(const struct spool *s); /* 0: nothing known */
void spool_write_epoch(const struct spool *s, struct id epoch);
bool spool_read_epoch(const struct spool *s, struct id *epoch);

struct spool_base {
  int64_t off, lines;
  uint32_t crc;
};
enum err spool_write_base(const struct spool *s, const struct spool_base *b) must_check;
bool spool_read_base(const struct spool *s, struct spool_base *b);

#define SPOOL_IN "in"
/* Standard input that is brought: how many bytes the command was given, and whether there can be more. */
enum fed_state { FED_OPEN, FED_CLOSED /* its end was given, too */, FED_GONE /* nobody reads any more */, FED_STATES };
struct spool_fed {
  int64_t off;
  enum fed_state state;
};
/* Makes the FIFO. */
enum err spool_make_in(const struct spool *s) must_check;
enum err spool_write_fed(const struct spool *s, const struct spool_fed *f) must_check;
enum err spool_read_fed(const struct spool *s, struct spool_fed *f) must_check; /* ERR_NOTFOUND, ERR_CORRUPT (or half written) */

#define SPOOL_REPORT_MAX 65536
/* What it reports: records. sync: as of the result. */
enum err spool_write_report(const struct spool *s, const char *bytes, size_t n, bool sync) must_check;
bool spool_has_report(const struct spool *s);
/* The bytes, at most SPOOL_REPORT_MAX of them; false: there are none. */
bool spool_read_report(const struct spool *s, struct buf *out);

/* The folder with its secrets as files. */
enum err spool_write_secrets(const struct spool *s, const char *folder) must_check;
bool spool_read_secrets(const struct spool *s, char *folder, size_t cap);
void spool_drop_secrets(const struct spool *s);

/* Removes the folder with all its files. */
void spool_remove(const struct spool *s);
/* Makes it .free.<to>. Only where no more than cmd, ctl, started, log.0 and result are in it. False: it is still there. */
bool spool_retire(const struct spool *s, int to, bool has_log) must_check;
/* Removes what an earlier agent kept. */
void spool_remove_free(int dir);
#endif
