/* What tests have a Windows worker run: it shows how it was started, makes trees of processes, and prints what can be checked. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

/* Each argument and, behind it, its UTF-16 as hex. */
static int show_arguments(void)
{
  int n;
  wchar_t **w = CommandLineToArgvW(GetCommandLineW(), &n);

  for (int i = 2; i < n; i++) {
    for (const wchar_t *p = w[i]; *p; p++)
      printf("%04x", *p);
    printf("\n");
  }
  return 0;
}

static int show_environment(void)
{
  for (wchar_t *e = GetEnvironmentStringsW(); *e; e += wcslen(e) + 1)
    printf("%ls\n", e);
  return 0;
}

/* Records of 16 bytes, numbered, in turn on both channels; paused so many ms after each 64 KiB. */
static int print_many(long n, int pause)
{
  char text[32];

  setvbuf(stderr, NULL, _IOFBF, 65536);
  for (long i = 0; i < n; i++) {
    snprintf(text, sizeof text, "%014ld\r\n", i);
    fwrite(text, 16, 1, i / 1000 % 2 ? stderr : stdout);
    if (i % 1000 == 999) {
      fflush(stdout);
      fflush(stderr);
    }
    if (pause && i % 4000 == 0)
      Sleep((DWORD)pause);
  }
  return 0;
}

/* Children down to depth 0, each of which sleeps; the first tells when they are there. */
static int make_tree(const char *self, int depth, const char *mark)
{
  char line[1024];
  STARTUPINFOA s = { .cb = sizeof s };
  PROCESS_INFORMATION p;

  if (depth > 0) {
    snprintf(line, sizeof line, "\"%s\" tree %d %s", self, depth - 1, mark);
    if (!CreateProcessA(NULL, line, NULL, NULL, FALSE, DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP, NULL, NULL, &s, &p))
      return 1;
  } else {
    printf("ready\n");
    fflush(stdout);
  }
  Sleep(60000);
  return 0;
}

static int echo_input(void)
{
  char part[4096];
  size_t n;

  while ((n = fread(part, 1, sizeof part, stdin)) > 0)
    fwrite(part, 1, n, stdout);
  printf("end\n");
  return 0;
}

int main(int argc, char **argv)
{
  const char *what = argc > 1 ? argv[1] : "";

  for (int fd = 0; fd < 3; fd++)
    _setmode(fd, _O_BINARY);
  if (!strcmp(what, "arguments"))
    return show_arguments();
  if (!strcmp(what, "environment"))
    return show_environment();
  if (!strcmp(what, "many"))
    return print_many(atol(argv[2]), atoi(argv[3]));
  if (!strcmp(what, "tree"))
    return make_tree(argv[0], atoi(argv[2]), argv[3]);
  if (!strcmp(what, "input"))
    return echo_input();
  if (!strcmp(what, "sleep"))
    Sleep((DWORD)atoi(argv[2]));
  return argc > 2 && !strcmp(what, "exit") ? (int)strtoul(argv[2], NULL, 10) : 0;
}
