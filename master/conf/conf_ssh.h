/* Workers that the master dials by ssh: where, as whom, and whose host keys are taken. */
#ifndef MASTER_CONF_CONF_SSH_H
#define MASTER_CONF_CONF_SSH_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

struct diags;
struct yml_node;

#define CONF_SSH_PINS_MAX 12 /* host keys of one worker: with the longest there are, they fit into what a helper is told (DIAL_WIRE_MAX) */
#define CONF_SSH_DIR ".drover-worker" /* in the user's home folder there */

struct conf_ssh {
  char *user, *host, *port; /* host: without brackets */
  char *address;            /* "user@host:port", for people */
  char *dir;                /* on that host: absolute, or seen from the home folder; of bytes that no shell minds */
  char **pins;              /* host keys that are taken, as conf_ssh_pin() makes them; none: the one that a person trusts */
  int npins;
};

/* From the keys of a worker; faults into d. NULL: it is not dialled. */
struct conf_ssh *conf_ssh_make(const struct yml_node *map, struct diags *d) must_check;
void conf_ssh_free(struct conf_ssh *s); /* NULL: nothing */
/* Is the worker reached in another way by now? NULL: it is not dialled. */
bool conf_ssh_same(const struct conf_ssh *a, const struct conf_ssh *b);
/* Of a host key as `ssh-keyscan` and known_hosts have it behind the host's name: "ssh-ed25519 AAAA…", what follows left out. Of a fingerprint: itself, "SHA256:…". NULL: it is neither. The caller frees it. */
char *conf_ssh_pin(const char *text) must_check;
#endif
