/* Hash map from strings or 64-bit numbers to pointers. The map owns copies of string keys, never the values. */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H
#include <stdint.h>
#include <stddef.h>

struct map;

struct map *map_new(void);
void map_free(struct map *m);                              /* not the values */
void *map_get(const struct map *m, const char *key);       /* NULL: not there */
void *map_set(struct map *m, const char *key, void *v);    /* returns what was there; v NULL removes */
void *map_get_n(const struct map *m, uint64_t key);
void *map_set_n(struct map *m, uint64_t key, void *v);
size_t map_count(const struct map *m);
/* Walk: start with *at = 0; NULL at the end. The value just returned may be removed, nothing else changed. */
void *map_next(const struct map *m, size_t *at);
#endif
