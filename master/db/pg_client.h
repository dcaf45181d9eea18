/* The database as backup and restore see it: reached without a master, and PostgreSQL's own programs run on it. All of it blocks; for programs with one thread.

   Happy path: client_open (a private PostgreSQL that does not run is started), client_programs, client_run for each program, client_close (which stops what client_open started).
   Failures end in a sentence: no database there, not reached, the programs are not installed or too old, a program's own last words. A program is killed when this one ends or gets a signal
   that client_interrupts took. */
#ifndef MASTER_DB_PG_CLIENT_H
#define MASTER_DB_PG_CLIENT_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct client;

/* state, folder, database: as in the configuration (folder and database may be NULL). make: a private cluster that is not there yet is made. */
enum err client_open(struct client **c, const char *state, const char *folder, const char *database, bool make, struct buf *why) must_check;
void client_close(struct client *c); /* NULL: nothing */
bool client_is_private(const struct client *c);
const char *client_version(const struct client *c); /* of the server: "15.20" */

/* From now on SIGINT, SIGTERM and SIGHUP end the program that runs, and client_interrupted() is true: the caller tidies up and leaves. */
void client_interrupts(void);
bool client_interrupted(void);

/* Finds pg_dump, pg_restore and psql that can talk to a server of that major version: at least as new, the oldest of those. c NULL: for reading files only. dir: the caller's. */
enum err client_programs(const struct client *c, int major, char **dir, struct buf *why) must_check;

/* Runs argv to its end. in, out: descriptors that it gets as standard input and output (-1: none). connect: "-d CONNINFO" is put behind argv, a password goes another way than by argv.
   ERR_FAILED: why has its last words; ERR_TIMEOUT: interrupted. c NULL: as ourselves. */
enum err client_run(const struct client *c, const char *const *argv, bool connect, int in, int out, struct buf *why) must_check;

/* The same in parts: for programs that are fed or read by us. */
struct client_job {
  int pid, err;
  const char *name;
};
enum err client_start(const struct client *c, const char *const *argv, bool connect, int in, int out, struct client_job *job, struct buf *why) must_check;
enum err client_wait(struct client_job *job, struct buf *why) must_check;
void client_kill(struct client_job *job); /* and waits */
#endif
