/* Between command.c (its life, and what the master says of it) and command_send.c (what is sent). */
#ifndef WORKER_COMMAND_INT_H
#define WORKER_COMMAND_INT_H
#include "worker/command.h"

void command_close_logs(struct command *c);
/* Nothing of it is sent until it is asked for again. */
void command_stop_sending(struct command *c);
/* What was sent on this link reaches so far. */
void command_note_sent(struct command_stream *s);
/* How long a stream is, as the result tells. */
int64_t command_stream_len(const struct spool_exit *x, int stream);
#endif
