/* The worker-link key inside the link: reading the PEM. The calls for others are in link.h. */
#ifndef MASTER_WORKERS_LINK_KEY_H
#define MASTER_WORKERS_LINK_KEY_H
#include <openssl/evp.h>

#include "common/mem.h"

/* NULL: not the PEM of an unencrypted P-256 key. The caller frees it with EVP_PKEY_free(). */
EVP_PKEY *link_key_read(const char *pem) must_check;
/* A private key as PEM, which the caller wipes and frees; key is freed. */
char *link_key_pem(EVP_PKEY *key) must_check;
#endif
