/* How the worker stands with its master: DIR/status, one `key value` a line, for people and for `drover-worker install`. */
#ifndef WORKER_STATUS_H
#define WORKER_STATUS_H
#include <stdbool.h>

#include "common/err.h"
#include "worker/link.h"

struct status {
  bool connected;
  char address[300];       /* the one that is, or was last, tried */
  char name[65];           /* under which the master knows us; empty: not connected */
  char key[16];            /* matched, or none (a unix socket); empty: not connected */
  char isolation[160];     /* what commands are kept apart by; empty: not told */
  struct link_note note;   /* why not; count 0: nothing went wrong yet */
};

/* Replaces the file in the folder dir and tells the service manager, where that differs from what was told last. A file that can't be written is no reason to stop. */
void status_tell(int dir, const struct status *s);
/* ERR_NOTFOUND: there is none (yet); ERR_SYNTAX. */
enum err status_read(int dir, struct status *s) must_check;
#endif
