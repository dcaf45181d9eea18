/* One request to the API: answer as JSON, errors told in the master's own words. */
#ifndef MASTER_CLI_CALL_H
#define MASTER_CLI_CALL_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"
#include "master/cli/ids.h"

#define CALL_TEXT_MAX (256u << 20) /* of an answer */
#define CALL_TIMEOUT_MS 30000

enum call_result {
  CALL_OK,
  CALL_AWAY,   /* the master, or its database, can't be reached now; c->text is not set, call_why() says what */
  CALL_ERROR,  /* anything else: call_report() tells it */
};

/* path: with /api/v1. body: NULL or an object, borrowed. *answer: the caller deletes it; NULL unless CALL_OK. Nothing is printed. */
enum call_result call_try(struct cli *c, const char *method, const char *path, const cJSON *body, cJSON **answer) must_check;
/* Tells what went wrong in the last call_try, sets and returns c->code. */
int call_report(struct cli *c);
const char *call_why(struct cli *c); /* one sentence about it */
const char *call_code(struct cli *c); /* what kind of refusal it is (docs/api.md); "" for none */
const char *call_help(struct cli *c); /* what the master says about what to do; "" for nothing */
int call_status(const struct cli *c); /* HTTP's; 0: there was no answer */

/* The same with the report made: NULL and c->code where it failed. */
cJSON *call_get(struct cli *c, const char *path) must_check;
cJSON *call_send(struct cli *c, const char *method, const char *path, const cJSON *body) must_check;
/* What is left of a command once it has its answer, which is taken over (NULL: told): with --json as it came, else show tells people. name: for show. The command's exit code. */
typedef void call_shown(struct cli *c, const cJSON *answer, const char *name);
int call_show(struct cli *c, cJSON *answer, call_shown *show, const char *name);

/* The build that an id means (a build or step; a request: its newest build; "last": the newest). */
cJSON *call_build(struct cli *c, const struct cli_id *id) must_check;
/* "project/builder" for a name with a project (as it is) or without (by asking for the builders); NULL: told. The caller frees it. */
char *call_builder(struct cli *c, const char *name) must_check;
/* The builder of that name from the list; NULL where there is none (nothing told, c->code is 0) or the call failed (told). */
cJSON *call_find_builder(struct cli *c, const char *name) must_check;
#endif
