/* Streams: a ring between a descriptor and the thread that has the pipe. Both hold it; who lets go last frees it. */
#include "worker/windows/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "common/str.h"
#include "worker/windows/win.h"

enum { STREAMS_MAX = 64, PART = 65536, THREAD_STACK = 64 << 10, LAST_MS = 1000 };

struct stream {
  CRITICAL_SECTION lock; /* of all that follows but part */
  CONDITION_VARIABLE moved;
  char *ring;
  size_t cap, at, n;
  bool writes;  /* the descriptor is the pipe's writer */
  bool server;  /* of a named pipe */
  bool ended;   /* nothing more comes in: the pipe's end, or close() of a writer */
  bool broken;  /* nothing more goes out: nobody reads */
  bool last;
  int holders;
  HANDLE pipe, thread, process;
  char part[PART]; /* the thread's */
};

static struct stream *streams[STREAMS_MAX];

bool stream_is(int fd) { return fd >= WIN_STREAMS && fd < WIN_STREAMS + STREAMS_MAX && streams[fd - WIN_STREAMS]; }
static struct stream *of(int fd) { return streams[fd - WIN_STREAMS]; }

static void let_go(struct stream *s)
{
  bool free_it;

  EnterCriticalSection(&s->lock);
  free_it = !--s->holders;
  LeaveCriticalSection(&s->lock);
  if (!free_it)
    return;
  mem_wipe(s->ring, s->cap); /* input may be secret */
  mem_wipe(s->part, sizeof s->part);
  free(s->ring);
  CloseHandle(s->thread);
  if (s->process)
    CloseHandle(s->process);
  DeleteCriticalSection(&s->lock);
  free(s);
}

/* ---- the ring, locked ---- */

static void put(struct stream *s, const char *p, size_t n)
{
  size_t to = (s->at + s->n) % s->cap, first = s->cap - to < n ? s->cap - to : n;

  memcpy(s->ring + to, p, first);
  memcpy(s->ring, p + first, n - first);
  s->n += n;
  WakeAllConditionVariable(&s->moved);
}

static size_t get(struct stream *s, char *p, size_t max)
{
  size_t n = s->n < max ? s->n : max, first = s->cap - s->at < n ? s->cap - s->at : n;

  memcpy(p, s->ring + s->at, first);
  memcpy(p + first, s->ring, n - first);
  s->at = (s->at + n) % s->cap;
  s->n -= n;
  WakeAllConditionVariable(&s->moved);
  return n;
}

/* ---- the thread ---- */

/* False: nobody wants it any more. */
static bool bring(struct stream *s, const char *p, size_t n)
{
  bool wanted;

  EnterCriticalSection(&s->lock);
  while (s->cap - s->n < n && !s->broken)
    SleepConditionVariableCS(&s->moved, &s->lock, INFINITE);
  wanted = !s->broken;
  if (wanted)
    put(s, p, n);
  LeaveCriticalSection(&s->lock);
  win_wake();
  return wanted;
}

static void read_pipe(struct stream *s)
{
  DWORD n;

  while (ReadFile(s->pipe, s->part, PART, &n, NULL))
    if (n && !bring(s, s->part, n))
      return;
}

/* One client after the other. */
static void serve_pipe(struct stream *s)
{
  bool wanted = true;

  while (wanted && (ConnectNamedPipe(s->pipe, NULL) || GetLastError() == ERROR_PIPE_CONNECTED || GetLastError() == ERROR_NO_DATA /* it came and went: what it wrote is there */)) {
    read_pipe(s);
    DisconnectNamedPipe(s->pipe);
    EnterCriticalSection(&s->lock);
    wanted = !s->broken;
    LeaveCriticalSection(&s->lock);
  }
}

static void write_pipe(struct stream *s)
{
  size_t n = 1, at;
  DWORD done = 0;

  while (n) {
    EnterCriticalSection(&s->lock);
    while (!s->n && !s->ended)
      SleepConditionVariableCS(&s->moved, &s->lock, INFINITE);
    n = get(s, s->part, PART);
    LeaveCriticalSection(&s->lock);
    win_wake();
    for (at = 0; at < n && WriteFile(s->pipe, s->part + at, (DWORD)(n - at), &done, NULL); at += done)
      ;
    if (at < n)
      break;
  }
  EnterCriticalSection(&s->lock);
  s->broken = true;
  LeaveCriticalSection(&s->lock);
}

