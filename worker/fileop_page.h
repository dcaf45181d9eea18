/* Names of a folder in the order of their bytes, up to so many: kept in a heap whose top is the largest, so that memory has a bound however many there are. */
#ifndef WORKER_FILEOP_PAGE_H
#define WORKER_FILEOP_PAGE_H
#include <stdbool.h>
#include <stddef.h>

struct page {
  char **name;   /* max places; n are taken */
  size_t n, max;
  bool more;     /* there are some behind the last */
};

struct page page_new(size_t max);
void page_free(struct page *p);
void page_offer(struct page *p, const char *name);
void page_sort(struct page *p);
/* All of the folder behind `after` (NULL: from the first on), sorted. 0, or -1 and errno. */
int page_collect(struct page *p, int dir, const char *after);
#endif
