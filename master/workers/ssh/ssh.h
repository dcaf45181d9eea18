/* Inside drover-ssh-helper: one connection to one host, from the dialling to the last byte of its worker. Nothing here knows the worker's protocol.

   Whatever fails is told once, by ssh_fail(), and ends the process. */
#ifndef MASTER_WORKERS_SSH_SSH_H
#define MASTER_WORKERS_SSH_SSH_H
#include <libssh2.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "master/workers/ssh/request.h"

#define SSH_LINK_FD 3     /* the master's link */
#define SSH_SAID_MAX 1024 /* bytes of what the host says that are told on, those at its end */

struct ssh {
  struct ssh_request want;
  int sock;
  LIBSSH2_SESSION *session;
  int64_t deadline; /* clock_mono_ms(), of what is under way */
};

/* What is said to the master (workers/dial_proc.h). */
void ssh_tell(const char *at);
void ssh_tell_host(const char *os, const char *arch, const char *sum);
_Noreturn void ssh_fail(const char *tag, const char *fmt, ...) printf_like(2, 3);
/* The same with the host's key, that a person may want to trust. */
_Noreturn void ssh_fail_key(const char *tag, const char *mark, const char *fmt, ...) printf_like(3, 4);
/* What the master answers to ssh_tell_host(): the program's checksum and size, with which its bytes begin on standard input. False: the host has that program. */
bool ssh_answer(char sum[SSH_SUM_LEN + 1], int64_t *size);
long ssh_program(char *to, size_t most); /* bytes of it; fails where the master is gone */

/* Waits until the session can go on; fails at the deadline with that tag and sentence. */
void ssh_wait(struct ssh *s, const char *tag, const char *late);
const char *ssh_error(struct ssh *s); /* libssh2's sentence, printable */

/* reach.c: a connection, whose host is the one that is meant, and which has let us in. True: by the old key. */
bool ssh_reach(struct ssh *s) must_check;
/* host.c: the folder is there, and the program in it is the one that the master hands out. */
void ssh_prepare(struct ssh *s);
/* A channel on which `command` was started. */
LIBSSH2_CHANNEL *ssh_start(struct ssh *s, const char *command) must_check;
/* bridge.c: starts the worker and carries bytes until either side ends. */
_Noreturn void ssh_bridge(struct ssh *s);
#endif
