/* The agent becomes another program, or itself again, while its commands live on in their minders (docs/protocol.md 11).

   The program that is to be next lies beside the running one, as NAME.new, until the master has welcomed it; only then it takes the name. Until then whoever starts the worker starts the old one:
   a crash, a kill, a host that loses its power at any moment leave a worker that is known to work. A small process, the guard, waits for the welcome and goes back where it does not come. */
#ifndef WORKER_UPGRADE_H
#define WORKER_UPGRADE_H
#include <stdbool.h>

#include "common/err.h"
#include "common/mem.h"
#include "worker/sha256.h"

#define UPGRADE_SIZE_MAX (8 << 20) /* of a program: as much as a master hands out */
#define UPGRADE_WHY_MAX 200
#define UPGRADE_SUFFIX ".new"

struct upgrade {
  char **argv;                         /* main's */
  const char *state;                   /* path of the state folder; the owner's */
  char *program, *leaf;                /* absolute path of what the next start runs; the last part of it. NULL: the system does not tell */
  char *next, *next_leaf;              /* the same of the one to come */
  int dir;                             /* the folder of both; -1: it can't be opened */
  int trial;                           /* to the guard, while the master's welcome is awaited; -1: no trial */
  char sum[SHA256_HEX_LEN + 1];        /* of the running program; "": not asked for yet */
  char refused[SHA256_HEX_LEN + 1];    /* the one that did not stand its trial; "": none */
  char why[UPGRADE_WHY_MAX];           /* not */
};

/* At the agent's start. `state`: descriptor and path of the state folder. */
void upgrade_init(struct upgrade *u, char **argv, int state, const char *state_path);
/* Of the running program; "" where it can't be read. */
const char *upgrade_sum(struct upgrade *u);
/* May programs be put beside the running one? *why: a sentence with what to do, valid until the next call. */
bool upgrade_may_write(const struct upgrade *u, const char **why);
/* Is the one to come there, with that checksum, and on the disk for good? ERR_NOTFOUND, ERR_BADARG (other bytes), ERR_IO. */
enum err upgrade_ready(const struct upgrade *u, const char *sum) must_check;
/* Becomes the one to come, watched by a guard; descriptors that it must not have are close-on-exec. Returns where that failed: it is refused, and removed. */
void upgrade_become(struct upgrade *u, const char *sum);
/* Becomes the program under its own name. Returns where that failed, with errno. */
void upgrade_again(const struct upgrade *u);
/* What was refused may be tried anew. */
void upgrade_anew(struct upgrade *u);
/* The master has welcomed this program: it takes its name. Nothing where there is no trial. */
void upgrade_welcomed(struct upgrade *u);
/* A signal stops it: that is no failure of the program. */
void upgrade_stopped(struct upgrade *u);
#endif
