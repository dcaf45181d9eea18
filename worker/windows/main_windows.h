#ifndef WORKER_WINDOWS_MAIN_H
#define WORKER_WINDOWS_MAIN_H
/* main() of worker/main.c. */
int worker_main(int argc, char **argv);
/* The agent ends as soon as it can; its commands go on. From any thread. */
void agent_stop(void);
#define HELP_MORE \
  "       drover-worker --install-service NAME --dir DIR --join-file FILE [options]\n" \
  "                                             a service of Windows that is started with the system\n" \
  "       drover-worker --uninstall-service NAME\n"
#endif
