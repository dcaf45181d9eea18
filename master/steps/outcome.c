/* Results into builds: flags, exit statuses, tries (docs/rules.md 4.4). */
#include "master/steps/outcome.h"

static enum result effect(enum pipe_effect e, enum result as_it_is)
{
  switch (e) {
  case PIPE_FAILS: return RESULT_FAILURE;
  case PIPE_WARNS: return RESULT_WARNINGS;
  case PIPE_IGNORED: return RESULT_SUCCESS;
  default: return as_it_is;
  }
}

enum result outcome_for_build(const struct pipe_step *def, enum result result)
{
  if (result == RESULT_FAILURE)
    return effect(def->on_failure, result);
  if (result == RESULT_WARNINGS)
    return effect(def->on_warnings, result);
  return result;
}

enum outcome_rest outcome_rest(const struct pipe_step *def, enum result result, bool lost)
{
  if (lost)
    return OUTCOME_NONE;
  switch (result) {
  case RESULT_FAILURE: return def->goes_on ? OUTCOME_ALL : OUTCOME_ALWAYS;
  case RESULT_EXCEPTION:
  case RESULT_RETRY:
  case RESULT_CANCELLED: return OUTCOME_ALWAYS;
  default: return OUTCOME_ALL;
  }
}

bool outcome_runs(const struct pipe_step *def, enum outcome_rest rest)
{
  return rest == OUTCOME_ALL || (rest == OUTCOME_ALWAYS && def->always);
}

bool outcome_told(const struct pipe_step *def, enum result result)
{
  switch (result) {
  case RESULT_SUCCESS:
  case RESULT_SKIPPED: return false;
  case RESULT_FAILURE: return !def->goes_on || def->on_failure != PIPE_IGNORED;
  case RESULT_WARNINGS: return def->on_warnings != PIPE_IGNORED;
  default: return true;
  }
}

bool outcome_again(const struct pipe_retry *retry, int tries, enum result so, bool exited, int code)
{
  if (tries >= retry->times)
    return false;
  if (!retry->ncodes)
    return so == RESULT_FAILURE;
  for (int i = 0; exited && i < retry->ncodes; i++)
    if (retry->codes[i] == code)
      return true;
  return false;
}

enum outcome_next outcome_of_lost(int on_lost, int attempts)
{
  if (on_lost == PIPE_LOST_ASK)
    return OUTCOME_ASK;
  if (on_lost == PIPE_LOST_FAIL)
    return OUTCOME_OVER;
  return attempts < (on_lost == PIPE_LOST_USUAL ? STEP_ATTEMPTS_MAX : on_lost) ? OUTCOME_AGAIN : OUTCOME_OVER;
}

enum result outcome_of_exit(const struct pipe_step *def, int code)
{
  for (int i = 0; i < def->nexits; i++)
    if (def->exits[i].code == code)
      return (enum result)def->exits[i].result;
  return code ? RESULT_FAILURE : RESULT_SUCCESS;
}
