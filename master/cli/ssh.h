/* The operator's own ssh: one remote script at a time, its words never read by a local shell, secrets only by standard input. */
#ifndef MASTER_CLI_SSH_H
#define MASTER_CLI_SSH_H
#include "master/cli/cli.h"

#define SSH_FAILED 255 /* ssh itself failed, or could not be started */
#define SSH_WORDS_MAX 32

struct ssh {
  const char *command; /* "ssh", or with options: "ssh -F FILE"; split at blanks */
  const char *target;  /* [USER@]HOST; ssh_target_ok() */
};

/* Nothing in it that ssh could take for an option, or a shell for anything. */
bool ssh_target_ok(const char *target);
/* Runs `sh -c script sh words…` there. in: bytes for its standard input. out: takes its standard output (at most out->max bytes); NULL: shown, made harmless.
   Returns its exit code; SSH_FAILED and its message on standard error where there is none. */
int ssh_run(struct cli *c, const struct ssh *s, const char *script, const char *const *words, int nwords, const void *in, size_t nin, struct buf *out);
#endif
