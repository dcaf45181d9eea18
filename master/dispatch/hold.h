/* Who sends input to a command: one at a time, until it leaves, is silent for a while, or another one takes it over. In the memory of the master that has the worker alone: where the link or the master is another one, whoever asks first has it. Pure. */
#ifndef MASTER_DISPATCH_HOLD_H
#define MASTER_DISPATCH_HOLD_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

#define HOLD_SENDER_MAX 32
#define HOLD_WHO_MAX 64
#define HOLD_SILENT_MS 15000 /* a sender that has not asked for so long, and waits for no answer, is gone; drover attach asks every 5 s */

/* Zeroed: nobody has it. */
struct hold {
  char sender[HOLD_SENDER_MAX + 1]; /* its own word for itself; "": nobody */
  char who[HOLD_WHO_MAX + 1];       /* the person */
  int64_t since_ms, heard_ms;       /* clock_wall_ms(), clock_mono_ms() */
  int waiting;                      /* its asks that are not answered yet */
};
struct hold_ask {
  const char *sender; /* NULL: it says none, and so can't have it */
  const char *who;
  bool sends;         /* bytes, the end, a size: and is no mere question */
  bool take, leave;
};

/* 1 to HOLD_SENDER_MAX letters and digits. */
bool hold_is_sender(const char *text);
/* Another one has it, and this one may not: who, and since when, as a sentence begins ("anna since …"). NULL: it may. The caller frees it. */
char *hold_refused(const struct hold *h, const struct hold_ask *a, int64_t mono_ms) must_check;
/* It may, and has asked. True: it has it from now on, and had it not before. (Where it leaves, nobody has it.) */
bool hold_asked(struct hold *h, const struct hold_ask *a, int64_t mono_ms, int64_t wall_ms);
#endif
