/* Between main.c and master.c. */
#ifndef MASTER_CORE_MASTER_INT_H
#define MASTER_CORE_MASTER_INT_H
#include <stdbool.h>

struct conf;
/* Runs until it is stopped; the exit code. conf: the caller's reference is taken over. raise: begin a new incarnation (after a restore). database_unit: the private
   PostgreSQL is run by master_database. */
int master_run(struct conf *conf, bool raise, bool database_unit);
/* Becomes the private PostgreSQL; the exit code where there is none to be (0) or that failed. */
int master_database(const struct conf *conf);
#endif
