/* Many workers that start in the same instant. usage: herd WORKER FOLDER N
   Forks N processes, lets all of them become WORKER at once (--join-file FOLDER/token-h<i> --dir FOLDER/work-h<i>), and prints the clock
   (CLOCK_MONOTONIC, ns) of that instant. Ends them when its standard input ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 4096 };

static void become(const char *worker, const char *folder, int i, int gate)
{
  char token[PATH_LEN], dir[PATH_LEN], byte;
  int null = open("/dev/null", O_RDWR);

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  snprintf(token, sizeof token, "%s/token-h%d", folder, i);
  snprintf(dir, sizeof dir, "%s/work-h%d", folder, i);
  if (read(gate, &byte, 1) != 0) /* until the other end is closed */
    _exit(1);
  dup2(null, 0);
  dup2(null, 1);
  dup2(null, 2);
  execl(worker, worker, "--join-file", token, "--dir", dir, (char *)NULL);
  _exit(127);
}

int main(int argc, char **argv)
{
  int n = argc == 4 ? atoi(argv[3]) : 0, gate[2];
  pid_t *pids = calloc((size_t)n + 1, sizeof *pids);
  struct timespec t;
  char byte;

  if (n <= 0 || !pids || pipe2(gate, O_CLOEXEC))
    return 2;
  for (int i = 0; i < n; i++) {
    pids[i] = fork();
    if (pids[i] < 0)
      return 1;
    if (!pids[i]) {
      close(gate[1]);
      become(argv[1], argv[2], i, gate[0]);
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &t);
  close(gate[1]);
  printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
  fflush(stdout);
  while (read(0, &byte, 1) > 0)
    continue;
  for (int i = 0; i < n; i++)
    kill(pids[i], SIGTERM);
  while (wait(NULL) > 0)
    continue;
  return 0;
}
