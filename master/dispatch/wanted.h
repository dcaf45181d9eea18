/* What a request wants of a worker, out of its row: the one reader of that for all who ask which worker could take it. */
#ifndef MASTER_DISPATCH_WANTED_H
#define MASTER_DISPATCH_WANTED_H
#include "common/mem.h"
#include "master/dispatch/why.h"

struct db_res;
struct want_term;

struct wanted {
  struct why_of of;
  char **tags, **wants; /* what `of` points to */
};
/* Columns of a statement: text, text, text[], text[]. */
struct wanted_cols {
  int project, builder, tags, wants;
};
/* project and builder are borrowed of the row. wanted_free() frees what is within. */
void wanted_row(struct wanted *w, const struct db_res *res, int stmt, int row, struct wanted_cols cols);
/* The same where tags and conditions are JSON, as the API's statements have them; project and builder are borrowed. */
void wanted_json(struct wanted *w, const char *project, const char *builder, const char *tags, const char *wants);
void wanted_free(struct wanted *w);
/* Its conditions, made ready; of->nwants of them, good until the next look. free() the array. */
const struct want_term **wanted_terms(struct master *m, const struct why_of *of) must_check;
#endif
