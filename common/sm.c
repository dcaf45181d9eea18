/* State machines with a table of allowed moves. */
#include "common/sm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void sm_init(struct sm *m, const char *what, const struct sm_row *rows, int count, int state)
{
  assert(count > 0 && count <= 64 && state >= 0 && state < count);
  *m = (struct sm){ what, rows, count, state };
}

bool sm_may(const struct sm *m, int next)
{
  return next >= 0 && next < m->count && (m->rows[m->state].next & SM_TO(next));
}

void sm_move(struct sm *m, int next)
{
  if (!sm_may(m, next)) {
    log_error("sm", "%s: no move from %s to %s", m->what, sm_name(m),
              next >= 0 && next < m->count ? m->rows[next].name : "?");
    abort();
  }
  log_debug("sm", "%s: %s -> %s", m->what, sm_name(m), m->rows[next].name);
  m->state = next;
}

const char *sm_name(const struct sm *m) { return m->rows[m->state].name; }

int sm_find(const struct sm_row *rows, int count, const char *name)
{
  for (int i = 0; i < count; i++)
    if (rows[i].name && !strcmp(rows[i].name, name))
      return i;
  return -1;
}
