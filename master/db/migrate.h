/* Numbered schema steps, each in one transaction; a database newer than this program is refused. */
#ifndef MASTER_DB_MIGRATE_H
#define MASTER_DB_MIGRATE_H
#include "common/buf.h"
#include "common/err.h"

/* Blocking, before the loop runs (own short connection, no statement_timeout, advisory lock so that two masters don't migrate at once). Prints "schema 1 -> 2 (0.3 s)" to the log.
   ERR_OK; ERR_AWAY where no connection could be made; ERR_DENIED where the schema is newer; ERR_FAILED. why gets the sentence for people. */
enum err migrate_run(const char *conninfo, struct buf *why) must_check;
int migrate_latest(void);
#endif
