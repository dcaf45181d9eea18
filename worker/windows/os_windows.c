/* What os.h asks for, of what the Windows worker uses. */
#include "worker/os.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <windows.h>
#include <winternl.h>

#include "common/clock.h"
#include "proto/records.h"
#include "worker/windows/win.h"

NTSTATUS NTAPI RtlGetVersion(RTL_OSVERSIONINFOW *v); /* of ntdll; the headers leave it to drivers */

enum { POLL_MAX = 4, TEXT_MAX = 512 };

void os_init(const char *argv0)
{
  WSADATA data;

  (void)argv0;
  _fmode = _O_BINARY;
  for (int fd = 0; fd < 3; fd++)
    _setmode(fd, _O_BINARY);
  if (WSAStartup(MAKEWORD(2, 2), &data))
    exit(1);
}

/* When the system was started, in seconds; as long as nobody sets the clock. */
void os_boot_id(char out[OS_BOOT_LEN + 1])
{
  SYSTEM_TIMEOFDAY_INFORMATION t;
  LONGLONG boot;

  memset(&t, 0, sizeof t);
  if (NtQuerySystemInformation(SystemTimeOfDayInformation, &t, sizeof t, NULL))
    memset(&t, 0, sizeof t);
  memcpy(&boot, &t, sizeof boot); /* its first member, whatever the header calls it */
  snprintf(out, OS_BOOT_LEN + 1, "%032llx", (unsigned long long)(boot / 10000000));
}

bool os_machine_id(char out[OS_MACHINE_LEN + 1]) { return *out = 0, false; }
void os_no_dump(void) {}

int os_swap_names(int dir, const char *a, const char *b)
{
  (void)dir, (void)a, (void)b;
  errno = ENOSYS;
  return -1;
}

/* Sockets only: their numbers are ours (posix.c). The mask means nothing. */
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
  struct pollfd real[POLL_MAX];
  int of[POLL_MAX], have = 0, r;

  (void)mask;
  for (nfds_t i = 0; i < n; i++) {
    p[i].revents = 0;
    if ((int)p[i].fd >= 0 && have < POLL_MAX) {
      real[have] = (struct pollfd){ .fd = win_socket_of((int)p[i].fd), .events = p[i].events };
      of[have++] = (int)i;
    }
  }
  r = WSAPoll(real, (ULONG)have, t ? (int)(t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000) : -1);
  for (int i = 0; i < have && r > 0; i++)
    p[of[i]].revents = real[i].revents;
  return r;
}

static void put_wide(struct buf *out, const char *key, const wchar_t *value)
{
  char *s = win_utf8(value);

  records_put(out, key, s);
  free(s);
}

static void put_disk(struct buf *out, const char *work)
{
  ULARGE_INTEGER mine, all;
  wchar_t *w = win_path(work);

  if (GetDiskFreeSpaceExW(w, &mine, &all, NULL)) {
    records_putf(out, "disk_free_kib", "%llu", (unsigned long long)mine.QuadPart / 1024);
    records_putf(out, "disk_total_kib", "%llu", (unsigned long long)all.QuadPart / 1024);
  }
  free(w);
}

void os_facts(struct buf *out, const char *work)
{
  RTL_OSVERSIONINFOW v = { .dwOSVersionInfoSize = sizeof v };
  MEMORYSTATUSEX m = { .dwLength = sizeof m };
  wchar_t text[TEXT_MAX];
  DWORD n = TEXT_MAX;
  SYSTEM_INFO s;

  GetNativeSystemInfo(&s);
  records_put(out, "os", "Windows");
  records_put(out, "arch", s.wProcessorArchitecture == PROCESSOR_ARCHITECTURE_ARM64 ? "aarch64" : s.wProcessorArchitecture == PROCESSOR_ARCHITECTURE_AMD64 ? "x86_64" : "other");
  if (!RtlGetVersion(&v))
    records_putf(out, "release", "%lu.%lu.%lu", v.dwMajorVersion, v.dwMinorVersion, v.dwBuildNumber);
  if (GetComputerNameExW(ComputerNameDnsHostname, text, &n))
    put_wide(out, "host", text);
  records_putf(out, "cores", "%lu", s.dwNumberOfProcessors);
  if (GlobalMemoryStatusEx(&m))
    records_putf(out, "memory_kib", "%llu", (unsigned long long)m.ullTotalPhys / 1024);
  put_disk(out, work);
  n = TEXT_MAX;
  if (GetUserNameW(text, &n))
    put_wide(out, "user", text);
  records_put(out, "tree", "job");
  records_putf(out, "boot_ms", "%lld", (long long)clock_boot_ms());
}
