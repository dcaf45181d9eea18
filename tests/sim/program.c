/* What commands do: each writes bytes of its own on two channels, and perhaps to a file that is followed, at its own pace, and ends with its own code; all of it comes from the seed and its number. What it really did is kept for the check. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { BURSTS_MAX = 40, SMALL_DISK = 1 << 20, FILE_SHORT = 300 /* bytes, as there is on small disks for it */ };

struct program {
  struct truth *t;
  int64_t next_at;        /* on the world's clock */
  int64_t pace;           /* ms between two bursts */
  size_t burst;
  bool stubborn;          /* takes no SIGTERM */
  struct node *file;      /* from its first byte on */
  char *place;            /* of the file, below the work folder; NULL: none */
  bool waits;             /* it ends when all that it has written to it is in the log */
};

static uint64_t of_seed;
static struct truth truths[SIM_COMMANDS];
static int ntruths;

static uint64_t mix(uint64_t z)
{
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t draw(int64_t number, int what, uint64_t n)
{
  return mix(of_seed ^ mix((uint64_t)number * 64 + (uint64_t)what)) % n;
}

void program_reset(uint64_t seed)
{
  of_seed = mix(seed + 0x5eed);
  ntruths = 0;
}

static int64_t length(int64_t number, int channel)
{
  uint64_t kind = draw(number, 1 + channel, 100), n = draw(number, 3 + channel, 1 << 20);

  if (kind < 25)
    return 0;
  return (int64_t)(kind < 60 ? n % 300 : kind < 88 ? n % 6000 : kind < 99 ? n % 40000 : n % 400000);
}

static int64_t file_length(int64_t number, const struct host *h)
{
  uint64_t kind = draw(number, 13, 100);

  if (kind < 15)
    return 0;
  return (int64_t)draw(number, 14, kind < 40 || h->disk_size < SMALL_DISK ? FILE_SHORT : kind < 70 ? 6000 : kind < 82 ? 40000 : 200000);
}

struct truth *truth_of(int64_t number)
{
  for (int i = 0; i < ntruths; i++)
    if (truths[i].number == number)
      return &truths[i];
  if (ntruths == SIM_COMMANDS)
    abort();
  truths[ntruths] = (struct truth){ .number = number, .total = { length(number, 0), length(number, 1) }, .code = draw(number, 5, 100) < 70 ? 0 : (int)draw(number, 6, 250) };
  return &truths[ntruths++];
}

void program_bytes(int64_t number, int channel, int64_t from, char *out, size_t n)
{
  static const char letters[] = "abcdefghijklmno\n";
  uint64_t base = mix(of_seed ^ (uint64_t)(number * SIM_CHANNELS + channel));

  for (size_t i = 0; i < n; i++) {
    uint64_t at = (uint64_t)from + i;
    out[i] = letters[(mix(base + at / 16) >> at % 16 * 4) & 15];
  }
}

struct program *program_start(struct proc *p, const char *cmd, const char *place)
{
  struct program *g = xcalloc(1, sizeof *g);
  struct id id = { 0, 0 };

  if (str_id(cmd, strlen(cmd), &id))
    model_bad("a command without its number: %s", cmd);
  g->t = truth_of(id.n);
  if (place) {
    g->place = xstrdup(place);
    g->t->total[SIM_FILE] = file_length(id.n, p->host);
    g->waits = draw(id.n, 15, 100) < 50 && p->host->disk_size >= SMALL_DISK; /* a small one may be full until it ends */
  }
  g->pace = (int64_t)(draw(id.n, 7, 100) < 30 ? draw(id.n, 8, 20) : draw(id.n, 8, draw(id.n, 12, 2) ? 500 : 4000));
  g->burst = 1 + (size_t)draw(id.n, 9, draw(id.n, 10, 2) ? 100 : 3000);
  g->burst += (size_t)(g->t->total[0] + g->t->total[1] + g->t->total[SIM_FILE]) / BURSTS_MAX;
  g->stubborn = draw(id.n, 11, 100) < 20;
  g->next_at = model_now_ms;
  if (++g->t->starts > 1)
    model_bad("command %s is started a second time", cmd);
  trace("command starts", id.n, p->pid);
  return g;
}

void program_free(struct program *g)
{
  if (!g)
    return;
  if (g->file)
    node_unref(g->file);
  free(g->place);
  free(g);
}

static struct node *pipe_of(const struct proc *p, int channel) { return p->fd[channel + 3]->node; }

/* The channel that it writes next; -1: it has written all. */
static int channel_of(const struct program *g)
{
  int left[SIM_CHANNELS], n = 0;
  uint64_t wrote = 0;

  for (int i = 0; i < SIM_CHANNELS; i++) {
    wrote += (uint64_t)g->t->wrote[i];
    if (g->t->wrote[i] < g->t->total[i])
      left[n++] = i;
  }
  return n ? left[mix(wrote) % (uint64_t)n] : -1;
}

int64_t program_due(const struct program *g) { return g->next_at; }

/* The name in a folder, made where it is not there. NULL: it can't be. */
static struct node *make(struct host *h, struct node *folder, const char *name, enum node_kind kind)
{
  struct node *n = node_find(folder, name);

  if (n || folder->kind != NODE_FOLDER || !disk_takes(h))
    return n;
  n = node_new(h, kind);
  (void)disk_add(folder, name, n);
  node_unref(n); /* the folder has it */
  return n;
}

static struct node *open_file(struct host *h, const char *place)
{
  struct node *at = node_find(h->root, "w");
  char part[64];

  at = at ? node_find(at, "work") : NULL;
  while (at && *place) {
    size_t n = strcspn(place, "/");
    snprintf(part, sizeof part, "%.*s", (int)n, place);
    place += n;
    at = make(h, at, part, *place ? NODE_FOLDER : NODE_FILE);
    place += *place == '/';
  }
  if (at)
    at->refs++;
  return at;
}

/* What finds no room is not written, and nothing more is. */
static void write_file(struct proc *p, struct program *g)
{
  int64_t left = g->t->total[SIM_FILE] - g->t->wrote[SIM_FILE];
  size_t n = g->burst < (size_t)left ? g->burst : (size_t)left;
  char bytes[4096];
  ssize_t wrote;

  if (!g->file)
    g->file = open_file(p->host, g->place);
  n = n < sizeof bytes ? n : sizeof bytes;
  program_bytes(g->t->number, SIM_FILE, g->t->wrote[SIM_FILE], bytes, n);
  wrote = g->file ? disk_write(g->file, g->file->len, bytes, n) : -1;
  if (wrote <= 0)
    g->t->total[SIM_FILE] = g->t->wrote[SIM_FILE];
  else
    g->t->wrote[SIM_FILE] += wrote;
  trace("it writes to a file", g->t->number, wrote);
}

static void write_some(struct proc *p, struct program *g, int channel)
{
  struct node *pipe = pipe_of(p, channel);
  char bytes[4096];
  int64_t left = g->t->total[channel] - g->t->wrote[channel];
  size_t n = g->burst < (size_t)left ? g->burst : (size_t)left;

  if (!pipe->readers) {
    g->t->killed = true;
    proc_ended(p, SIGPIPE);
    return;
  }
  n = n < sizeof bytes ? n : sizeof bytes;
  n = n < SIM_FIFO - pipe->len ? n : SIM_FIFO - pipe->len;
  program_bytes(g->t->number, channel, g->t->wrote[channel], bytes, n);
  (void)disk_write(pipe, pipe->len, bytes, n);
  g->t->wrote[channel] += (int64_t)n;
  trace("it writes", g->t->number, (int64_t)n);
}

void program_turn(struct proc *p)
{
  struct program *g = p->program;
  int channel = channel_of(g);

  g->next_at = model_now_ms + (sim_calm && g->pace > 50 ? 50 : g->pace) + (channel < 0 || channel == SIM_FILE || pipe_of(p, channel)->len < SIM_FIFO ? 0 : 100);
  if (channel >= 0) {
    if (channel == SIM_FILE)
      write_file(p, g);
    else
      write_some(p, g, channel);
    return;
  }
  if (g->waits && !store_has_file(g->t->number, g->t->wrote[SIM_FILE])) {
    g->next_at = model_now_ms + 500;
    return;
  }
  g->t->ended = true;
  proc_ended(p, g->t->code << 8);
}

void program_told(struct proc *p, int sig)
{
  struct program *g = p->program;

  if (sig == SIGSTOP || sig == SIGCONT) {
    p->stopped = sig == SIGSTOP;
    return;
  }
  if (sig != SIGKILL && g->stubborn)
    return;
  g->t->killed = true;
  proc_ended(p, sig);
}

void program_calm(void)
{
  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    if (p->program && p->program->next_at > model_now_ms + 1000)
      p->program->next_at = model_now_ms + 1000;
  }
}
