/* What the worker was started with: the command line, the join token, DIR/worker.conf. */
#ifndef WORKER_CONF_H
#define WORKER_CONF_H
#include <stdbool.h>

#include "common/err.h"
#include "common/log.h"
#include "proto/token.h"

#define CONF_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct conf {
  const char *join_file, *dir, *connect; /* of the command line */
  enum log_level level;
  struct token token;
  char *path; /* PATH of commands */
};

/* Reads the token ("-": standard input) and applies --connect. Says on stderr what is wrong. */
enum err conf_read_token(struct conf *c) must_check;
/* Reads worker.conf in the folder dir, if it is there. Says on stderr what is wrong, with its line. */
enum err conf_read_file(struct conf *c, int dir) must_check;
void conf_free(struct conf *c);
#endif
