#ifndef WINDOWS_POSIX_SIGNAL_H
#define WINDOWS_POSIX_SIGNAL_H
#include_next <signal.h>
#ifndef _POSIX
typedef unsigned long sigset_t;
#endif
/* Numbers for names on the wire; nothing here takes signals. */
enum { SIGHUP = 1, SIGQUIT = 3, SIGKILL = 9, SIGUSR1 = 10, SIGUSR2 = 12, SIGALRM = 14, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGWINCH = 28 };
#endif
