/* Telling the service manager how far we are: sd_notify(3)'s protocol, without its library (the worker is static).
   Without NOTIFY_SOCKET in the environment, every call does nothing. */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H
#include "common/mem.h"

/* Takes NOTIFY_SOCKET out of the environment: call once, at the start, before anything is started that could inherit it. */
void notify_init(void);
/* "READY=1", "STATUS=…", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1"; several lines are allowed. Never blocks; what can't be delivered is dropped. */
void notify_send(const char *fmt, ...) printf_like(1, 2);
/* NOTIFY_SOCKET as it was at notify_init, for a program that this one becomes; NULL: nobody listens. */
const char *notify_socket(void);
#endif
