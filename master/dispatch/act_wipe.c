/* Forgetting what people said, where it may have been a secret. */
#include <string.h>

#include "common/mem.h"
#include "master/dispatch/actions.h"

void act_wipe(cJSON *args)
{
  cJSON *it;

  if (cJSON_IsString(args))
    mem_wipe(args->valuestring, strlen(args->valuestring));
  cJSON_ArrayForEach(it, args)
    act_wipe(it);
}
