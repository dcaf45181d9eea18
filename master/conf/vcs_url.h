/* The parts of a repository's address that say which server it is, and who asks. */
#ifndef MASTER_CONF_VCS_URL_H
#define MASTER_CONF_VCS_URL_H
#include <stdbool.h>

#include "common/mem.h"

bool vcs_url_is_ssh(const char *url);       /* user@host:path too */
/* Encrypted, or to this host: a password may go there. */
bool vcs_url_is_safe(const char *url);
/* Whether both are of one server: scheme, host and port. One on this host's disk is of none. */
bool vcs_url_same_server(const char *a, const char *b) must_check;
/* "https://host:port/" as it stands in the URL, without the user; NULL: there is no scheme. The caller frees it. */
char *vcs_url_server(const char *url) must_check;
/* Its user, without escapes; NULL: it has none. The caller frees it. */
char *vcs_url_user(const char *url) must_check;
#endif
