/* What the worker is told at its start: worker.conf and the command line (conf.def), and the join token. */
#ifndef WORKER_CONF_H
#define WORKER_CONF_H
#include <stdbool.h>

#include "common/err.h"
#include "common/log.h"
#include "proto/token.h"
#include "worker/confine.h"
#include "worker/proxy.h"

#define CONF_FILE "/etc/drover/worker.conf"
#define CONF_DIR "/var/lib/drover-worker"
#ifndef CONF_PATH /* of commands; a build for another system has its own */
#define CONF_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#endif
#define CONF_FILE_MAX 65536
#define CONF_TOKEN_MAX 8192

enum conf_id {
#define C(name, argument, option, what) CONF_##name,
#include "worker/conf.def"
#undef C
  CONF_KEYS
};

struct conf_key {
  const char *name, *argument, *what;
  bool option; /* may also be given on the command line */
};
extern const struct conf_key conf_keys[CONF_KEYS];

/* The command line: strings of argv, NULL where not given. They win over the file. */
struct conf_given {
  const char *config; /* the file to read */
  const char *stdio;  /* the name by which the master has dialled; never in the file */
  const char *value[CONF_KEYS];
};

struct conf {
  struct token token;
  struct proxy proxy;
  char *dir, *path, *connect;
  enum log_level level;
  const char *format; /* for log_set_format() */
  bool upgrade;       /* the master may replace the program */
  struct confine confine; /* how commands are kept apart; what the master may ask for */
  bool stdio;         /* the master has dialled: standard input and output are the link */
  bool token_spent;   /* the token came by standard input: it can't be read again */
};

/* Reads the one file there is: --config's, else DIR/worker.conf where --dir was given (it may be missing), else CONF_FILE (which may
   be missing where --join-file was given). Tells all that is wrong, one line each in the log, with file and line. conf_free() in either case. */
enum err conf_load(struct conf *c, const struct conf_given *given) must_check;
void conf_free(struct conf *c); /* wipes what is secret */

/* All of a file, NUL-ended, the caller's to wipe and free. NULL: errno (EFBIG: longer than `most`). */
char *conf_slurp(int fd, size_t most) must_check;
/* One line of the file: *key and *value are cut out of `line`, *value is NULL where there is no `=`. False: nothing is in it. */
bool conf_split(char *line, char **key, char **value);
#endif
