/* Hash map with open addressing. Number keys are kept as 8-byte strings, so there is one code path. */
#include "common/map.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

struct slot {
  char *key; /* NULL: free */
  uint32_t klen, hash;
  void *value; /* NULL with a key: removed, kept so that probing goes on */
};

struct map {
  struct slot *slots;
  size_t cap, used, live; /* cap 0: nothing was ever set, many maps stay so */
  uint64_t seed; /* random, so that nobody outside can choose keys that collide */
};

enum { MAP_FIRST = 16 };

struct map *map_new(void)
{
  static uint64_t first, made; /* the system is asked once: a configuration makes thousands of small maps */
  struct map *m = xcalloc(1, sizeof *m);

  if (!made++)
    str_random(&first, sizeof first);
  m->seed = first + made * UINT64_C(0x9e3779b97f4a7c15);
  return m;
}

void map_free(struct map *m)
{
  if (!m)
    return;
  for (size_t i = 0; i < m->cap; i++)
    free(m->slots[i].key);
  free(m->slots);
  free(m);
}

static uint32_t hash_of(const struct map *m, const void *key, size_t n)
{
  const unsigned char *p = key;
  uint64_t h = m->seed ^ 0xcbf29ce484222325u;

  while (n--)
    h = (h ^ *p++) * 0x100000001b3u;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93u;
  return (uint32_t)(h >> 32);
}

static struct slot *find(const struct map *m, const void *key, size_t n, uint32_t hash)
{
  for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
    struct slot *s = &m->slots[i];
    if (!s->key || (s->hash == hash && s->klen == n && !memcmp(s->key, key, n)))
      return s;
  }
}

static void rehash(struct map *m)
{
  struct slot *old = m->slots;
  size_t n = m->cap;

  if (m->live * 2 >= m->cap)
    m->cap *= 2;
  m->slots = xcalloc(m->cap, sizeof *m->slots);
  m->used = m->live;
  for (size_t i = 0; i < n; i++) {
    if (!old[i].key)
      continue;
    if (old[i].value)
      *find(m, old[i].key, old[i].klen, old[i].hash) = old[i];
    else
      free(old[i].key);
  }
  free(old);
}

static void *set(struct map *m, const void *key, size_t n, void *v)
{
  uint32_t hash = hash_of(m, key, n);
  struct slot *s;
  void *was;

  if (!m->cap) {
    if (!v)
      return NULL;
    m->cap = MAP_FIRST;
    m->slots = xcalloc(m->cap, sizeof *m->slots);
  }
  s = find(m, key, n, hash);
  was = s->value;

  if (!s->key) {
    if (!v)
      return NULL;
    if ((m->used + 1) * 4 > m->cap * 3) {
      rehash(m);
      s = find(m, key, n, hash);
    }
    s->key = xstrndup(key, n);
    s->klen = (uint32_t)n;
    s->hash = hash;
    m->used++;
  }
  s->value = v;
  m->live += (v != NULL);
  m->live -= (was != NULL);
  return was;
}

void *map_get(const struct map *m, const char *key)
{
  size_t n = strlen(key);
  return !m->cap ? NULL : find(m, key, n, hash_of(m, key, n))->value;
}

void *map_set(struct map *m, const char *key, void *v) { return set(m, key, strlen(key), v); }

void *map_get_n(const struct map *m, uint64_t key)
{
  return !m->cap ? NULL : find(m, &key, sizeof key, hash_of(m, &key, sizeof key))->value;
}

void *map_set_n(struct map *m, uint64_t key, void *v) { return set(m, &key, sizeof key, v); }

size_t map_count(const struct map *m) { return m->live; }

void *map_next(const struct map *m, size_t *at)
{
  while (*at < m->cap) {
    struct slot *s = &m->slots[(*at)++];
    if (s->key && s->value)
      return s->value;
  }
  return NULL;
}
