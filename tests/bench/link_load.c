/* Figures of the worker link: link_load LINK_ECHO [links]. Starts the server, prints handshakes a second, its memory for each
   idle link, and what comes in through one link.
   The clock is shared with whatever else runs; the server's processor time is not. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define HELLO "hello 1 w1 00000000000000000000000000000000 00000000000000000000000000000000 1 0-0 - +1200\n"

enum { CHUNK = 65536, MIB = 1024 };

struct server {
  pid_t pid;
  int port, stdin_fd;
};

struct conn {
  int fd;
  SSL *ssl;
};

static void die(const char *what)
{
  perror(what);
  exit(1);
}

static struct server serve(const char *program)
{
  struct server s;
  int in[2], out[2];
  char line[200];
  FILE *f;

  if (pipe(in) || pipe(out))
    die("pipe");
  s.pid = fork();
  if (s.pid < 0)
    die("fork");
  if (!s.pid) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    close(out[0]);
    execl(program, program, (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  f = fdopen(out[0], "r");
  if (!f || !fgets(line, sizeof line, f) || sscanf(line, "port %d", &s.port) != 1)
    die("server");
  s.stdin_fd = in[1];
  return s;
}

static long rss_kib(pid_t pid)
{
  char path[64];
  long size, rss = 0;
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
  f = fopen(path, "r");
  if (!f || fscanf(f, "%ld %ld", &size, &rss) != 2)
    die("statm");
  fclose(f);
  return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static double cpu_ms(pid_t pid)
{
  struct timespec t;
  clockid_t id;

  if (clock_getcpuclockid(pid, &id) || clock_gettime(id, &t))
    die("clock");
  return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static void put(struct conn *c, const void *p, size_t n)
{
  if (SSL_write(c->ssl, p, (int)n) != (int)n)
    die("write");
}

/* Reads until a line feed. */
static void answer(struct conn *c)
{
  char b;
  do
    if (SSL_read(c->ssl, &b, 1) != 1)
      die("read");
  while (b != '\n');
}

static struct conn dial(const struct server *s, SSL_CTX *ctx)
{
  struct sockaddr_in a = { .sin_family = AF_INET,
                           .sin_port = htons((uint16_t)s->port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  struct conn c = { socket(AF_INET, SOCK_STREAM, 0), SSL_new(ctx) };

  if (c.fd < 0 || connect(c.fd, (struct sockaddr *)&a, sizeof a))
    die("connect");
  setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
  SSL_set_fd(c.ssl, c.fd);
  if (SSL_connect(c.ssl) != 1)
    die("handshake");
  return c;
}

static void greet(struct conn *c)
{
  static char facts[1201];

  memset(facts, 'x', sizeof facts - 1);
  facts[sizeof facts - 1] = '\n';
  put(c, HELLO, strlen(HELLO));
  put(c, facts, sizeof facts);
  answer(c);
}

static void load(const char *program, int version, const char *name, int links)
{
  struct server s = serve(program);
  struct conn *c = xcalloc((size_t)links, sizeof *c);
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  static char chunk[CHUNK + 100];
  size_t head;
  int64_t start;
  double cpu;
  long before, after;

  SSL_CTX_set_min_proto_version(ctx, version);
  SSL_CTX_set_max_proto_version(ctx, version);
  SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
  SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  c[0] = dial(&s, ctx);
  greet(&c[0]);
  before = rss_kib(s.pid);
  cpu = cpu_ms(s.pid);
  start = clock_mono_ms();
  for (int i = 1; i < links; i++) {
    c[i] = dial(&s, ctx);
    greet(&c[i]);
  }
  start = clock_mono_ms() - start;
  cpu = cpu_ms(s.pid) - cpu;
  after = rss_kib(s.pid);
  printf("%s: %d links in %lld ms one after the other, %.0f/s of server time; "
         "server %ld KiB, %.1f KiB a link\n",
         name, links - 1, (long long)start, (links - 1) * 1000.0 / cpu, after, (double)(after - before) / (links - 1));

  cpu = cpu_ms(s.pid);
  start = clock_mono_ms();
  head = (size_t)snprintf(chunk, sizeof chunk, "out 1-1 0 0 65536 0 00000000 0 00000000 +%d\n", CHUNK);
  chunk[head + CHUNK] = '\n';
  for (int i = 0; i < MIB * ((1 << 20) / CHUNK); i++)
    put(&c[0], chunk, head + CHUNK + 1);
  put(&c[0], "listed 0\n", 9);
  answer(&c[0]);
  start = clock_mono_ms() - start;
  cpu = cpu_ms(s.pid) - cpu;
  printf("%s: %d MiB in through %s: %.0f MiB/s, %.0f MiB/s of server time; server %ld KiB\n", name, MIB,
         SSL_get_cipher(c[0].ssl), MIB * 1000.0 / (double)start, MIB * 1000.0 / cpu, rss_kib(s.pid));
  for (int i = 0; i < links; i++) {
    SSL_free(c[i].ssl);
    close(c[i].fd);
  }
  SSL_CTX_free(ctx);
  free(c);
  close(s.stdin_fd);
  waitpid(s.pid, NULL, 0);
}

int main(int argc, char **argv)
{
  struct rlimit files;
  int links = argc > 2 ? atoi(argv[2]) : 2000;

  if (argc < 2 || links < 2) {
    fprintf(stderr, "usage: link_load LINK_ECHO [links]\n");
    return 2;
  }
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  load(argv[1], TLS1_2_VERSION, "TLS 1.2", links);
  load(argv[1], TLS1_3_VERSION, "TLS 1.3", links);
  return 0;
}
