/* A change of the past, decided again by another pipeline: what would be built, and how that differs from what was. Pure. */
#ifndef MASTER_SCHEDULERS_TRIAL_H
#define MASTER_SCHEDULERS_TRIAL_H
#include "master/schedulers/decide.h"

/* p: NULL where there is none for the change. verdicts: what its schedulers said then, [{scheduler, verdict, rule}]. built: names of the builders that ran for it, unless somebody asked for them
   by hand. along: codebases of all changes that were built together with it (after a quiet time), and of its own. An object:
     verdicts  [{scheduler, verdict (builds, waits, no), rule, why, stable (ms), supersede, builders, then}], then: the verdict at that time, or null
     would, did, added, dropped  names of builders: would and did as a whole, and what is in the one only
   What only the moment decided (a newer change was faster, somebody had disabled the scheduler, an unimportant change joined a quiet time, what others need was there, all ended well so that
   another scheduler followed) counts as it was then. */
cJSON *trial_change(const struct pipeline *p, const struct decide_change *c, const cJSON *verdicts, const cJSON *built, const cJSON *along) must_check;
#endif
