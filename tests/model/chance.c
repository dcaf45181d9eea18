/* Chance from a seed (splitmix64), and what is told of a seed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

void __wrap_str_random(void *out, size_t n);

bool model_verbose, model_quiet;
static uint64_t state;
static struct buf told;
static char *bad;

void chance_from(uint64_t seed)
{
  state = seed * 0x9e3779b97f4a7c15u + 1;
}

uint64_t chance(uint64_t n)
{
  uint64_t z = (state += 0x9e3779b97f4a7c15u);

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return n ? (z ^ (z >> 31)) % n : 0;
}

bool chance_of(int percent)
{
  return chance(100) < (uint64_t)percent;
}

extern char __start_sim_maps[], __stop_sim_maps[]; /* variables of common/map.c (Makefile) */

/* By bytes: a sanitizer has room between them that memset may not touch. */
__attribute__((no_sanitize_address)) void chance_maps(void)
{
  for (volatile char *p = __start_sim_maps; p < __stop_sim_maps; p++)
    *p = 0;
}

void __wrap_str_random(void *out, size_t n)
{
  memset(out, 7, n);
}

void model_tell(const char *fmt, ...)
{
  va_list ap;
  char *text;

  if (model_quiet)
    return;
  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  if (model_verbose)
    fprintf(stderr, "%9.3f  %s\n", (double)model_now_ms / 1000, text);
  buf_addf(&told, "%9.3f  %s\n", (double)model_now_ms / 1000, text);
  free(text);
}

void model_bad(const char *fmt, ...)
{
  va_list ap;

  if (bad)
    return;
  va_start(ap, fmt);
  bad = xvasprintf(fmt, ap);
  va_end(ap);
  model_tell("BAD: %s", bad);
}

const char *model_badness(void)
{
  return bad;
}

void model_tell_reset(void)
{
  buf_free(&told);
  buf_init(&told, BUF_NO_MAX);
  free(bad);
  bad = NULL;
}

const char *model_told(void)
{
  return buf_str(&told);
}

void model_tell_all(void)
{
  if (!model_verbose)
    fputs(buf_str(&told), stderr);
}
