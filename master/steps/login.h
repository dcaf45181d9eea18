/* By what a checkout's commands reach a private repository. Pure; the values come from dispatch/run_login.c. */
#ifndef MASTER_STEPS_LOGIN_H
#define MASTER_STEPS_LOGIN_H
#include <stdbool.h>

#include "common/buf.h"
#include "common/mem.h"
#include "master/conf/vcs.h"

struct step;
struct reply;

/* What a step knows of it: no value. */
struct step_login {
  enum vcs_login kind;
  const char *called;  /* "the key deploy-key of libfoo", for people; owned by the run */
  const char *user;    /* whose password it is, where something says so */
  const char *pins;    /* of a key: the fingerprints of the servers that may be shown it, separated by blanks */
};

/* What the values are called between master and worker: the secrets of one command (docs/protocol.md, `secrets`). */
#define LOGIN_KEY "drover.key"
#define LOGIN_VALUE "drover.login"
#define LOGIN_BARE "drover.token" /* no command names it: the token or password by itself, so that it is masked */

#define LOGIN_OPTIONS_MAX 8
/* Options that the program wants for it, in front of its command; url: of the repository. held: of these one that the caller frees. Returns how many. */
int login_options(const struct step_login *l, enum vcs vcs, const char *url, const char *out[LOGIN_OPTIONS_MAX], char **held) must_check;
/* The records of a command that asks the server. */
void login_put(const struct step_login *l, enum vcs vcs, struct buf *spec);
/* From what the site keeps (a key, a token, a password) to what the program reads; the caller wipes and frees it. */
char *login_made(const struct step_login *l, enum vcs vcs, const char *url, const char *secret) must_check;
/* Whether a command with those records wants it. */
bool login_wanted(const void *spec, size_t n) must_check;

/* The script of sh by which svn gets the password; behind its name (svn) the URL that is asked for, then svn's own words. */
extern const char login_svn[];
#define LOGIN_SVN_LED "Redirecting to URL" /* what svn says before it follows */

/* Whether the server (or the pins) refused it; then *said is what the program said of that, at most 200 bytes. errors: the end of its standard error. */
#define LOGIN_SAID_MAX 200
bool login_refused(const char *errors, char said[LOGIN_SAID_MAX + 1]) must_check;
#endif
