/* The worker as a service of Windows: its own words of the command line (`--help` of main.c does not know them). */
#ifndef WORKER_WINDOWS_SERVICE_H
#define WORKER_WINDOWS_SERVICE_H
#include <stdbool.h>

#include "worker/conf.h"

#define SERVICE_INSTALL "--install-service"     /* NAME and the options that it is to have from then on */
#define SERVICE_UNINSTALL "--uninstall-service" /* NAME */
#define SERVICE_RUN "--service"                 /* NAME and options: as the service manager starts it */

/* argv[1] is one of them; the program's exit code. */
bool service_knows(const char *word);
int service_main(int argc, char **argv);
/* In agent_main(), with settings that are good: true: they are not to be run with but installed, which was done; *code: of the program. */
bool service_takes(const struct conf *c, const struct conf_given *given, int *code);
/* The agent's loop begins. */
void service_running(void);
#endif
