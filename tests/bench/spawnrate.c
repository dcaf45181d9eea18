/* How many processes a second the machine starts, at best: posix_spawn and wait, N times in each of PARENTS processes at once.
   usage: spawnrate N PARENTS PROGRAM; prints starts a second of all parents together. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *environment[] = { (char *)"PATH=/usr/bin:/bin", NULL };

static double now(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int starts(int n, char *program)
{
  char *argv[] = { program, NULL };

  for (int i = 0; i < n; i++) {
    pid_t pid;
    int status;
    if (posix_spawn(&pid, program, NULL, NULL, argv, environment) || waitpid(pid, &status, 0) != pid || status)
      return 1;
  }
  return 0;
}

int main(int argc, char **argv)
{
  int n = argc == 4 ? atoi(argv[1]) : 0, parents = argc == 4 ? atoi(argv[2]) : 0, status, bad = 0;
  double begin = now();

  if (n <= 0 || parents <= 0)
    return 2;
  for (int i = 0; i < parents; i++) {
    pid_t pid = fork();
    if (pid < 0)
      return 1;
    if (!pid)
      _exit(starts(n, argv[3]));
  }
  while (wait(&status) > 0)
    bad |= status;
  printf("%.0f\n", n * parents / (now() - begin));
  return bad != 0;
}
