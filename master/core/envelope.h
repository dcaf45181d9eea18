/* What one master tells another by way of the database, and nobody else shall read: sealed for the one that it is for, whose private key is in that process's memory and nowhere else. Whoever has the database, its files or a
   backup has nothing of it, now and later. (Who may write to the database may put another key there; but then they may write commands, too.)

   X25519 with a key of its own for each envelope; SHA-256 of the shared secret and both public keys is the key of AES-256-GCM (site_key.h), with a name and a number as associated data. */
#ifndef MASTER_CORE_ENVELOPE_H
#define MASTER_CORE_ENVELOPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

#define ENVELOPE_ADDRESS_MAX 64 /* characters of an address */

/* The private half of an address, made anew. */
struct envelope_key;
struct envelope_key *envelope_key_new(void) must_check;
void envelope_key_free(struct envelope_key *k);
/* What envelopes for it are sealed by, text; valid as long as k is. */
const char *envelope_address(const struct envelope_key *k);

/* Base64 of n bytes sealed for that address; the caller frees it. NULL: that is no address. */
char *envelope_seal(const char *address, const char *name, int64_t number, const void *bytes, size_t n) must_check;
/* The bytes; the caller wipes and frees them. NULL: it is not for k, or not of that name and number, or was changed. */
char *envelope_open(const struct envelope_key *k, const char *text, const char *name, int64_t number, size_t *n) must_check;
#endif
