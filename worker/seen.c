/* What agents of all systems tell their minders: whether the master is there. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/agent.h"

enum { SEEN_MS = 1000 }; /* master-seen is written at most so often */

void agent_seen(struct agent *a, bool heard, bool connected)
{
  int64_t now = clock_mono_ms();

  if (a->seen.connected == connected && (!heard || now - a->seen_written < SEEN_MS) && a->seen_written)
    return;
  if (!a->seen_written && pread(a->seen_fd, &a->seen, sizeof a->seen, 0) != sizeof a->seen)
    memset(&a->seen, 0, sizeof a->seen);
  if (heard)
    a->seen.at_ms = clock_boot_ms();
  a->seen.connected = connected;
  a->seen_written = now;
  if (pwrite(a->seen_fd, &a->seen, sizeof a->seen, 0) < 0)
    log_warn("worker", "master-seen can't be written: %s", strerror(errno));
}

const char *agent_name(const struct agent *a)
{
  return *a->member.name ? a->member.name : a->conf->token.name;
}
