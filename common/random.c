/* Bytes that nobody can guess, from the system. */
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#if defined _WIN32
#include <windows.h>
#include <ntsecapi.h> /* RtlGenRandom() */
#elif defined DROVER_POSIX
#include <fcntl.h>
#include <unistd.h>
#else
#include <sys/random.h>
#endif

#include "common/str.h"

#if defined _WIN32
static ssize_t some(void *p, size_t n)
{
  ULONG part = n < 65536 ? (ULONG)n : 65536;

  return RtlGenRandom(p, part) ? (ssize_t)part : -1;
}
#elif defined DROVER_POSIX /* where getrandom() may be missing: every system of that kind has the device */
static ssize_t some(void *p, size_t n)
{
  static int fd = -1;

  if (fd < 0)
    fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -1 : read(fd, p, n);
}
#else
static ssize_t some(void *p, size_t n) { return getrandom(p, n, 0); }
#endif

void str_random(void *out, size_t n)
{
  unsigned char *p = out;

  while (n) {
    ssize_t got = some(p, n);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      abort();
    p += got;
    n -= (size_t)got;
  }
}
