/* Reading the API's JSON: whatever is missing or of another kind reads as nothing. All pointers belong to the JSON. */
#ifndef MASTER_CLI_JS_H
#define MASTER_CLI_JS_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

/* Where a path is taken, it is a member's name, or several by dots: "listen.api". */
const cJSON *js_get(const cJSON *o, const char *path);
const char *js_text(const cJSON *o, const char *path);            /* "" where there is none */
int64_t js_num(const cJSON *o, const char *path);                 /* 0 where there is none */
bool js_true(const cJSON *o, const char *path);
bool js_has(const cJSON *o, const char *path);                    /* there, and not null */
int js_result(const cJSON *o);                                    /* member "result"; FMT_NO_RESULT for null */
bool js_done(const cJSON *o);                                     /* member "state" is "done" */
int64_t js_duration(const cJSON *o, int64_t now_ms);              /* "duration", or since "started" while it runs; -1: not started */
/* A text, or a number in decimal; nothing for anything else. */
void js_add(const cJSON *o, const char *path, struct buf *out);
/* The array's texts (numbers in decimal), joined. */
void js_join(const cJSON *o, const char *path, const char *between, struct buf *out);
#endif
