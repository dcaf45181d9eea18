/* Part of each program that `make coverage` builds, and of no other: what a process has run is written down where gcov would lose it, because the process is killed, or leaves by _exit().

   Tests that kill a program by SIGKILL send COVER_KILL instead (tests/lib/cover.py): it writes its counts, and then kills itself. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define COVER_KILL (SIGRTMIN + 5)

void __gcov_dump(void);
void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));

void __wrap__exit(int code)
{
  __gcov_dump();
  __real__exit(code);
}

static void on_kill(int sig)
{
  (void)sig;
  __gcov_dump();
  kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void begin(void)
{
  struct sigaction a = { .sa_handler = on_kill };

  sigaction(COVER_KILL, &a, NULL);
}
