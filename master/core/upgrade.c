#include "master/core/verbs.h"
int verb_upgrade_db(const struct verb_args *a)
{
  (void)a;
  return verb_error(VERB_FAILED, "not yet");
}
