/* From pending requests to builds: looks whenever something changed that could let one start. */
#ifndef MASTER_DISPATCH_DISPATCH_H
#define MASTER_DISPATCH_DISPATCH_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "common/str.h"

struct master;

#define DISPATCH_CLAIM_SLACK_MS 60000   /* a build may be claimed so long after its first command was made */
#define DISPATCH_WINDOW_SLACK_MS 120000 /* a worker ends a command alone so long before the window closes */

struct dispatch *dispatch_new(struct master *m) must_check;
void dispatch_free(struct dispatch *d);
/* A request came, a slot became free, a worker is ready … Looks soon, from the loop, once for many calls. */
void dispatch_kick(struct dispatch *d);
/* Somebody else was faster with something: look again in a moment. */
void dispatch_look_soon(struct dispatch *d);
struct lockbook;
/* Locks as this master saw them last. */
const struct lockbook *dispatch_locks(const struct master *m);
/* The same as dispatch_kick, after something was paused or resumed. */
void dispatch_pauses_changed(struct dispatch *d);
struct pauses;
/* What is paused as far as this master knows, at most some seconds old. */
const struct pauses *dispatch_pauses(const struct master *m);
/* Workers that back off, also those whose quarantine is over but has not been followed by a good build yet. */
const struct pauses *dispatch_quarantines(const struct master *m);
struct want_term;
/* A condition on workers, by its text; until the next look. */
const struct want_term *dispatch_want(struct master *m, const char *text);
/* Builds may have been cancelled in the database by whoever decided about changes, here or in another master: those on this master's workers are told to end. Looked for
   every few seconds too. */
void dispatch_cancelled(struct dispatch *d);
/* A build has ended badly: what was asked for with it is cancelled where the scheduler says fail_fast. Looked for every few seconds too. */
void dispatch_ended_badly(struct dispatch *d);
/* The claims of the last look are answered. failed: none of them holds; looks again a moment later, so that what keeps failing costs little. */
void dispatch_claimed(struct dispatch *d, bool failed);
/* The claim of this request is what made those of its transaction fail: the next looks are without it. NULL: nothing. */
void dispatch_put_aside(struct dispatch *d, int64_t request);
/* A run for this request exists (or not any more): don't claim it twice. */
void dispatch_forget_claim(struct dispatch *d, int64_t request);
/* m->conf has another window. A shorter one counts for builds that start from now on: commands of older ones were told to go on alone for as long as the old one allows, and there must never be two copies. */
void dispatch_window_changed(struct dispatch *d, int64_t old_ms);
int64_t dispatch_alone_ms(const struct master *m);
/* Ends a build that can't go on, as EXCEPTION. */
void dispatch_give_up(struct master *m, int64_t build, struct id epoch, const char *why);
#endif
