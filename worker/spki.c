/* The public key of a certificate, by as much of DER as that takes: lengths of up to three bytes, no meaning of anything else. */
#include "worker/spki.h"

#include <string.h>

#include "common/mem.h"

enum { KEY_LEN = 91 };

/* DER of a P-256 SubjectPublicKeyInfo up to the point, 91 bytes in all. */
static const unsigned char key_head[KEY_LEN - SPKI_P256_POINT_LEN] = {
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00
};

/* The element at *at: its tag must be `tag` (or -1: any). *body and *len are its contents, *at goes behind it. */
static bool der_next(const unsigned char *p, size_t n, size_t *at, int tag, size_t *body, size_t *len)
{
  size_t i = *at, count;

  if (n - i < 2 || (tag >= 0 && p[i] != tag))
    return false;
  *len = p[i + 1];
  i += 2;
  if (*len & 0x80) {
    count = *len & 0x7f;
    if (!count || count > 3 || n - i < count)
      return false;
    for (*len = 0; count; count--)
      *len = *len << 8 | p[i++];
  }
  if (*len > n - i)
    return false;
  *body = i;
  *at = i + *len;
  return true;
}

bool spki_find(const unsigned char *p, size_t n, size_t *start, size_t *size)
{
  enum { SEQUENCE = 0x30, INTEGER = 0x02, VERSION = 0xa0 };
  static const int before[] = { INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE }; /* serial, algorithm, issuer, dates, subject */
  size_t at = 0, body, len, end;

  if (!der_next(p, n, &at, SEQUENCE, &body, &len))
    return false;
  at = body;
  if (!der_next(p, body + len, &at, SEQUENCE, &body, &len))
    return false;
  at = body;
  end = body + len;
  if (at < end && p[at] == VERSION && !der_next(p, end, &at, VERSION, &body, &len))
    return false;
  for (size_t i = 0; i < COUNT(before); i++)
    if (!der_next(p, end, &at, before[i], &body, &len))
      return false;
  *start = at;
  if (!der_next(p, end, &at, SEQUENCE, &body, &len))
    return false;
  *size = at - *start;
  return true;
}

const unsigned char *spki_p256(const unsigned char *spki, size_t n)
{
  return n == KEY_LEN && !memcmp(spki, key_head, sizeof key_head) ? spki + sizeof key_head : NULL;
}
