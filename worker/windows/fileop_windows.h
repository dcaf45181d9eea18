#ifndef WORKER_WINDOWS_FILEOP_H
#define WORKER_WINDOWS_FILEOP_H
/* How the agent starts this program for a file operation: FILEOP_WORD verb a b work, the blob as standard input. */
#define FILEOP_WORD "--fileop"
int fileop_here(int argc, char **argv);
#endif
