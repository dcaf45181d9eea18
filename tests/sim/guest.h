/* Between the worker's processes and what they run in. */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H
#include <stddef.h>

struct file;
struct host;
struct node;
struct proc;
int guest_agent(struct host *h);
int guest_minder(char **argv);
void guest_said(const char *text, size_t n);                              /* on stderr */
struct file *file_of(int fd);                                             /* of the process that runs; NULL: EBADF */
int file_open_node(struct proc *p, struct node *n, int flags);            /* takes the reference over */
struct node *folder_of(int dir, const char *path, const char **last);    /* NULL and errno; last: the name in it, "" for itself */
#endif
