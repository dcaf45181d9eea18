/* The cluster's ssh key. */
#include "master/workers/ssh_key.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "master/workers/link_key.h"

#define KIND "ssh-ed25519"

enum { PUBLIC_LEN = 32, CLUSTER_SHOWN = 8 };

char *ssh_key_make(void)
{
  return link_key_pem(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

char *ssh_key_line(const char *pem, const char *cluster)
{
  BIO *in = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t)"") : NULL;
  unsigned char blob[4 + sizeof KIND - 1 + 4 + PUBLIC_LEN] = { 0, 0, 0, sizeof KIND - 1 };
  char *text, *line = NULL;
  size_t n = PUBLIC_LEN;

  memcpy(blob + 4, KIND, sizeof KIND - 1);
  blob[4 + sizeof KIND - 1 + 3] = PUBLIC_LEN;
  if (key && EVP_PKEY_get_raw_public_key(key, blob + sizeof blob - PUBLIC_LEN, &n) == 1 && n == PUBLIC_LEN) {
    text = str_base64(blob, sizeof blob);
    line = xasprintf(KIND " %s drover-%.*s", text, CLUSTER_SHOWN, cluster);
    free(text);
  }
  ERR_clear_error();
  BIO_free(in);
  EVP_PKEY_free(key);
  return line;
}
