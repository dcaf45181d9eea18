/* Pipes as descriptors that can be waited for: a thread of its own reads or writes each. */
#ifndef WORKER_WINDOWS_STREAM_H
#define WORKER_WINDOWS_STREAM_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <wchar.h>

#define STREAM_ROOM 65536 /* bytes that wait here, at least */

/* Take the handle over. read() and write() never wait: EAGAIN. -1: too many. */
int stream_reader(void *pipe);
int stream_writer(void *pipe, size_t room); /* close() lets what was written go out first */
int stream_fifo(void *server); /* of a named pipe: whatever clients write, one after the other, without an end */
bool stream_is(int fd);
/* The handle of a process, closed with the stream: so long its number is nobody else's. */
void stream_hold(int fd, void *process);
/* Whoever wrote has ended: from now on read() waits a moment for what is still under way. */
void stream_last(int fd);
ssize_t stream_read(int fd, void *p, size_t n);
ssize_t stream_write(int fd, const void *p, size_t n);
int stream_close(int fd);
short stream_ready(int fd, short events); /* as poll() tells */

/* A file that mkfifoat() made: it holds the name of a named pipe, which is another one each time. For reading (O_RDWR): the server, as a stream, or (without O_CLOEXEC) a file that a minder is given and makes a stream of;
   for writing: a client, whose writes are whole or fail. ENXIO: nobody reads. */
int fifo_open(const wchar_t *path, int flags);
/* What was passed on, made a stream. */
int fifo_take(int fd);
#endif
