#include "master/conf/worker_words.h"

#include <string.h>

#include "common/str.h"

struct other {
  const char *name, *is;
};

static char *word(const char *s, const struct other *others, size_t n, char *out)
{
  size_t len = strlen(s);

  *out = 0;
  if (len >= WORKER_WORD_MAX || !str_is_name(s, len))
    return out;
  for (size_t i = 0; i <= len; i++)
    out[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
  for (size_t i = 0; i < n; i++)
    if (!strcmp(out, others[i].name))
      return strcpy(out, others[i].is);
  return out;
}

char *worker_os(const char *s, char *out)
{
  static const struct other others[] = { { "darwin", "macos" }, { "windows_nt", "windows" }, { "win32", "windows" }, { "sunos", "solaris" } };

  return word(s, others, COUNT(others), out);
}

char *worker_arch(const char *s, char *out)
{
  static const struct other others[] = {
    { "amd64", "x86_64" }, { "x64", "x86_64" }, { "x86-64", "x86_64" }, { "aarch64", "arm64" }, { "i386", "x86" }, { "i486", "x86" }, { "i586", "x86" }, { "i686", "x86" },
    { "armv6l", "arm" }, { "armv7l", "arm" }, { "armv7", "arm" }, { "armhf", "arm" }, { "ppc64el", "ppc64le" },
  };

  return word(s, others, COUNT(others), out);
}