static DWORD WINAPI work(void *arg)
{
  struct stream *s = arg;

  if (s->writes)
    write_pipe(s);
  else if (s->server)
    serve_pipe(s);
  else
    read_pipe(s);
  CloseHandle(s->pipe);
  EnterCriticalSection(&s->lock);
  s->ended = true;
  WakeAllConditionVariable(&s->moved);
  LeaveCriticalSection(&s->lock);
  win_wake();
  let_go(s);
  return 0;
}

/* ---- the descriptor ---- */

static int make(HANDLE pipe, size_t cap, bool writes, bool server)
{
  struct stream *s;
  int i = 0;

  while (i < STREAMS_MAX && streams[i])
    i++;
  if (i == STREAMS_MAX) {
    CloseHandle(pipe);
    errno = EMFILE;
    return -1;
  }
  s = xcalloc(1, sizeof *s);
  s->ring = xmalloc(cap);
  s->cap = cap;
  s->pipe = pipe;
  s->writes = writes;
  s->server = server;
  s->holders = 2;
  InitializeCriticalSection(&s->lock);
  InitializeConditionVariable(&s->moved);
  s->thread = CreateThread(NULL, THREAD_STACK, work, s, CREATE_SUSPENDED, NULL);
  ResumeThread(s->thread);
  streams[i] = s;
  return WIN_STREAMS + i;
}

int stream_reader(void *pipe) { return make(pipe, STREAM_ROOM + PART, false, false); }
int stream_writer(void *pipe, size_t room) { return make(pipe, room ? room : 1, true, false); }
int stream_fifo(void *server) { return make(server, STREAM_ROOM + PART, false, true); }
void stream_hold(int fd, void *process) { of(fd)->process = process; }

void stream_last(int fd)
{
  if (stream_is(fd))
    of(fd)->last = true;
}

ssize_t stream_read(int fd, void *p, size_t max)
{
  struct stream *s = of(fd);
  ssize_t n = -1;

  EnterCriticalSection(&s->lock);
  for (ULONGLONG end = GetTickCount64() + LAST_MS, now; s->last && !s->n && !s->ended && (now = GetTickCount64()) < end;)
    SleepConditionVariableCS(&s->moved, &s->lock, (DWORD)(end - now));
  if (s->n || s->ended)
    n = (ssize_t)get(s, p, max);
  LeaveCriticalSection(&s->lock);
  errno = n < 0 ? EAGAIN : 0;
  return n;
}

ssize_t stream_write(int fd, const void *p, size_t n)
{
  struct stream *s = of(fd);
  bool broken;

  EnterCriticalSection(&s->lock);
  broken = s->broken;
  n = s->cap - s->n < n ? s->cap - s->n : n;
  if (!broken)
    put(s, p, n);
  LeaveCriticalSection(&s->lock);
  errno = broken ? EPIPE : EAGAIN;
  return broken || !n ? -1 : (ssize_t)n;
}

int stream_close(int fd)
{
  struct stream *s = of(fd);

  streams[fd - WIN_STREAMS] = NULL;
  EnterCriticalSection(&s->lock);
  s->ended = true;
  s->broken = s->broken || !s->writes;
  WakeAllConditionVariable(&s->moved);
  LeaveCriticalSection(&s->lock);
  if (!s->writes)
    CancelSynchronousIo(s->thread);
  let_go(s);
  return 0;
}

short stream_ready(int fd, short events)
{
  struct stream *s = of(fd);
  short is = 0;

  EnterCriticalSection(&s->lock);
  if (s->writes)
    is = (short)((s->n < s->cap && !s->broken ? events & POLLOUT : 0) | (s->broken ? POLLERR : 0));
  else if (s->n || s->ended)
    is = events & POLLIN;
  LeaveCriticalSection(&s->lock);
  return is;
}
