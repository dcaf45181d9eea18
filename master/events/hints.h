/* Hints between masters on one database: what one of them committed, the others look at now and not only after the second or two at which they look in any case (`look` of the site). A hint has no
   meaning beyond that: rows are the truth, every hint may be lost, come late or twice, or be made up by whoever may speak to the database.

   A hint is NOTIFY on one channel, "MASTER LETTERS" (hints.def), sent after commits on a connection of the work and never as part of them: a NOTIFY lets commits wait for each other. It follows the
   statement that numbers events, of which there is one at a time, so that a burst of commits is one hint. */
#ifndef MASTER_EVENTS_HINTS_H
#define MASTER_EVENTS_HINTS_H
#include <stdint.h>

#include "common/mem.h"

struct db_tx;
struct master;
struct hints;

enum hint {
#define HINT(name, letter, type) HINT_##name,
#include "master/events/hints.def"
#undef HINT
  HINT_COUNT
};
/* The kind of an event of that type: the first whose word it begins with. Pure. */
enum hint hint_of(const char *type);
/* What a hint says: bits of kinds; 0: nothing, or it is this master's own. Letters that this version does not know are passed over. Pure. */
unsigned hints_read(const char *text, int64_t me);

/* Before the database is connected to. */
struct hints *hints_new(struct master *m) must_check;
void hints_free(struct hints *h);
/* As many other masters are alive; 0: nothing is said. */
void hints_others(struct hints *h, int n);
/* With the transaction that does it: only for what happens once in a master's life, since commits with a NOTIFY wait for each other. */
void hints_put(struct hints *h, struct db_tx *tx, enum hint what);
/* This has happened, and is committed. NULL h: nothing. */
void hints_say(struct hints *h, enum hint what);
#endif
