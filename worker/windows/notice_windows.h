/* An event in place of the FIFO `wake`: it says that something is new, not what. */
#ifndef WORKER_WINDOWS_NOTICE_H
#define WORKER_WINDOWS_NOTICE_H
#include "common/mem.h"

/* In the agent; `instance` is a word that nobody can guess. The number that minders are given for it, or -1. Minders of an agent before this one have the same. */
int notice_open(const char *instance);
void *notice_event(void); /* the handle; NULL: there is none */
#endif
