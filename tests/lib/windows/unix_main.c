/* Only for tests under wine: a program of Windows that is one of the system around it, by its own name (git.exe is git). Arguments, folder, input, output, exit code and the variables that matter to git are passed on;
   Z:\a\b is /a/b. wine's pipes are nothing that such a program can have, so input and output go through files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { WORDS_MAX = 256, TEXT_MAX = 8192 };

static char *unix_path(const char *s)
{
  const char *z = strncmp(s, "Z:\\", 3) ? NULL : s + 2;
  char *out = _strdup(z ? z : s);

  for (char *p = out; z && *p; p++)
    *p = *p == '\\' ? '/' : *p;
  return out;
}

static char *join(const char *a, const char *b)
{
  char *out = malloc(strlen(a) + strlen(b) + 1);
  return strcat(strcpy(out, a), b);
}

static void copy(HANDLE from, HANDLE to)
{
  char part[4096];
  DWORD n, done;

  while (ReadFile(from, part, sizeof part, &n, NULL) && n)
    WriteFile(to, part, n, &done, NULL);
}

static void file_to(const char *path, HANDLE to)
{
  HANDLE h = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE, NULL);

  copy(h, to);
  CloseHandle(h);
}

int main(int argc, char **argv)
{
  static const char script[] = "cd \"$1\" && in=$2; shift 2; exec \"$@\" <\"$in.in\" >\"$in.out\" 2>\"$in.err\"";
  static const char *const names[] = { "HOME", "TMPDIR", "GIT_TERMINAL_PROMPT", "GIT_ALLOW_PROTOCOL", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES" };
  int (*spawn)(char *const argv[], int wait) = (int (*)(char *const *, int))(void *)GetProcAddress(GetModuleHandleA("ntdll"), "__wine_unix_spawnvp");
  char folder[TEXT_MAX], temp[TEXT_MAX], base[TEXT_MAX], *words[WORDS_MAX], *name = strrchr(argv[0], '\\');
  HANDLE in;
  int n = 0, code;

  if (!spawn || argc > WORDS_MAX / 2)
    return 127;
  GetCurrentDirectoryA(sizeof folder, folder);
  GetTempPathA(sizeof temp, temp);
  snprintf(base, sizeof base, "%su%lu", temp, (unsigned long)GetCurrentProcessId());
  in = CreateFileA(join(base, ".in"), GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
  copy(GetStdHandle(STD_INPUT_HANDLE), in);
  CloseHandle(in);
  words[n++] = (char *)"sh";
  words[n++] = (char *)"-c";
  words[n++] = (char *)script;
  words[n++] = (char *)"sh";
  words[n++] = unix_path(folder);
  words[n++] = unix_path(base);
  words[n++] = (char *)"env";
  words[n++] = (char *)"-i";
  words[n++] = (char *)"PATH=/usr/local/bin:/usr/bin:/bin";
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (getenv(names[i]))
      words[n++] = join(join(names[i], "="), unix_path(getenv(names[i])));
  name = _strdup(name ? name + 1 : argv[0]);
  name[strcspn(name, ".")] = 0;
  words[n++] = name;
  for (int i = 1; i < argc; i++)
    words[n++] = unix_path(argv[i]);
  words[n] = NULL;
  code = spawn(words, 1);
  file_to(join(base, ".out"), GetStdHandle(STD_OUTPUT_HANDLE));
  file_to(join(base, ".err"), GetStdHandle(STD_ERROR_HANDLE));
  DeleteFileA(join(base, ".in"));
  return code < 0 ? 127 : code > 255 ? code >> 8 : code;
}
