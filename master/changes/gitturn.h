/* Whose turn it is at the git helpers, so that remotes which say nothing delay nobody but themselves. Pure. */
#ifndef MASTER_CHANGES_GITTURN_H
#define MASTER_CHANGES_GITTURN_H
#include <stdbool.h>
#include <stdint.h>

/* What is known of a remote: at first nothing. */
struct git_standing {
  bool good;  /* it answered the last time */
  int slow;   /* how often in a row it did not in its time */
};

void gitturn_note(struct git_standing *s, bool in_time);
/* Of max helpers `running` run, `doubtful` of them for remotes that are not good: one is kept for those that are. */
bool gitturn_may_start(const struct git_standing *s, int running, int doubtful, int max);
/* While others wait, so long may it be silent, in ms; each time that it was too long it gets twice as much the next time, up to the deadline, so that one that is slow is heard in the end. */
int64_t gitturn_patience(const struct git_standing *s, int64_t deadline_ms);
#endif
