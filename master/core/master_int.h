/* Between main.c and master.c. */
#ifndef MASTER_CORE_MASTER_INT_H
#define MASTER_CORE_MASTER_INT_H
#include <stdbool.h>

struct conf;
struct master_options {
  bool raise;          /* begin a new incarnation (after a restore) */
  bool database_unit;  /* the private PostgreSQL is run by master_database: wait for it, and leave it alone */
  const char *web_dir; /* files of the page come from there (development); or NULL */
};
/* Runs until it is stopped; the exit code. conf: the caller's reference is taken over. */
int master_run(struct conf *conf, const struct master_options *options);
/* Becomes the private PostgreSQL; the exit code where there is none to be (0) or that failed. */
int master_database(const struct conf *conf);
#endif
