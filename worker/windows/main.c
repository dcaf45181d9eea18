/* The program's beginning on Windows: what it is told comes as UTF-16, it may be a service, and it is started for file operations too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <shellapi.h>

#include "worker/agent.h"
#include "worker/minder.h"
#include "worker/os.h"
#include "worker/windows/fileop_windows.h"
#include "worker/windows/main_windows.h"
#include "worker/windows/service.h"
#include "worker/windows/stream.h"
#include "worker/windows/win.h"

enum { CTL_WORD = 2 + 6 }; /* where a minder is told its ctl (worker/minder.h) */

static char **utf8_words(int *n)
{
  wchar_t **w = CommandLineToArgvW(GetCommandLineW(), n);
  char **out = xcalloc((size_t)*n + 1, sizeof *out);

  for (int i = 0; i < *n; i++)
    out[i] = win_utf8(w[i]);
  LocalFree(w);
  return out;
}

int main(int argc, char **argv)
{
  argv = utf8_words(&argc);
  if (argc > 1 && !strcmp(argv[1], FILEOP_WORD)) {
    os_init(argv[0]);
    return fileop_here(argc, argv);
  }
  if (argc > 1 && service_knows(argv[1]))
    return service_main(argc, argv);
  if (argc == MINDER_ARGS + 2 && !strcmp(argv[1], "--minder") && !strcmp(argv[2], "run")) /* ctl is a named pipe that is not read yet; an undertaker has none */
    argv[CTL_WORD] = xasprintf("%d", fifo_take(atoi(argv[CTL_WORD])));
  return worker_main(argc, argv);
}
