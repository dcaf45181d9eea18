/* Who follows a log: told after each commit that made a step's log longer or ended it. Followers then read (log, offset) from the database. */
#ifndef MASTER_LOGS_WATCH_H
#define MASTER_LOGS_WATCH_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/mem.h"

struct master;
struct watches;
struct log_watch {
  struct list node;
  int64_t build;                 /* row id of the build */
  void (*changed)(void *arg);    /* from the loop; may remove the watch */
  void *arg;
};
struct watches *watches_new(struct master *m) must_check;
void watches_free(struct watches *w);
/* The first watch of a build makes its worker close chunks each 100 ms instead of each second. */
void watch_add(struct watches *w, struct log_watch *lw, int64_t build);
void watch_remove(struct watches *w, struct log_watch *lw);
bool watch_any(const struct watches *w, int64_t build);
/* For the writer of logs. */
void watch_tell(struct watches *w, int64_t build);
/* Another master has written some, whichever. */
void watch_tell_all(struct watches *w);
#endif
