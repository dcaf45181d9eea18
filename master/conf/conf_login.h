/* How a repository is reached where that takes more than its URL: a key, a token or password, the host keys that are taken. By the master's looks, and by the workers' checkouts. */
#ifndef MASTER_CONF_CONF_LOGIN_H
#define MASTER_CONF_CONF_LOGIN_H
#include <stdbool.h>

#include "common/buf.h"
#include "master/conf/vcs.h"

struct conf;
struct yml_node;
struct diags;

struct conf_login {
  /* Each is in a file that the configuration names, whose text this is, or a secret of the site, whose name this is; NULL both: there is none. */
  char *key, *key_secret;       /* key: a private key of ssh */
  char *token, *token_secret;   /* token or password */
  bool password;      /* it is a password, for messages */
  char *user;         /* whom the token or password is for; NULL: whom the URL names, else nobody particular */
  bool bearer;        /* the token goes as `Authorization: Bearer`, not as a password */
  char **host_keys;   /* fingerprints, "SHA256:…", of the ssh server: no other is spoken to */
  int nhost_keys;
  char *pins;         /* the same as one text, separated by blanks */
  const struct yml_node *at; /* where a secret is named; while the configuration is made */
};

/* From the keys of a project or codebase; faults into d. url: its repository's, or NULL. files: those that are named are read, relative to the one that names them. */
void conf_login_read(struct conf_login *l, const struct yml_node *map, enum vcs vcs, const char *url, bool files, struct diags *d);
/* Once all of the configuration is there: the secrets that repositories name; faults into d. */
void conf_check_logins(struct conf *c, struct diags *d);
void conf_login_free(struct conf_login *l); /* wipes */
bool conf_login_same(const struct conf_login *a, const struct conf_login *b); /* what the files held */
bool conf_is_host_key(const char *s);

enum vcs_login conf_login_kind(const struct conf_login *l, const char *url);
/* The secret of the site that it names, or NULL. */
const char *conf_login_secret(const struct conf_login *l);
/* "the key deploy-key of libfoo": for people. The caller frees it. */
char *conf_login_called(const struct conf_login *l, const char *what) must_check;
#endif
