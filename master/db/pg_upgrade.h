/* The private cluster moved to another major version of PostgreSQL by pg_upgrade --link. Blocks. */
#ifndef MASTER_DB_PG_UPGRADE_H
#define MASTER_DB_PG_UPGRADE_H
#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

struct upgrade {
  int from, to;        /* major versions; to 0: nothing newer is installed */
  char *old_bin, *new_bin;
  char *data, *kept;   /* kept: where the old files are afterwards */
  struct ppg *p;
};

/* Looks only. from_bin, to_bin: folders of programs, or NULL: the ones of the cluster's version, and the newest. ERR_NOTFOUND: programs are missing; ERR_BUSY: PostgreSQL runs on it; why tells what to do.
   u is to be freed in any case. */
enum err upgrade_plan(struct upgrade *u, const char *state, const char *folder, const char *from_bin, const char *to_bin, struct buf *why) must_check;
/* Makes the new cluster beside the old one, and asks pg_upgrade; dry: only that (--check), and nothing is left of it. Otherwise the new cluster takes the old one's place, which goes to kept.
   A failure leaves the old cluster where it was. */
enum err upgrade_run(struct upgrade *u, const char *state, bool dry, struct buf *why) must_check;
/* After upgrade_run: the database knows its new system identifier, so that its ids don't count as a copy's, and has statistics. */
enum err upgrade_settle(const char *state, const char *folder, struct buf *why) must_check;
void upgrade_free(struct upgrade *u);
#endif
