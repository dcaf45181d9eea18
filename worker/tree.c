/* The processes of a command. /proc is read as a whole each time: parents change while we look. */
#include "worker/tree.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "worker/os.h"

enum { SWEEPS_MAX = 50, START_SLACK_MS = 20 };

struct set {
  struct os_proc *proc;
  bool *in;
  size_t n;
};

static int by_pid(const void *a, const void *b)
{
  pid_t x = ((const struct os_proc *)a)->pid, y = ((const struct os_proc *)b)->pid;
  return (x > y) - (x < y);
}

static void mark_descendants(struct set *s, pid_t root)
{
  bool changed = true;

  qsort(s->proc, s->n, sizeof *s->proc, by_pid);
  while (changed) { /* mostly two rounds: children have higher numbers than their parents */
    changed = false;
    for (size_t i = 0; i < s->n; i++) {
      struct os_proc key = { .pid = s->proc[i].parent }, *parent;
      if (s->in[i])
        continue;
      parent = bsearch(&key, s->proc, s->n, sizeof *s->proc, by_pid);
      s->in[i] = key.pid == root || (parent && s->in[parent - s->proc]);
      changed = changed || s->in[i];
    }
  }
}

static void load(struct set *s, pid_t root)
{
  s->n = os_procs(&s->proc);
  s->in = xcalloc(s->n + 1, sizeof *s->in);
  mark_descendants(s, root);
}

static void unload(struct set *s)
{
  free(s->proc);
  free(s->in);
}

/* To all members that live. */
static int send_all(const struct set *s, int signal)
{
  int count = 0;

  for (size_t i = 0; i < s->n; i++)
    if (s->in[i] && !s->proc[i].zombie && !kill(s->proc[i].pid, signal))
      count++;
  return count;
}

int tree_end(pid_t root)
{
  struct set s;
  int n;

  load(&s, root);
  n = send_all(&s, SIGTERM);
  send_all(&s, SIGCONT);
  unload(&s);
  return n;
}

int tree_kill(pid_t root)
{
  int before = -1, n = 0;

  for (int i = 0; i < SWEEPS_MAX && n != before; i++) {
    struct set s;
    before = n;
    load(&s, root);
    n = send_all(&s, SIGSTOP);
    unload(&s);
  }
  if (n) {
    struct set s;
    load(&s, root);
    n = send_all(&s, SIGKILL);
    unload(&s);
  }
  return n;
}

static void unmark_ancestors(struct set *s)
{
  pid_t pid = getpid();

  for (int depth = 0; pid > 1 && depth < 1000; depth++) {
    pid_t parent = 0;
    for (size_t i = 0; i < s->n; i++)
      if (s->proc[i].pid == pid) {
        s->in[i] = false;
        parent = s->proc[i].parent;
      }
    pid = parent;
  }
}

int tree_kill_strays(const char *assignment, int64_t since_ms)
{
  struct set s;
  int n;

  s.n = os_procs(&s.proc);
  s.in = xcalloc(s.n + 1, sizeof *s.in);
  for (size_t i = 0; i < s.n; i++)
    s.in[i] = !s.proc[i].zombie && s.proc[i].start_ms + START_SLACK_MS >= since_ms && os_proc_has_env(s.proc[i].pid, assignment);
  unmark_ancestors(&s);
  send_all(&s, SIGSTOP);
  n = send_all(&s, SIGKILL);
  unload(&s);
  return n;
}
