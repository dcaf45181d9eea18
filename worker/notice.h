/* What agent and minders tell each other beside a command's folder: DIR/wake, a FIFO that minders write to, and DIR/master-seen. */
#ifndef WORKER_NOTICE_H
#define WORKER_NOTICE_H
#include <stdbool.h>
#include <stdint.h>

/* The contents of master-seen, written by the agent. */
struct notice_seen {
  int64_t at_ms;     /* when the master was last heard of, on clock_boot_ms(); 0: never */
  int64_t connected; /* is the agent connected to it? */
};

/* One line to the agent: the command has new output or, `ended`, a result ("<cmd>="). Nobody there is fine. */
void notice_wake(int wake_fd, const char *cmd, bool ended);
bool notice_read(int seen_fd, struct notice_seen *s);
/* Is there an agent, and is it connected? */
bool notice_master_there(int wake_fd, int seen_fd);
#endif
