/* What the API answers where it says no: {"error": {"code", "message", "help"}} (docs/api.md). */
#ifndef MASTER_CORE_REFUSAL_H
#define MASTER_CORE_REFUSAL_H
#include <stdarg.h>

#include <cjson/cJSON.h>

#include "common/mem.h"

/* help: what to do; NULL: nobody can say. The caller deletes it. */
cJSON *refusal(const char *code, const char *help, const char *fmt, ...) printf_like(3, 4) must_check;
cJSON *refusal_v(const char *code, const char *help, const char *fmt, va_list ap) must_check;
#endif
