/* ssh as it is run for a repository, by the master's helper and by workers alike: it has one key, and speaks to nobody but servers whose keys are pinned. And what kind a key is. */
#ifndef MASTER_CONF_VCS_SSH_H
#define MASTER_CONF_VCS_SSH_H
#include <stdbool.h>

#define VCS_SSH_KEY "DROVER_SSH_KEY"         /* variable: the file of the private key */
#define VCS_SSH_HOSTS "DROVER_SSH_HOST_KEYS" /* variable: the fingerprints that are taken, separated by blanks */

/* For GIT_SSH_COMMAND and Mercurial's ui.ssh, which both give it to a shell: a constant, what differs is in the two variables. */
extern const char vcs_ssh_command[];

/* Of a private key's text, in OpenSSH's form or in PEM. */
bool vcs_key_is_rsa(const char *key);
#endif
