/* `drover-worker install` and `uninstall`: this host as a worker, from a token to the master's answer. */
#ifndef WORKER_INSTALL_H
#define WORKER_INSTALL_H

enum install_exit {
  INSTALL_OK = 0,
  INSTALL_FAILED = 1,    /* something could not be written or started */
  INSTALL_USAGE = 2,     /* wrong usage or token; another master's worker.conf is there */
  INSTALL_IN_USE = 3,    /* a drover-worker that is not the service's runs on the state folder */
  INSTALL_REFUSED = 4,   /* all is set up, but the master refuses this worker, or is not the token's */
  INSTALL_NO_ANSWER = 5, /* all is set up, but the master was not reached in time */
};

/* argv[0] is the verb. Both return the program's exit code. */
int install_main(int argc, char **argv);
int uninstall_main(int argc, char **argv);
#endif
