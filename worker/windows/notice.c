/* What agent and minders tell each other, on Windows. */
#include "worker/notice.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <windows.h>

#include "worker/windows/notice_windows.h"
#include "worker/windows/win.h"

enum { NAME_MAX_WIDE = 64 };

static HANDLE event;

int notice_open(const char *instance)
{
  wchar_t name[NAME_MAX_WIDE];

  swprintf(name, NAME_MAX_WIDE, L"Global\\drover-wake-%.32hs", instance);
  event = CreateEventW(NULL, FALSE, FALSE, name);
  return event ? (int)(intptr_t)event : -1; /* handles are small numbers */
}

void *notice_event(void) { return event; }

void notice_wake(int wake_fd, const char *cmd, bool ended)
{
  (void)cmd, (void)ended; /* the agent looks at all of them */
  SetEvent((HANDLE)(intptr_t)wake_fd);
}

bool notice_read(int seen_fd, struct notice_seen *s)
{
  return pread(seen_fd, s, sizeof *s, 0) == sizeof *s;
}

/* An agent has its lock open, and lets nobody else. The spool is the minder's current folder. */
bool notice_master_there(int wake_fd, int seen_fd)
{
  struct notice_seen seen;
  HANDLE h;

  (void)wake_fd;
  if (!notice_read(seen_fd, &seen) || !seen.connected)
    return false;
  h = CreateFileW(L"..\\lock", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
  if (h == INVALID_HANDLE_VALUE)
    return GetLastError() == ERROR_SHARING_VIOLATION;
  CloseHandle(h);
  return false;
}
