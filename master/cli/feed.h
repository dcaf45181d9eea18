/* The event stream (GET /api/v1/events), as a hint when to look again, and for who wants to see it. It survives lost connections by Last-Event-ID; events are never acted upon, only the objects read
   after them. */
#ifndef MASTER_CLI_FEED_H
#define MASTER_CLI_FEED_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define FEED_LOOK_MS 5000 /* look at least so often, events or not */

struct cli;
struct feed;

struct feed *feed_new(struct cli *c) must_check;
void feed_free(struct feed *f);
/* An id whose events matter: of a request or buildset, or a builder with '/' behind it. */
void feed_want(struct feed *f, const char *id);
/* From the event behind that number on each event is told, too, as it was sent: {number, at, type, object, body}. Before the first feed_wait(). */
void feed_tell(struct feed *f, int64_t after, void (*told)(void *arg, const cJSON *event), void *arg);
/* Reads what is there without waiting; a lost connection is noted, no more. */
void feed_drain(struct feed *f);
int feed_fd(const struct feed *f); /* -1: not connected */
/* Waits until something may have changed that matters: an event, or most_ms. Connects again where needed. False: given up (told,
   c->code is set). */
bool feed_wait(struct feed *f, int64_t most_ms) must_check;
#endif
