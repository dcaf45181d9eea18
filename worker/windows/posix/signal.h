#ifndef WINDOWS_POSIX_SIGNAL_H
#define WINDOWS_POSIX_SIGNAL_H
#include_next <signal.h>
#ifndef _POSIX
typedef unsigned long sigset_t;
#endif
/* Numbers for names on the wire, and for what os_poll() tells (win_raise()). */
enum { SIGHUP = 1, SIGQUIT = 3, SIGKILL = 9, SIGUSR1 = 10, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGWINCH = 28 };
enum { SIG_SETMASK = 2 };
struct sigaction {
  void (*sa_handler)(int);
};
int sigaction(int sig, const struct sigaction *act, struct sigaction *old); /* called within os_poll() */
#define sigemptyset(set) ((void)(*(set) = 0))
#define sigaddset(set, sig) ((void)(set))
#define sigprocmask(how, set, old) ((void)(set))
#endif
