/* The processes of a command. Descent is found by walking /proc; each process is signalled in the moment it is seen, because
   one that forks and ends every few milliseconds is gone when a list of all is complete. */
#include "worker/tree.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "worker/os.h"

enum { SWEEPS_MAX = 50, LOOKS_MAX = 5 /* at what goes on forking */, START_SLACK_MS = 20, ANCESTORS_MAX = 64 };

struct set {
  pid_t *pid; /* rising, as the walk goes */
  size_t n, cap;
};

static int by_number(const void *a, const void *b)
{
  pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
  return (x > y) - (x < y);
}

static bool in(const struct set *s, pid_t pid)
{
  return s->n && bsearch(&pid, s->pid, s->n, sizeof pid, by_number);
}

static void put(struct set *s, pid_t pid)
{
  if (s->n == s->cap) {
    s->cap = s->cap ? s->cap * 2 : 64;
    s->pid = xrealloc(s->pid, s->cap * sizeof *s->pid);
  }
  s->pid[s->n++] = pid;
}

/* One walk over all that descends from root by way of this walk's finds or those of the one before (*found is replaced by the
   new finds). Each gets the signal, unless it is 0. Returns how many of them the walk before had not found. */
static int sweep(pid_t root, int signal, struct set *found)
{
  struct set now = { .n = 0 };
  struct os_walk *w = os_walk_begin();
  struct os_proc p;
  int fresh = 0;

  while (w && os_walk_next(w, &p)) {
    if (p.zombie || (p.parent != root && !in(&now, p.parent) && !in(found, p.parent)))
      continue;
    if (signal)
      kill(p.pid, signal);
    fresh += !in(found, p.pid);
    put(&now, p.pid);
  }
  if (w)
    os_walk_end(w);
  free(found->pid);
  *found = now;
  return fresh;
}

static void send_all(const struct set *s, int signal)
{
  for (size_t i = 0; i < s->n; i++) {
    kill(s->pid[i], signal);
    if (signal == SIGKILL)
      os_hurry(s->pid[i]);
  }
}

/* All of them: walks until one finds nobody new, since a child may have a lower number than its parent. */
static void gather(pid_t root, int signal, int most, struct set *s)
{
  os_hurry(0);
  while (sweep(root, signal, s) && --most > 0)
    continue;
}

int tree_end(pid_t root)
{
  struct set s = { .n = 0 };
  int n;

  gather(root, 0, LOOKS_MAX, &s);
  send_all(&s, SIGTERM);
  send_all(&s, SIGCONT);
  n = (int)s.n;
  free(s.pid);
  return n;
}

int tree_kill(pid_t root)
{
  struct set s = { .n = 0 };
  int n;

  gather(root, SIGSTOP, SWEEPS_MAX, &s); /* whoever has a signal to take forks no more, even where it won't get a processor for long: so that is all */
  send_all(&s, SIGKILL);
  n = (int)s.n;
  free(s.pid);
  return n;
}

/* Is `from`, or one of those that it descends from, the process `pid` or (cmd not NULL) a minder of that command? */
static bool descends(pid_t from, pid_t pid, const char *cmd)
{
  struct os_proc p;

  for (int i = 0; from > 0 && i < ANCESTORS_MAX && os_proc_read(from, &p); i++) {
    if (from == pid || (cmd && os_proc_has_word(from, 1, "--minder") && os_proc_has_word(from, 4, cmd)))
      return true;
    from = p.parent;
  }
  return false;
}

int tree_kill_strays(const char *cmd, int64_t since_ms)
{
  char assignment[64];
  struct os_walk *w = os_walk_begin();
  struct os_proc p;
  int n = 0;

  snprintf(assignment, sizeof assignment, "DROVER_COMMAND=%s", cmd);
  os_hurry(0);
  while (w && os_walk_next(w, &p))
    if (!p.zombie && p.start_ms + START_SLACK_MS >= since_ms && os_proc_has_env(p.pid, assignment) &&
        !descends(getpid(), p.pid, NULL) && !descends(p.pid, -1, cmd) && !kill(p.pid, SIGKILL))
      n++;
  if (w)
    os_walk_end(w);
  return n;
}
