#include "master/core/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

char *base64_read(const char *text, size_t *n)
{
  size_t len = text ? strlen(text) : 0, padding = 0;
  char *bytes = xcalloc(1, len + 4);
  int made = len % 4 ? -1 : EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)(text ? text : ""), (int)len);

  while (len && padding < 2 && text[len - 1 - padding] == '=')
    padding++;
  *n = made > 0 ? (size_t)made - padding : 0;
  if (made >= 0)
    return bytes;
  free(bytes);
  return NULL;
}
