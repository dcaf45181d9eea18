/* The archive of BearSSL was compiled for glibc with its checked copies; musl has none of these three. Only for musl builds. */
#ifndef __GLIBC__
#include <stdlib.h>
#include <string.h>

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__memset_chk(void *to, int byte, size_t n, size_t room);

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
  if (n > room)
    abort();
  return memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
  if (n > room)
    abort();
  return memmove(to, from, n);
}

void *__memset_chk(void *to, int byte, size_t n, size_t room)
{
  if (n > room)
    abort();
  return memset(to, byte, n);
}
#else
typedef int not_empty;
#endif
