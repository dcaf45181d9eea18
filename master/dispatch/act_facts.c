/* drover worker facts: what a worker is like now, and which versions its tools have; asked of it through whichever master has its session (workers/questions.h), and kept in its row. */
#include "master/dispatch/actions_int.h"

#include "master/core/master.h"
#include "master/workers/questions.h"
#include "proto/wire.h"

static void told(int status, const char *body, void *arg)
{
  acting_done(arg, status, cJSON_Parse(body));
}

void act_worker_facts(struct acting *a, const cJSON *args)
{
  const cJSON *tools = cJSON_GetObjectItemCaseSensitive(args, "tools"), *it;
  int n = 0;

  cJSON_ArrayForEach(it, tools)
    if (++n > WIRE_TOOLS_MAX || !answer_is_tool(it)) {
      acting_fail(a, 400, "bad_request", "git, gcc, make", "tools want at most %d names of programs, without a path", WIRE_TOOLS_MAX);
      return;
    }
  question_ask(a->m, QUESTION_FACTS, a->id, args, told, a);
}
