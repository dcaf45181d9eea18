/* The table of statements: names and texts from the .def files. */
#include "master/db/db.h"

#include <assert.h>

static const struct {
  const char *name, *text;
} table[SQL_COUNT + 1] = {
#define S(name, text) { #name, text },
#include "master/db/sql_cluster.def"
#include "master/db/sql_world.def"
#include "master/db/sql_build.def"
#include "master/db/sql_lock.def"
#include "master/db/sql_log.def"
#include "master/db/sql_work.def"
#include "master/db/sql_sched.def"
#include "master/db/sql_api.def"
#undef S
};

const char *sql_name(enum sql s)
{
  assert((unsigned)s < SQL_COUNT);
  return table[s].name;
}

const char *sql_text(enum sql s)
{
  assert((unsigned)s < SQL_COUNT);
  return table[s].text;
}
