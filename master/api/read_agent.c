/* The log of a worker's agent, as it tells it now, through whichever master has its session (workers/questions.h). */
#include "master/api/handlers.h"

#include <string.h>

#include "common/str.h"
#include "master/workers/questions.h"

/* False: answered. */
static bool lines_get(struct call *c, cJSON *args)
{
  const char *text = call_query(c, "lines");
  int64_t lines;

  if (!text)
    return true;
  if (!str_number(text, strlen(text), &lines) && lines >= 1 && lines <= QUESTION_LINES_MAX)
    return cJSON_AddNumberToObject(args, "lines", (double)lines);
  call_error(c, 400, "bad_request", NULL, "\"lines\" wants a number from 1 to %d", QUESTION_LINES_MAX);
  return false;
}

static void told(int status, const char *body, void *arg)
{
  struct call *c = arg;

  if (call_release(c))
    call_body_text(c, status, "application/json", body);
}

void read_agent_log(struct call *c)
{
  cJSON *args = cJSON_CreateObject();

  if (lines_get(c, args)) {
    call_hold(c);
    question_ask(call_master(c), QUESTION_LOG, call_arg(c, 0), args, told, c);
  }
  cJSON_Delete(args);
}
