/* Inside pg_client.c, pg_snapshot.c, pg_reload.c: connections. */
#ifndef MASTER_DB_PG_CLIENT_INT_H
#define MASTER_DB_PG_CLIENT_INT_H
#include <postgresql/libpq-fe.h>

#include "master/db/pg_client.h"

PGconn *client_connect(const struct client *c, struct buf *why) must_check; /* NULL: why tells */
/* One statement; NULL: refused, why tells. The caller clears it. */
PGresult *client_ask(PGconn *pg, const char *text, struct buf *why) must_check;
/* One value, "" for null; NULL: refused, or no row (why tells). */
char *client_value(PGconn *pg, const char *text, struct buf *why) must_check;
/* The message without line feeds. */
void client_tell(struct buf *why, const char *text);
#endif
