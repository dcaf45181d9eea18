/* Between the files of reloading: what is asked and stored (reload.c), and how a start and versions meet the database (reload_start.c). */
#ifndef MASTER_CORE_RELOAD_INT_H
#define MASTER_CORE_RELOAD_INT_H
#include <uv.h>

#include "common/list.h"
#include "common/sm.h"
#include "master/conf/conf_diff.h"
#include "master/core/reload.h"

enum reload_state { RELOAD_IDLE, RELOAD_ASKED, RELOAD_READING, RELOAD_FETCHING, RELOAD_STORING, RELOAD_STATES };

struct reload {
  struct master *m;
  struct sm sm;
  uv_timer_t turn;         /* the next turn of the loop */
  struct list waiting, now; /* for the next reading; for the one under way */
  struct list looking, look_now; /* those that only want to see */
  enum reload_how how;     /* from reading on: what is wanted, by whom, and of a rollback which version */
  const char *who;         /* of one of `now`; NULL: somebody only looks */
  int64_t version;
  char disk[65];           /* hash of what the files say */
  struct conf *next;       /* storing: what becomes active */
  struct conf_diff diff;   /* to it */
  int first;               /* storing: statement of the first project's rows */
  int64_t began_ms;
  bool doubtful;
  bool unusable;           /* the version that a rollback made can't be used any more */
  bool freed;              /* by reload_free, while reading */
  struct reload_hold hold;
  struct reload_refusal refusal;
  char *place;             /* HOST:STATE */
};

char *reload_text(const struct diags *d) must_check;  /* as diag_print */
char *reload_brief(const struct diags *d) must_check; /* without lines of files */
void reload_log(const char *text);                    /* line by line, as errors */
void reload_hash(const char *text, char hex[65]);
void reload_put_in_place(struct reload *r);           /* m->conf is r->next from now on, for all but worlds */
/* The version's row; answers its id. origin: of a rollback, else 0. */
void reload_put_version(struct reload *r, struct db_tx *tx, const struct conf *c, const char *how, const char *who, int64_t origin);
#endif
