/* The heap, and how it is filled from a folder. */
#include "worker/fileop_page.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

static void swap(char **a, char **b)
{
  char *t = *a;
  *a = *b;
  *b = t;
}

static void rise(struct page *p, size_t i)
{
  while (i && strcmp(p->name[i], p->name[(i - 1) / 2]) > 0) {
    swap(&p->name[i], &p->name[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
}

static void sink(struct page *p)
{
  for (size_t i = 0, child; (child = 2 * i + 1) < p->n; i = child) {
    child += child + 1 < p->n && strcmp(p->name[child + 1], p->name[child]) > 0;
    if (strcmp(p->name[i], p->name[child]) >= 0)
      return;
    swap(&p->name[i], &p->name[child]);
  }
}

void page_offer(struct page *p, const char *name)
{
  if (p->n < p->max) {
    p->name[p->n] = xstrdup(name);
    rise(p, p->n++);
    return;
  }
  p->more = true;
  if (strcmp(name, p->name[0]) >= 0)
    return;
  free(p->name[0]);
  p->name[0] = xstrdup(name);
  sink(p);
}

static int by_bytes(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

void page_sort(struct page *p)
{
  qsort(p->name, p->n, sizeof *p->name, by_bytes);
}

struct page page_new(size_t max)
{
  return (struct page){ .max = max, .name = xcalloc(max, sizeof(char *)) };
}

void page_free(struct page *p)
{
  for (size_t i = 0; i < p->n; i++)
    free(p->name[i]);
  free(p->name);
}

int page_collect(struct page *p, int dir, const char *after)
{
  int copy = dup(dir);
  DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
  struct dirent *e;

  if (!d)
    return -1;
  for (errno = 0; (e = readdir(d)); errno = 0)
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && (!after || strcmp(e->d_name, after) > 0))
      page_offer(p, e->d_name);
  if (errno) {
    int number = errno;
    closedir(d);
    errno = number;
    return -1;
  }
  closedir(d);
  page_sort(p);
  return 0;
}
