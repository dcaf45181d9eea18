/* Turns at the git helpers. Nobody can know beforehand who will say nothing: those who did not answer the last time, or never yet, share all helpers but one, and whoever is silent makes room where others wait. */
#include "master/changes/gitturn.h"

enum { PATIENCE_MS = 5000, PATIENCE_GOOD_MS = 15000, SLOW_MOST = 8 };

void gitturn_note(struct git_standing *s, bool in_time)
{
  s->good = in_time;
  if (in_time)
    s->slow = 0;
  else if (s->slow < SLOW_MOST)
    s->slow++;
}

bool gitturn_may_start(const struct git_standing *s, int running, int doubtful, int max)
{
  return running < max && (max == 1 || s->good || doubtful < max - 1);
}

int64_t gitturn_patience(const struct git_standing *s, int64_t deadline_ms)
{
  int64_t ms = s->good ? PATIENCE_GOOD_MS : (int64_t)PATIENCE_MS << s->slow;

  return ms < deadline_ms ? ms : deadline_ms;
}
