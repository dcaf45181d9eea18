/* What has occurred over all seeds: each move and fault, each state, result and reason, each statement. A seed's size and chances may change, and what they reach with them; what must not be lost by that is in `must`, and a run
   of many seeds in which one of it never occurs fails. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "master/db/db_int.h"
#include "tests/model/model.h"

struct count {
  char *what;
  int64_t n;
};

static struct map *all; /* what → struct count */
static struct count *statements[SQL_COUNT], *rows[SQL_COUNT]; /* how often sent; how often it gave or changed some */

static const char *const must[] = {
#define T(what) what,
#include "tests/model/tally.def"
#undef T
};

static struct count *count_of(const char *what)
{
  struct count *c;

  if (!all)
    all = map_new();
  c = map_get(all, what);
  if (!c) {
    c = xcalloc(1, sizeof *c);
    c->what = xstrdup(what);
    (void)map_set(all, c->what, c);
  }
  return c;
}

void tally_add(const char *what, int64_t n)
{
  count_of(what)->n += n;
}

void tally(const char *what)
{
  tally_add(what, 1);
}

bool tally_of(bool is, const char *yes, const char *no)
{
  tally(is ? yes : no);
  return is;
}

void tally_tx(const struct db_tx *tx)
{
  for (int i = 0; i < tx->count; i++) {
    enum sql s = tx->stmts[i].s;
    char name[80];
    if (tx->stmts[i].text)
      continue;
    snprintf(name, sizeof name, "statement: %s", sql_name(s));
    if (!statements[s]) {
      statements[s] = count_of(name);
      snprintf(name, sizeof name, "rows: %s", sql_name(s));
      rows[s] = count_of(name);
    }
    statements[s]->n++;
    rows[s]->n += !tx->err && (PQntuples(tx->results[i]) || strtol(PQcmdTuples(tx->results[i]), NULL, 10) > 0);
    if (tx->err == ERR_FAILED && tx->failed == i) {
      snprintf(name, sizeof name, "refused: %s, %s", sql_name(s), tx->sqlstate);
      tally(name);
    }
  }
}

static int by_name(const void *a, const void *b)
{
  return strcmp((*(struct count *const *)a)->what, (*(struct count *const *)b)->what);
}

void tally_print(void)
{
  struct count **list = xcalloc(map_count(all) + 1, sizeof *list), *c;
  size_t at = 0, n = 0;

  while ((c = map_next(all, &at)))
    list[n++] = c;
  qsort(list, n, sizeof *list, by_name);
  for (size_t i = 0; i < n; i++)
    fprintf(stderr, "%10" PRId64 "  %s\n", list[i]->n, list[i]->what);
  free(list);
}

int tally_missing(void)
{
  int n = 0;

  for (size_t i = 0; i < COUNT(must); i++)
    if (!count_of(must[i])->n) {
      fprintf(stderr, "in no seed has it occurred: %s\n", must[i]);
      n++;
    }
  return n;
}

void tally_free(void)
{
  struct count *c;
  size_t at = 0;

  while (all && (c = map_next(all, &at))) {
    free(c->what);
    free(c);
  }
  map_free(all);
  all = NULL;
  memset(statements, 0, sizeof statements);
  memset(rows, 0, sizeof rows);
}
