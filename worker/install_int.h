/* What install.c (from the token to files), install_start.c (from files to the master's answer) and uninstall.c share. */
#ifndef WORKER_INSTALL_INT_H
#define WORKER_INSTALL_INT_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/token.h"
#include "worker/conf.h"
#include "worker/install.h"
#include "worker/setup.h"

#define INSTALL_PROGRAM "/usr/local/bin/drover-worker"
#define INSTALL_PROGRAM_OF_PACKAGE "/usr/bin/drover-worker"
#define INSTALL_UNIT "drover-worker.service"
#define INSTALL_UNIT_FILE "/etc/systemd/system/" INSTALL_UNIT
#define INSTALL_USER "drover-worker"
#define INSTALL_SLOT_UIDS "1900000000-1900065535" /* above what systemd, containers and /etc/subuid use */

struct install {
  const char *root, *user, *proxy; /* root: "" or what all paths are below */
  const char *dir_given;
  char *dir;                       /* without root, as in worker.conf */
  bool no_start, background, force, purge;
  bool upgrade;                    /* the master may replace the program, which is the worker's user's then */
  int64_t wait_ms;
  uid_t uid;
  gid_t gid;
  char *program;                   /* without root */
  char *conf_path, *dir_path;      /* with root */
  char *conf_text;                 /* what worker.conf held; NULL: nothing */
  struct token token;
  pid_t started;                   /* with --background */
};

/* "drover-worker: …" on standard error; returns code. */
int install_tell(int code, const char *fmt, ...) printf_like(2, 3);
char *install_below(const struct install *in, const char *path) must_check; /* with root in front */

/* -1: go on. Else the exit code: wrong, or help was wanted, which is `text`. */
int install_parse(int argc, char **argv, struct install *in, const char *text);
void install_init(struct install *in);
void install_free(struct install *in);
/* A drover-worker runs on that state folder. */
bool install_is_running(const char *dir);
/* Starts what was written, and waits for the master's answer. */
int install_start(struct install *in);
#endif
