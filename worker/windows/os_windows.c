/* What os.h asks for, of what the Windows worker uses. */
#include "worker/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <windows.h>
#include <winternl.h>

#include "common/clock.h"
#include "proto/records.h"
#include "worker/windows/stream.h"
#include "worker/windows/win.h"

NTSTATUS NTAPI RtlGetVersion(RTL_OSVERSIONINFOW *v); /* of ntdll; the headers leave it to drivers */

#define SHARED_DATA ((uintptr_t)0x7ffe0000) /* KUSER_SHARED_DATA, which is there in every process */
enum { POLL_MAX = 4, TEXT_MAX = 512, BOOT_COUNT_AT = 0x2c4 };

void os_init(const char *argv0)
{
  WSADATA data;

  (void)argv0;
  _fmode = _O_BINARY;
  for (int fd = 0; fd < 3; fd++)
    _setmode(fd, _O_BINARY);
  SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX); /* what crashes ends, and asks nobody: commands have it from us */
  if (WSAStartup(MAKEWORD(2, 2), &data))
    exit(1);
}

/* How often the system was started, where it counts (wine does not); else when, in seconds, which is another time when somebody sets the clock. */
void os_boot_id(char out[OS_BOOT_LEN + 1])
{
  SYSTEM_TIMEOFDAY_INFORMATION t;
  uint32_t count;
  LONGLONG boot;

  memcpy(&count, (const char *)SHARED_DATA + BOOT_COUNT_AT, sizeof count);
  memset(&t, 0, sizeof t);
  if (NtQuerySystemInformation(SystemTimeOfDayInformation, &t, sizeof t, NULL))
    memset(&t, 0, sizeof t);
  memcpy(&boot, &t, sizeof boot); /* its first member, whatever the header calls it */
  snprintf(out, OS_BOOT_LEN + 1, "%032llx", count ? (unsigned long long)count : (unsigned long long)(boot / 10000000));
}

bool os_machine_id(char out[OS_MACHINE_LEN + 1]) { return *out = 0, false; }
void os_no_dump(void) {}

static int no_such_call(void)
{
  errno = ENOSYS;
  return -1;
}

int os_swap_names(int dir, const char *a, const char *b) { return (void)dir, (void)a, (void)b, no_such_call(); }
int os_clone(int to, int from) { return (void)to, (void)from, no_such_call(); }
ssize_t os_copy_range(int from, int to) { return (void)to, (void)from, no_such_call(); }
int os_pidfd(pid_t pid) { return (void)pid, -1; } /* minders are looked after by time */
void os_subreaper(void) {} /* a job is better */
void os_as(uid_t uid) { (void)uid; }
bool os_is_tmpfs(const char *path) { return (void)path, false; }
void os_yield(void) { SetPriorityClass(GetCurrentProcess(), PROCESS_MODE_BACKGROUND_BEGIN); }
bool os_end_with(pid_t parent) { return (void)parent, true; } /* in a job of the agent's */

const char *os_self(void)
{
  static char *path;
  wchar_t *w;

  if (path)
    return path;
  w = xcalloc(WIN_PATH_MAX, sizeof *w);
  GetModuleFileNameW(NULL, w, WIN_PATH_MAX);
  path = win_utf8(w);
  free(w);
  return path;
}

/* ---- waiting ---- */

enum { SIGNALS = 32 };
static void (*handlers[SIGNALS])(int);
static volatile LONG raised[SIGNALS];

int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
  (void)old;
  handlers[sig] = act->sa_handler;
  return 0;
}

void win_raise(int sig)
{
  InterlockedExchange(&raised[sig], 1);
  win_wake();
}

static bool deliver(void)
{
  bool any = false;

  for (int i = 0; i < SIGNALS; i++)
    if (raised[i] && InterlockedExchange(&raised[i], 0) && handlers[i] != SIG_DFL && handlers[i] != SIG_IGN) {
      handlers[i](i);
      any = true;
    }
  return any;
}

/* Streams that are ready; *sockets: how many others there are. */
static int look(struct pollfd *p, nfds_t n, int *sockets)
{
  int ready = 0;

  *sockets = 0;
  for (nfds_t i = 0; i < n; i++) {
    int fd = (int)p[i].fd;
    p[i].revents = stream_is(fd) ? stream_ready(fd, p[i].events) : 0;
    ready += p[i].revents != 0;
    *sockets += fd >= WIN_SOCKETS && fd < WIN_DIRS;
  }
  return ready;
}

static int poll_sockets(struct pollfd *p, nfds_t n, int ms)
{
  struct pollfd real[POLL_MAX];
  int of[POLL_MAX], have = 0, r;

  for (nfds_t i = 0; i < n && have < POLL_MAX; i++)
    if ((int)p[i].fd >= WIN_SOCKETS && (int)p[i].fd < WIN_DIRS) {
      real[have] = (struct pollfd){ .fd = win_socket_of((int)p[i].fd), .events = p[i].events };
      of[have++] = (int)i;
    }
  r = WSAPoll(real, (ULONG)have, ms);
  for (int i = 0; i < have && r > 0; i++)
    p[of[i]].revents = real[i].revents;
  return r;
}

/* Sockets and streams. Where there are sockets one of them is that of win_wake(). The mask means nothing. */
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
  int64_t wait = t ? t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000 : INT_MAX;
  int sockets, ready = look(p, n, &sockets), ms = ready ? 0 : wait < INT_MAX ? (int)wait : INT_MAX, r;

  (void)mask;
  if (sockets)
    r = poll_sockets(p, n, ms);
  else
    r = 0, ms ? win_wake_wait((DWORD)ms) : (void)0;
  if (deliver()) {
    errno = EINTR;
    return -1;
  }
  if (!ready && !sockets)
    return look(p, n, &sockets);
  return r < 0 ? r : r + ready;
}

int win_poll(struct pollfd *p, nfds_t n, int ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
  int64_t end = clock_mono_ms() + ms;
  int r;

  if (!n) {
    Sleep((DWORD)ms);
    return 0;
  }
  while ((r = os_poll(p, n, &t, NULL)) <= 0 && clock_mono_ms() < end) /* woken for something else */
    t = (struct timespec){ 0, 10 * 1000000L };
  return r > 0 ? r : 0;
}

/* ---- facts ---- */

static void put_wide(struct buf *out, const char *key, const wchar_t *value)
{
  char *s = win_utf8(value);

  records_put(out, key, s);
  free(s);
}

static bool disk_of(const char *path, struct buf *out)
{
  ULARGE_INTEGER mine, all;
  wchar_t *w = win_path(path);
  bool good = GetDiskFreeSpaceExW(w, &mine, &all, NULL);

  if (good) {
    records_putf(out, "disk_free_kib", "%llu", (unsigned long long)mine.QuadPart / 1024);
    records_putf(out, "disk_total_kib", "%llu", (unsigned long long)all.QuadPart / 1024);
  }
  free(w);
  return good;
}

int os_disk(int dir, struct buf *out)
{
  if (disk_of(win_dir_path(dir), out))
    return 0;
  errno = win_errno(GetLastError());
  return -1;
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
  disk_of(work, out);
  n = TEXT_MAX;
  if (GetUserNameW(text, &n))
    put_wide(out, "user", text);
  records_put(out, "tree", "job");
  records_putf(out, "boot_ms", "%lld", (long long)clock_boot_ms());
}
