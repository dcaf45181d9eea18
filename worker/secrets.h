/* The values of a command's secrets, on their way from the master's message `secrets` through the agent into the minder. They are records: `value` = NAME=bytes. Nothing of them is written
   down here; who had them wipes them. */
#ifndef WORKER_SECRETS_H
#define WORKER_SECRETS_H
#include <stdbool.h>
#include <stddef.h>

#include "common/str.h"

#define SECRETS_MAX 49152 /* bytes of the records; a pipe takes them without a reader (64 KiB on Linux) */

/* What the agent holds between `secrets` and the `run` that follows it. */
struct secrets_held {
  struct id cmd;
  char *blob; /* NULL: nothing */
  size_t n;
};
void secrets_hold(struct secrets_held *h, struct id cmd, const char *blob, size_t n);
void secrets_drop(struct secrets_held *h);

/* The bytes of one, NULL: it is not among them. Ends in NUL. */
const char *secrets_get(const char *blob, size_t n, const char *name);
/* How many bytes of a value are meant where it is not a file: nobody means the line feed at its end. */
size_t secrets_line(const char *value);
/* Whether values are well-formed, and there is one for each secret that the records of a `run` name; else *why (static text). */
bool secrets_check(const char *run, size_t nrun, const char *blob, size_t n, const char **why);

/* A pipe that holds the bytes already: its read end, which an exec keeps; -1 and errno. */
int secrets_pipe(const char *blob, size_t n);
/* Reads it to its end and closes it. The caller wipes and frees; NULL: it can't be read. */
char *secrets_read(int fd, size_t *n);
#endif
