/* Memory of the worker's processes: what a process that dies leaves is given back, and no process takes more than it may. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"
#include "tests/sim/sys.h"

struct head {
  struct list node;
  size_t n;
  struct proc *of;
};
_Static_assert(sizeof(struct head) % 16 == 0, "what lies behind it is aligned");

static void count(struct proc *p, size_t more, size_t less)
{
  p->heap_bytes += more - less;
  if (p->heap_bytes > p->heap_most)
    p->heap_most = p->heap_bytes;
  if (p->heap_bytes > SIM_HEAP_MAX)
    model_bad("a process of the worker takes %zu bytes", p->heap_bytes);
}

void *sys_malloc(size_t n)
{
  struct head *h = malloc(sizeof *h + n);

  if (!h)
    abort();
  *h = (struct head){ .n = n, .of = self };
  list_push(&self->heap, &h->node);
  count(self, n, 0);
  return h + 1;
}

void *sys_calloc(size_t count_of, size_t size)
{
  void *p = sys_malloc(count_of * size);

  memset(p, 0, count_of * size);
  return p;
}

void sys_free(void *p)
{
  struct head *h = p;

  if (!p)
    return;
  h--;
  if (h->of != self)
    model_bad("a process frees what is not its own");
  list_remove(&h->node);
  count(h->of, 0, h->n);
  free(h);
}

void *sys_realloc(void *p, size_t n)
{
  struct head *h = p;
  size_t old;

  if (!p)
    return sys_malloc(n);
  h--;
  old = h->n;
  list_remove(&h->node);
  h = realloc(h, sizeof *h + n);
  if (!h)
    abort();
  h->n = n;
  list_push(&self->heap, &h->node);
  count(self, n, old);
  return h + 1;
}

static void *z_take(void *opaque, unsigned items, unsigned size) { return (void)opaque, sys_malloc((size_t)items * size); }
static void z_give(void *opaque, void *p) { (void)opaque, sys_free(p); }

int sys_deflateInit2_(z_stream *z, int level, int method, int bits, int mem, int strategy, const char *version, int size)
{
  z->zalloc = z_take;
  z->zfree = z_give;
  return deflateInit2_(z, level, method, bits, mem, strategy, version, size);
}

/* One for all processes: nothing of it is kept from one call to the next. */
int sys_inflateInit2_(z_stream *z, int bits, const char *version, int size)
{
  return inflateInit2_(z, bits, version, size);
}
