/* Requests that are left out of the looks for a moment. */
#include "master/dispatch/aside.h"

#include <inttypes.h>

#include "common/buf.h"

static struct aside_one *find(struct aside *a, int64_t request)
{
  for (int i = 0; i < a->n; i++)
    if (a->v[i].request == request)
      return &a->v[i];
  return NULL;
}

/* A place for one more. */
static struct aside_one *place(struct aside *a)
{
  struct aside_one *first = a->v;

  if (a->n < ASIDE_MAX)
    return &a->v[a->n++];
  for (int i = 1; i < a->n; i++)
    if (a->v[i].until_ms < first->until_ms)
      first = &a->v[i];
  return first;
}

void aside_put(struct aside *a, int64_t request, int64_t now_ms)
{
  struct aside_one *it = find(a, request);

  if (!it) {
    it = place(a);
    *it = (struct aside_one){ .request = request, .lasts_ms = ASIDE_FIRST_MS / 2 };
  }
  it->lasts_ms = it->lasts_ms * 2 < ASIDE_MOST_MS ? it->lasts_ms * 2 : ASIDE_MOST_MS;
  it->until_ms = now_ms + it->lasts_ms;
}

char *aside_text(struct aside *a, int64_t now_ms)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "{");
  for (int i = 0; i < a->n; i++) {
    while (i < a->n && a->v[i].until_ms + a->v[i].lasts_ms <= now_ms)
      a->v[i] = a->v[--a->n];
    if (i < a->n && a->v[i].until_ms > now_ms)
      buf_addf(&b, "%s%" PRId64, b.len > 1 ? "," : "", a->v[i].request);
  }
  buf_adds(&b, "}");
  return buf_take(&b);
}

int64_t aside_left_ms(const struct aside *a, int64_t now_ms)
{
  int64_t left = -1;

  for (int i = 0; i < a->n; i++)
    if (a->v[i].until_ms > now_ms && (left < 0 || a->v[i].until_ms - now_ms < left))
      left = a->v[i].until_ms - now_ms;
  return left;
}
