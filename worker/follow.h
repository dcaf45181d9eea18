/* Files that a command writes, followed while it runs: each is a log of its own, a stream of the command beside what the process writes. Places are below the work folder; a link that leads out of it is not followed, and
   what is no regular file is not there. A file may appear late, be cut or written anew (then it is read from its beginning), and be replaced by another of its name (then the rest of the old one is read first). What stood in it before
   the command is not read. Each has masks, limits and spool of its own, as output.h. */
#ifndef WORKER_FOLLOW_H
#define WORKER_FOLLOW_H
#include "worker/output.h"

struct followed;
struct follows {
  int work, n;
  struct followed *v;
  int64_t at;    /* when they are looked at next; INT64_MAX: there are none */
  bool often;    /* somebody looks */
  bool ending;   /* the command has ended: what is left of them is read, */
  bool stopped;  /* or no more of it */
  void (*wait)(void);
};

/* Before the command's process is there. work: a descriptor of the work folder, its own from now on. uid: who looks at the files, 0: the worker itself. first: what the process writes, whose masks they share. */
void follows_begin(struct follows *f, const struct spec *spec, const struct spool *sp, int work, uid_t uid, const struct output *first, int wake_fd);
/* The time at which something is due, at most `at`. */
int64_t follows_due(const struct follows *f, int64_t at);
/* Does what is due. True: something was written. */
bool follows_tick(struct follows *f, int64_t now);
void follows_often(struct follows *f, bool on);
/* Nothing of the command runs any more: the next ticks read what is left of them, as the spool has room for it, until follows_over(). wait: as of output_end(). */
void follows_end(struct follows *f, int64_t now, void (*wait)(void));
/* Behind follows_end(): the next tick reads no more; a line says so in those that have more. */
void follows_stop(struct follows *f);
/* Nothing is written to the spool any more. */
void follows_throw_away(struct follows *f);
bool follows_over(const struct follows *f); /* all of them are in the log */
bool follows_held(const struct follows *f); /* one of them waits for room in the spool */
bool follows_sync(struct follows *f); /* false: the spool is broken */
bool follows_broken(const struct follows *f);
void follows_tell(const struct follows *f, struct spool_exit *x);

#ifndef FOLLOW_END_MS
#define FOLLOW_END_MS 60000 /* for so long what is left is read, not counting the time in which it waits for room: a file may have no end */
#endif
#endif
