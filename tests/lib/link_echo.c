/* A server of the worker link for tests and figures: greets everybody, echoes the blob of `done` in a `run`, counts `out`,
   answers `listed` with an ack of what it counted.

   link_echo [unix PATH]: prints "port N pin HEX" and serves until standard input ends; then prints how much memory it took at the most. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "master/workers/link.h"

struct echo {
  struct link_server *server;
  uv_pipe_t in;
  int64_t counted;
};

static char ignored[256];

static void on_msg(struct link *l, struct wire_msg *m)
{
  struct echo *e = link_server_ctx(link_server_of(l));

  switch (m->verb) {
  case VERB_hello:
    wire_put(link_out(l), VERB_welcome, "sssssss", "1", "1", "c", "1", "10000", "1800000", "-");
    link_trust(l);
    break;
  case VERB_done:
    wire_put_blob(link_out(l), VERB_run, m->blob, m->blob_len, "ssss", "1-1", "1", "1-1", "1");
    break;
  case VERB_out:
    e->counted += (int64_t)m->blob_len;
    break;
  case VERB_listed:
    wire_put(link_out(l), VERB_ack, "ssnn", "1-1", "0", e->counted, (int64_t)link_count(e->server));
    break;
  default:
    break;
  }
}

static void on_close(struct link *l, const char *why)
{
  (void)l, (void)why;
}

static void on_done(void *arg)
{
  struct echo *e = arg;
  uv_close((uv_handle_t *)&e->in, NULL);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
  (void)h, (void)n;
  *b = uv_buf_init(ignored, sizeof ignored);
}

static void on_in(uv_stream_t *in, ssize_t n, const uv_buf_t *b)
{
  struct echo *e = in->data;

  (void)b;
  if (n >= 0)
    return;
  uv_read_stop(in);
  link_server_close(e->server, on_done, e);
}

static int fail(const struct buf *why)
{
  fprintf(stderr, "link_echo: %s\n", buf_str(why));
  return 1;
}

int main(int argc, char **argv)
{
  static const struct link_ops ops = { on_msg, on_close };
  struct echo e = { 0 };
  char *key = link_key_make(), pin[65];
  struct rusage usage;
  struct rlimit files;
  uv_loop_t loop;
  struct buf why;
  int port;

  signal(SIGPIPE, SIG_IGN);
  log_set_level(LOG_ERROR);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  buf_init(&why, 1000);
  uv_loop_init(&loop);
  e.server = link_server_new(&loop, key, &ops, &e, &why);
  if (!e.server || link_key_pin(key, pin) != ERR_OK)
    return fail(&why);
  if (link_listen_tcp(e.server, "127.0.0.1:0", &port, &why) != ERR_OK)
    return fail(&why);
  if (argc == 3 && !strcmp(argv[1], "unix") && link_listen_unix(e.server, argv[2], &why) != ERR_OK)
    return fail(&why);
  uv_pipe_init(&loop, &e.in, 0);
  uv_pipe_open(&e.in, 0);
  e.in.data = &e;
  uv_read_start((uv_stream_t *)&e.in, on_alloc, on_in);
  printf("port %d pin %s\n", port, pin);
  fflush(stdout);
  uv_run(&loop, UV_RUN_DEFAULT);
  getrusage(RUSAGE_SELF, &usage);
  printf("closed %d rss %ld\n", uv_loop_close(&loop), usage.ru_maxrss);
  free(key);
  buf_free(&why);
  return 0;
}
