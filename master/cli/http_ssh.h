/* The master's socket on another host, through ssh: `ssh HOST drover api-pipe` joins its two ends to that socket. Shell access is the permission, there as here. */
#ifndef MASTER_CLI_HTTP_SSH_H
#define MASTER_CLI_HTTP_SSH_H
#include <stdbool.h>
#include <sys/types.h>

#include "common/mem.h"

#define SSH_PREFIX "ssh://" /* ssh://[USER@]HOST[:PORT][/PATH/OF/THE/SOCKET] */

/* Nothing in it that ssh or a shell could take for something else. */
bool http_ssh_valid(const char *url) must_check;
/* A connected descriptor, -1: errno says why. *pid: ssh's; to be ended and waited for by http_ssh_close. url: a valid one. */
int http_ssh_open(const char *url, pid_t *pid) must_check;
void http_ssh_close(pid_t pid);
#endif
