/* How a project's repository is read where that takes more than its URL: a key, a token, the host keys that are taken. */
#ifndef MASTER_CONF_CONF_LOGIN_H
#define MASTER_CONF_CONF_LOGIN_H
#include <stdbool.h>

struct yml_node;
struct diags;

struct conf_login {
  char *key;          /* key: {file: …}: a private key of ssh, the file's text; or NULL */
  char *token;        /* token: {file: …}: or NULL */
  char *user;         /* whom the token is for; NULL: whom the URL names, else nobody particular */
  bool bearer;        /* the token goes as `Authorization: Bearer`, not as a password */
  char **host_keys;   /* fingerprints, "SHA256:…", of the ssh server: no other is spoken to */
  int nhost_keys;
};

/* From the keys of a project; faults into d. git: its URL, or NULL. files: those that are named are read, relative to the one that names them. */
void conf_login_read(struct conf_login *l, const struct yml_node *project, const char *git, bool files, struct diags *d);
void conf_login_free(struct conf_login *l); /* wipes */
bool conf_login_same(const struct conf_login *a, const struct conf_login *b); /* what the files held */
bool conf_is_host_key(const char *s);
#endif
