/* Words of the command line: flags anywhere, "--" ends them, -b X, -bX, --branch X, --branch=X. */
#include "master/cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

const struct flag args_flags[FLAG_COUNT] = {
#define X(id, name, letter, value, help) [FLAG_##id] = { #name, letter, value, help },
  FLAG_LIST(X)
#undef X
};

static void add_value(struct args *a, enum flag_id f, const char *value)
{
  a->values = xrealloc(a->values, (size_t)(a->nvalues + 1) * sizeof *a->values);
  a->values[a->nvalues++] = (struct arg_value){ f, value };
}

static enum flag_id find_long(const char *name, size_t n)
{
  for (int f = 0; f < FLAG_COUNT; f++)
    if (!strncmp(args_flags[f].name, name, n) && !args_flags[f].name[n])
      return (enum flag_id)f;
  return FLAG_COUNT;
}

static enum flag_id find_letter(char c)
{
  for (int f = 0; f < FLAG_COUNT; f++)
    if (args_flags[f].letter == c)
      return (enum flag_id)f;
  return FLAG_COUNT;
}

static void say_unknown(const char *word, size_t n, struct buf *why)
{
  const char *names[FLAG_COUNT], *near;
  char *name = xstrndup(word, n);

  for (int f = 0; f < FLAG_COUNT; f++)
    names[f] = args_flags[f].name;
  near = args_nearest(name, names, FLAG_COUNT);
  buf_addf(why, "there is no flag --%s", name);
  if (near)
    buf_addf(why, " (did you mean --%s?)", near);
  free(name);
}

static bool parse_long(struct args *a, const char *word, const char *next, bool *took, struct buf *why)
{
  size_t n = strcspn(word, "=");
  enum flag_id f = find_long(word, n);
  const char *value = word[n] ? word + n + 1 : NULL;

  if (f == FLAG_COUNT) {
    say_unknown(word, n, why);
    return false;
  }
  if (value && !args_flags[f].value) {
    buf_addf(why, "--%s takes no value", args_flags[f].name);
    return false;
  }
  if (!value && args_flags[f].value) {
    *took = true;
    value = next;
  }
  if (args_flags[f].value && !value) {
    buf_addf(why, "--%s needs a value: --%s %s", args_flags[f].name, args_flags[f].name, args_flags[f].value);
    return false;
  }
  add_value(a, f, value ? value : "");
  return true;
}

/* letters: "wf", "bmain", "b" with its value next. */
static bool parse_letters(struct args *a, const char *letters, const char *next, bool *took, struct buf *why)
{
  for (; *letters; letters++) {
    enum flag_id f = find_letter(*letters);
    if (f == FLAG_COUNT) {
      buf_addf(why, "there is no flag -%c", *letters);
      return false;
    }
    if (!args_flags[f].value) {
      add_value(a, f, "");
      continue;
    }
    if (!letters[1] && !next) {
      buf_addf(why, "-%c needs a value: -%c %s", *letters, *letters, args_flags[f].value);
      return false;
    }
    *took = !letters[1];
    add_value(a, f, letters[1] ? letters + 1 : next);
    return true;
  }
  return true;
}

bool args_parse(struct args *a, int argc, char **argv, struct buf *why)
{
  bool flags = true;

  memset(a, 0, sizeof *a);
  a->words = xcalloc((size_t)argc + 1, sizeof *a->words);
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
    bool took = false, ok = true;

    if (flags && !strcmp(word, "--"))
      flags = false;
    else if (flags && str_starts(word, "--"))
      ok = parse_long(a, word + 2, next, &took, why);
    else if (flags && word[0] == '-' && word[1])
      ok = parse_letters(a, word + 1, next, &took, why);
    else
      a->words[a->nwords++] = word;
    if (!ok)
      return false;
    i += took;
  }
  return true;
}

void args_free(struct args *a)
{
  free(a->words);
  free(a->values);
  memset(a, 0, sizeof *a);
}

bool args_has(const struct args *a, enum flag_id f)
{
  return args_value(a, f) != NULL;
}

const char *args_value(const struct args *a, enum flag_id f)
{
  for (int i = a->nvalues; i-- > 0;)
    if (a->values[i].flag == f)
      return a->values[i].value;
  return NULL;
}

const char *args_each(const struct args *a, enum flag_id f, int *at)
{
  while (*at < a->nvalues) {
    const struct arg_value *v = &a->values[(*at)++];
    if (v->flag == f)
      return v->value;
  }
  return NULL;
}

enum flag_id args_stranger(const struct args *a, uint64_t allowed)
{
  for (int i = 0; i < a->nvalues; i++)
    if (!(allowed >> a->values[i].flag & 1))
      return a->values[i].flag;
  return FLAG_COUNT;
}

const char *args_nearest(const char *word, const char *const *names, int n)
{
  const char *best = NULL;
  unsigned least = 3;

  if (strlen(word) < 3)
    least = 2;
  for (int i = 0; i < n; i++) {
    unsigned d = str_distance(word, names[i]);
    if (d < least) {
      least = d;
      best = names[i];
    }
  }
  return best;
}
