/* Diagnostics about a text: all of them at once, each with file:line:column, the line with a caret, and help. */
#ifndef MASTER_CONF_DIAG_H
#define MASTER_CONF_DIAG_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define DIAG_MAX 100          /* more are counted, not kept */
#define DIAG_SOURCE_MAX 200   /* bytes of a line that are shown */
#define DIAG_MESSAGE_MAX 500  /* bytes of a message or help; the rest is cut */

/* All strings are valid UTF-8 without control characters, whatever the text held. */
struct diag {
  char *file;
  int line, column; /* from 1, the column in characters; 0: about the file as a whole */
  char *message;    /* one sentence, what is wrong */
  char *help;       /* what to do, "did you mean …"; or NULL */
  char *source;     /* the line without its indentation, a long one cut to the part around the column; or NULL */
  int caret;        /* the column's place in source, in characters from 1; 0 where source is NULL */
};
struct diags {
  struct diag *v;
  int n, dropped; /* the same sentence about the same place is kept once and not counted again */
  const char *context; /* behind each message while it is set, "in template …"; or NULL. The caller's */
};

void diag_init(struct diags *d);
void diag_free(struct diags *d);
/* text: the whole source, for the line with the caret; may be NULL. help may be NULL. All is copied. */
void diag_add(struct diags *d, const char *file, const char *text, int line, int column, const char *help, const char *fmt, ...) printf_like(7, 8);
void diag_vadd(struct diags *d, const char *file, const char *text, int line, int column, const char *help, const char *fmt, va_list ap) printf_like(7, 0);
/* Moves all of `from` behind those of d. */
void diag_take(struct diags *d, struct diags *from);
/* How many errors there were: kept and dropped. */
int diag_count(const struct diags *d);
/* By place in the text; files stay in the order in which they came first. */
void diag_sort(struct diags *d);
/* As people see them:
     .drover.yml:4:3: unknown key "stepz" (did you mean "steps"?)
       stepz:
       ^
*/
void diag_print(const struct diags *d, struct buf *out);
#endif
