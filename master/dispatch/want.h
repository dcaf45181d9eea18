/* What a worker is, and conditions on it: expressions over the names of conf/worker_names.def. All but its name, pool, tags and slots is the worker's own word, so a condition only ever narrows where a
   build goes. Pure, but for the memory of what was read before. */
#ifndef MASTER_DISPATCH_WANT_H
#define MASTER_DISPATCH_WANT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

#define WANTS_KNOWN_MAX 4096 /* conditions that are kept ready; beyond them all are forgotten, and read again where they are needed */
#define WANT_UNKNOWN (-1)    /* of a number that a worker does not tell */

struct expr;

struct worker_is {
  const char *name, *pool;                     /* pool NULL: it is a member of none */
  const char *const *tags;
  int ntags, slots;
  const char *os, *arch, *release, *host, *isolation, *cgroup; /* "" or NULL: not told */
  int64_t cores, memory, disk, disk_free;      /* the last three in bytes; WANT_UNKNOWN: not told */
};

struct want_term {
  char *text;
  struct expr *x; /* NULL: no condition for this version of the master; no worker meets it */
};

struct wants;
struct wants *wants_new(void) must_check;
void wants_free(struct wants *ws);
/* The condition of that text, read when it is asked for first. Lives until wants_trim() forgets. */
const struct want_term *wants_get(struct wants *ws, const char *text);
size_t wants_count(const struct wants *ws);
/* The next one: *at = 0 at first; NULL at the end. */
const struct want_term *wants_next(const struct wants *ws, size_t *at);
/* Where there are more than are kept. */
void wants_trim(struct wants *ws);

/* What can't be reckoned, because the worker does not tell or by a division by zero, is not met. */
bool want_met(const struct want_term *t, const struct worker_is *w);
bool want_all_met(const struct want_term *const *t, int n, const struct worker_is *w);
/* After a condition that this one does not meet: " (8 GiB)", " (macos)", " (not told)", or "". Likewise. */
void want_say_own(const struct want_term *t, const struct worker_is *w, char *out, size_t size);
/* After a condition that none of these meets: " (the most is 8 GiB on build1)", " (there are linux and macos)", or "". At most so many bytes with the NUL. */
void want_say(const struct want_term *t, const struct worker_is *const *w, int n, char *out, size_t size);
#endif
