/* What the API answers where it says no. */
#include "master/core/refusal.h"

#include <stdlib.h>

cJSON *refusal_v(const char *code, const char *help, const char *fmt, va_list ap)
{
  cJSON *body = cJSON_CreateObject(), *error = cJSON_AddObjectToObject(body, "error");
  char *text = xvasprintf(fmt, ap);

  cJSON_AddStringToObject(error, "code", code);
  cJSON_AddStringToObject(error, "message", text);
  if (help)
    cJSON_AddStringToObject(error, "help", help);
  free(text);
  return body;
}

cJSON *refusal(const char *code, const char *help, const char *fmt, ...)
{
  cJSON *body;
  va_list ap;

  va_start(ap, fmt);
  body = refusal_v(code, help, fmt, ap);
  va_end(ap);
  return body;
}
