/* A log as a large build writes it. usage: genlog MIB [SECONDS]
   MIB mebibytes of compiler commands, warnings with their source lines, test results and fetches, the same at each run, in blocks of 64 KiB.
   With SECONDS: the numbered lines of a slow command instead, one each 10 ms, for that long. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 65536, LINE_MAX_ = 2048, TICK_MS = 10 };

static const char *const area[] = { "kernel/sched", "kernel/mm", "net/route", "net/filter", "fs/journal", "fs/inode", "gfx/raster", "gfx/shader",
                                    "lang/lexer", "lang/types", "lang/emit", "store/index", "store/log", "mail/queue", "tools/pack", "tools/lint" };
static const char *const noun[] = { "arena", "batch", "cursor", "digest", "entry", "fiber", "glyph", "handle", "item", "journal", "key", "lease", "mutex",
                                    "node", "offset", "packet", "quota", "region", "slot", "token", "unit", "vector", "window", "zone" };
static const char *const verb[] = { "alloc", "bind", "close", "decode", "encode", "find", "grow", "hash", "insert", "join", "link", "map", "open", "parse",
                                    "read", "split", "trim", "unlink", "verify", "write" };
static const char *const complaint[] = { "unused variable '%s' [-Wunused-variable]", "'%s' may be used uninitialized [-Wmaybe-uninitialized]",
                                         "comparison of integer expressions of different signedness near '%s' [-Wsign-compare]",
                                         "conversion to '%s_t' from 'long unsigned int' may change value [-Wconversion]",
                                         "this '%s' statement may fall through [-Wimplicit-fallthrough=]" };

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static uint32_t any(uint32_t below)
{
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 20) % below);
}

#define ONE(list) list[any(sizeof list / sizeof *list)]

static int add(char *line, int n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int add(char *line, int n, const char *fmt, ...)
{
  va_list ap;
  int more;

  va_start(ap, fmt);
  more = vsnprintf(line + n, (size_t)(LINE_MAX_ - n), fmt, ap);
  va_end(ap);
  return n + more;
}

static int compile(char *line, const char *where, const char *a, const char *b)
{
  return add(line, 0, "gcc-12 -std=c11 -O2 -g -Wall -Wextra -fPIC -fstack-protector-strong -D_GNU_SOURCE -DNDEBUG -DMODULE=%s_%s -Iinclude -Ibuild/gen "
             "-Isrc/%s -isystem third_party/include -MMD -MP -MF build/obj/%s/%s_%s.d -c src/%s/%s_%s.c -o build/obj/%s/%s_%s.o\n",
             a, b, where, where, a, b, where, a, b, where, a, b);
}

static int warn(char *line, const char *where, const char *a, const char *b)
{
  int row = (int)any(2500), column = 3 + (int)any(50), n = add(line, 0, "src/%s/%s_%s.c: In function '%s_%s_%s':\n", where, a, b, a, b, ONE(verb));
  const char *text = ONE(complaint), *mark = strstr(text, "%s");

  n = add(line, n, "src/%s/%s_%s.c:%d:%d: warning: %.*s%s%s\n", where, a, b, row, column, (int)(mark - text), text, ONE(noun), mark + 2);
  n = add(line, n, "%5d |   if (%s_%s(&%s->%s, 0x%08x) < %s_count[%u])\n", row, ONE(noun), ONE(verb), ONE(noun), ONE(noun), any(UINT32_MAX), ONE(noun), any(512));
  return add(line, n, "      | %*s^~~~~~~~\n", column, "");
}

static int next(char *line, unsigned long count)
{
  const char *where = ONE(area), *a = ONE(noun), *b = ONE(verb);
  uint32_t kind = any(100);

  if (kind < 35)
    return add(line, 0, "[%6lu/61440] CC build/obj/%s/%s_%s.o\n", count % 61440, where, a, b);
  if (kind < 52)
    return compile(line, where, a, b);
  if (kind < 68)
    return warn(line, where, a, b);
  if (kind < 90)
    return add(line, 0, "ok %6lu - %s/%s_%s with %u %ss in %u.%03u s\n", count, where, a, b, any(300), ONE(noun), any(9), any(1000));
  return add(line, 0, "2026-03-%02uT%02u:%02u:%02u.%06uZ fetch %s/%s: %u bytes, digest %08x%08x%08x, hit %u\n", 1 + any(30), any(24), any(60), any(60),
             any(1000000), where, a, any(9999999), any(UINT32_MAX), any(UINT32_MAX), any(UINT32_MAX), any(64));
}

static int put(const char *p, size_t n)
{
  while (n) {
    ssize_t done = write(1, p, n);
    if (done <= 0)
      return 1;
    p += done;
    n -= (size_t)done;
  }
  return 0;
}

static int slow(int seconds)
{
  struct timespec tick = { 0, TICK_MS * 1000000 };
  char line[64];

  for (int i = 0; i < seconds * 1000 / TICK_MS; i++) {
    if (put(line, (size_t)snprintf(line, sizeof line, "%08d still at work\n", i)))
      return 1;
    nanosleep(&tick, NULL);
  }
  return 0;
}

int main(int argc, char **argv)
{
  static char block[BLOCK + LINE_MAX_];
  size_t blocks = argc > 1 ? (size_t)atoi(argv[1]) * ((1 << 20) / BLOCK) : 0, have = 0;
  unsigned long count = 0;

  if (argc > 2)
    return slow(atoi(argv[2]));
  while (blocks) {
    while (have < BLOCK)
      have += (size_t)next(block + have, ++count);
    if (blocks == 1)
      block[BLOCK - 1] = '\n';
    if (put(block, BLOCK))
      return 1;
    have -= BLOCK;
    memmove(block, block + BLOCK, have);
    blocks--;
  }
  return argc > 1 ? 0 : 2;
}
