/* Parameters of a scheduler that people set off (`force`): what a value may be, and from its text to a typed one. Pure. */
#ifndef MASTER_CONF_PARAMS_H
#define MASTER_CONF_PARAMS_H
#include <stdbool.h>

#include <cjson/cJSON.h>

#include "common/buf.h"

#define PARAMS_MAX 64              /* of one scheduler */
#define PARAM_CHOICES_MAX 100
#define PARAM_STRING_MAX 4096      /* bytes of a string */
#define PARAM_MATCHED_MAX 1024     /* of either with `match`: the library's worst patterns take a second for that */
#define PARAM_TEXT_MAX (64u << 10) /* bytes of a text */

enum param_type { PARAM_STRING, PARAM_TEXT, PARAM_INTEGER, PARAM_NUMBER, PARAM_BOOLEAN, PARAM_CHOICE, PARAM_TYPES };

struct param {
  const char *name;
  enum param_type type;
  const char *match;    /* string, text: an expression of pattern.h that is good; or NULL */
  char **choices;
  int nchoices;
  const char *fallback; /* NULL: it must be given */
};

const char *param_type_name(enum param_type t);
/* The value of text as JSON: a string, a number, true or false. False: why says what is wrong with it, in a sentence that names the parameter. */
bool param_read(const struct param *p, const char *text, struct buf *json, struct buf *why) must_check;
/* What is given (an object) as an object of typed values, with defaults. whose: "scheduler release", for the sentence. False: *why says what is wrong, *help (the caller frees it; may be NULL) what to do. */
bool params_read(const struct param *v, int n, const char *whose, const cJSON *given, struct buf *json, struct buf *why, char **help) must_check;
#endif
