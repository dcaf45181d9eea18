/* The key by which masters log in to the hosts of workers: ed25519, one a cluster, kept beside the worker-link key. */
#ifndef MASTER_WORKERS_SSH_KEY_H
#define MASTER_WORKERS_SSH_KEY_H
#include "common/mem.h"

char *ssh_key_make(void) must_check; /* PEM; the caller wipes and frees it */
/* The line for authorized_keys, "ssh-ed25519 AAAA… drover-CLUSTER", of which the caller frees it. NULL: that is no such key. */
char *ssh_key_line(const char *pem, const char *cluster) must_check;
#endif
