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

/* So many of those records, again behind the appearance of each file. */
static int print_gated(long n, char **gates)
{
  print_many(n, 0);
  for (; *gates; gates++) {
    fflush(stdout);
    fflush(stderr);
    while (GetFileAttributesA(*gates) == INVALID_FILE_ATTRIBUTES)
      Sleep(20);
    print_many(n, 0);
  }
  return 0;
}

/* Children down to depth 0, each of which sleeps; the first tells that it is there. */
static int make_tree(const char *self, int depth, const char *mark)
{
  char line[1024];
  STARTUPINFOA s = { .cb = sizeof s };
  PROCESS_INFORMATION p;

  printf("ready\n");
  fflush(stdout);
  if (depth > 0) {
    snprintf(line, sizeof line, "\"%s\" tree %d %s", self, depth - 1, mark);
    if (!CreateProcessA(NULL, line, NULL, NULL, FALSE, DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP, NULL, NULL, &s, &p))
      return 1;
  }
  Sleep(600000);
  return 0;
}

/* The bytes of the file that the variable names, each one more, so that nothing of them is masked; then waits until that file of the folder appears. */
static int show_file(const char *name, const char *gate)
{
  FILE *f = fopen(getenv(name) ? getenv(name) : "", "rb");
  int c;

  printf("%s\n", f ? getenv(name) : "none");
  while (f && (c = getc(f)) != EOF)
    putchar(c + 1);
  fflush(stdout);
  if (f)
    fclose(f);
  while (GetFileAttributesA(gate) == INVALID_FILE_ATTRIBUTES)
    Sleep(20);
  return 0;
}

static int echo_input(void)
{
  char part[4096];
  size_t n;

  setvbuf(stdin, NULL, _IONBF, 0);
  while ((n = (size_t)_read(0, part, sizeof part)) > 0 && n <= sizeof part)
    fwrite(part, 1, n, stdout), fflush(stdout);
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
  if (!strcmp(what, "gated"))
    return print_gated(atol(argv[2]), argv + 3);
  if (!strcmp(what, "tree"))
    return make_tree(argv[0], atoi(argv[2]), argv[3]);
  if (!strcmp(what, "input"))
    return echo_input();
  if (!strcmp(what, "file"))
    return show_file(argv[2], argv[3]);
  if (!strcmp(what, "sleep"))
    Sleep((DWORD)atoi(argv[2]));
  return argc > 2 && !strcmp(what, "exit") ? (int)strtoul(argv[2], NULL, 10) : 0;
}
