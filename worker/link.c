/* The link to the master.

   Happy path: connect to the token's addresses in turn, or to the proxy and have it connect there, TLS unless it is a unix socket, hello, welcome, messages.
   Failures: nobody there, a proxy that refuses, a wrong key, no welcome in 10 s, `no`, silence, a malformed line: closed with one line in the log, and
   tried again after the time that docs/protocol.md 6 says. Nothing of what commands do depends on it. */
#include "worker/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/stdio.h"

enum {
  CONNECT_MS = 10000,     /* of one address */
  PROXY_MS = 30000,       /* it connects in its turn, with a deadline of its own that is told then */
  GREET_MS = 10000,
  JITTER_MS = 1000,
  BACKOFF_FIRST_MS = 1000,
  BACKOFF_MAX_MS = 60000,
  PING_LEAST_MS = 50,
  PING_MOST_MS = 600000,
  PING_FIRST_MS = 10000,  /* until the welcome says another */
  SILENCE_PINGS = 3,
  READ_SIZE = 65536,
  READS_A_TURN = 4,
  OUT_KEEP = 16384,       /* a larger buffer is given back after IDLE_MS */
  IDLE_MS = 1000,
  RESOLVE_MS = 60000
};

static const struct sm_row rows[LINK_STATES] = {
  [LINK_WAIT] = { "wait", SM_TO(LINK_RESOLVE) | SM_TO(LINK_CONNECT) },
  [LINK_RESOLVE] = { "resolve", SM_TO(LINK_CONNECT) | SM_TO(LINK_WAIT) },
  [LINK_CONNECT] = { "connect", SM_TO(LINK_CONNECT) | SM_TO(LINK_PROXY) | SM_TO(LINK_GREET) | SM_TO(LINK_WAIT) },
  [LINK_PROXY] = { "proxy", SM_TO(LINK_GREET) | SM_TO(LINK_WAIT) },
  [LINK_GREET] = { "greet", SM_TO(LINK_UP) | SM_TO(LINK_WAIT) },
  [LINK_UP] = { "up", SM_TO(LINK_WAIT) },
};

static int64_t up_to(int64_t ms)
{
  uint32_t r;
  str_random(&r, sizeof r);
  return (int64_t)(r % (uint64_t)(ms + 1));
}

void link_init(struct link *l, const struct token *t, const struct proxy *p)
{
  memset(l, 0, sizeof *l);
  l->token = t;
  l->proxy = p;
  l->fd = l->given = -1;
  l->ping_ms = PING_FIRST_MS;
  buf_init(&l->out, LINK_OUT_MAX);
  sm_init(&l->sm, "link", rows, LINK_STATES, LINK_WAIT);
}

void link_on_stdio(struct link *l) { l->given = stdio_in(); }

void link_free(struct link *l, const char *bye)
{
  if (!link_is(l, LINK_WAIT))
    link_end(l, LINK_LOST, link_is(l, LINK_UP) ? bye : NULL, 0);
  buf_free(&l->out);
}

bool link_is(const struct link *l, enum link_state s) { return l->sm.state == (int)s; }
size_t link_queued(const struct link *l) { return l->out.len - l->out_at; }

static const struct token_address *address(const struct link *l) { return &l->token->address[l->address]; }
static bool by_proxy(const struct link *l) { return l->proxy->address.host && !address(l)->is_unix; }
static const struct token_address *dialed(const struct link *l) { return by_proxy(l) ? &l->proxy->address : address(l); }

static const char *address_text(const struct token_address *a, char *out, size_t n)
{
  if (a->is_unix)
    snprintf(out, n, "unix:%s", a->host);
  else
    snprintf(out, n, strchr(a->host, ':') ? "[%s]:%s" : "%s:%s", a->host, a->port);
  return out;
}

const char *link_address(const struct link *l, char *out, size_t n) { return address_text(address(l), out, n); }

void link_note(struct link *l, enum log_level level, const char *tag, const char *fmt, ...)
{
  void (*const say[])(const char *, const char *, ...) = { log_debug, log_info, log_warn, log_error };
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(l->note.why, sizeof l->note.why, fmt, ap);
  va_end(ap);
  for (char *p = l->note.why; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 127)
      *p = '?';
  snprintf(l->note.tag, sizeof l->note.tag, "%s", tag);
  l->note.count++;
  say[level]("link", "%s", l->note.why);
}

static void drop_out(struct link *l)
{
  if (l->out.data)
    mem_wipe(l->out.data, l->out.len < OUT_KEEP ? l->out.len : OUT_KEEP); /* the greeting held the secret */
  buf_free(&l->out);
  l->out_at = 0;
}

/* ---- ending ---- */

static int64_t wait_after(struct link *l, enum link_end how, int64_t after_ms)
{
  switch (how) {
  case LINK_TOLD:
    return after_ms + up_to(after_ms / 4);
  case LINK_FAILED:
    l->backoff_ms = !l->backoff_ms ? BACKOFF_FIRST_MS : l->backoff_ms * 2;
    if (l->backoff_ms < after_ms)
      l->backoff_ms = after_ms;
    if (l->backoff_ms > BACKOFF_MAX_MS)
      l->backoff_ms = BACKOFF_MAX_MS;
    return l->backoff_ms;
  case LINK_REFUSED:
    if (l->address + 1 < l->token->addresses)
      return 0;
    break;
  case LINK_LOST:
    break;
  }
  return up_to(JITTER_MS);
}

/* For tests that reconnect a thousand times. */
static int64_t test_limit(int64_t ms)
{
  const char *given = getenv("DROVER_TEST_RETRY_MAX_MS");
  int64_t most;

  return given && !str_number(given, strlen(given), &most) && ms > most ? most : ms;
}

void link_end(struct link *l, enum link_end how, const char *bye, int64_t after_ms)
{
  if (bye && !l->out.failed && l->tls) {
    wire_put(&l->out, VERB_bye, "s", bye);
    link_flush(l);
  }
  if (l->tls)
    l->ops->close(l->tls);
  l->tls = NULL;
  if (l->fd >= 0)
    close(l->fd);
  l->fd = -1;
  wire_reader_free(l->in);
  l->in = NULL;
  drop_out(l);
  l->due = clock_mono_ms() + test_limit(wait_after(l, how, after_ms));
  l->ping_ms = PING_FIRST_MS;
  if (how != LINK_LOST)
    l->address = (l->address + 1) % l->token->addresses;
  sm_move(&l->sm, LINK_WAIT);
}

static void complain_tls(struct link *l, int number)
{
  const unsigned char *got = l->ops->peer(l->tls);
  char hex[2 * TLS_PIN_LEN + 1];
  bool known = false;

  for (int i = 0; got && i < l->token->pins; i++)
    known = known || !memcmp(got, l->token->pin[i], TLS_PIN_LEN);
  if (got && !known) {
    str_hex(got, TLS_PIN_LEN, hex);
    link_note(l, LOG_ERROR, "key", "the master's key does not match the token: got spki-sha256:%s", hex);
  } else if (number == EPROTO) {
    link_note(l, LOG_WARN, "tls", "TLS with the master failed");
  } else {
    link_note(l, LOG_WARN, "closed", "the link broke: %s", strerror(number));
  }
}

/* The socket or TLS failed with errno `number`; 0: the master closed. */
static void broke(struct link *l, int number)
{
  bool was_up = link_is(l, LINK_UP);

  if (number)
    complain_tls(l, number);
  else
    link_note(l, LOG_INFO, "closed", "the master closed the link");
  link_end(l, was_up ? LINK_LOST : LINK_FAILED, NULL, 0);
}

/* ---- connecting ---- */

static void begin_greet(struct link *l, int64_t now)
{
  const struct token_address *a = address(l);
  int on = 1;

  if (!a->is_unix)
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  l->ops = l->given >= 0 ? &tls_stdio : a->is_unix ? &tls_none : &tls_pinned;
  l->tls = l->ops->open(l->fd, l->token->pin, l->token->pins);
  l->in = wire_reader_new(WIRE_MASTER);
  l->heard_at = l->said_at = now;
  l->due = now + GREET_MS;
  sm_move(&l->sm, LINK_GREET);
}

static bool begin_proxy(struct link *l, int64_t now)
{
  memset(&l->reply, 0, sizeof l->reply);
  proxy_request(&l->out, l->proxy, address(l));
  l->due = now + PROXY_MS;
  sm_move(&l->sm, LINK_PROXY);
  return false;
}

/* The socket is connected. True: with the master. */
static bool reached(struct link *l, int64_t now)
{
  if (by_proxy(l))
    return begin_proxy(l, now);
  begin_greet(l, now);
  return true;
}

/* Tries the targets that are left. True: connected at once. */
static bool try_targets(struct link *l, int64_t now)
{
  int number = l->number ? l->number : ENOENT;
  char to[LINK_WHY_MAX / 2];

  while (l->next_target < l->targets) {
    const struct resolve_target *t = &l->target[l->next_target++];
    l->fd = socket(t->addr.ss_family, SOCK_STREAM, 0);
    if (l->fd >= 0 && (fcntl(l->fd, F_SETFD, FD_CLOEXEC) || fcntl(l->fd, F_SETFL, O_NONBLOCK))) {
      close(l->fd);
      l->fd = -1;
    }
    if (l->fd >= 0 && !connect(l->fd, (const struct sockaddr *)&t->addr, t->len))
      return reached(l, now);
    number = errno;
    if (l->fd >= 0 && number == EINPROGRESS) {
      l->due = now + CONNECT_MS;
      return false;
    }
    if (l->fd >= 0)
      close(l->fd);
    l->fd = -1;
  }
  if (l->targets)
    link_note(l, LOG_DEBUG, "unreachable", "%s%s is not reached: %s", by_proxy(l) ? "the proxy " : "", address_text(dialed(l), to, sizeof to), strerror(number));
  link_end(l, LINK_REFUSED, NULL, 0);
  return false;
}

static bool begin(struct link *l, int64_t now)
{
  l->next_target = l->number = 0;
  l->targets = resolve_plain(dialed(l), l->target);
  if (l->targets || address(l)->is_unix) {
    sm_move(&l->sm, LINK_CONNECT);
    return try_targets(l, now);
  }
  l->fd = resolve_start(dialed(l));
  l->due = now + RESOLVE_MS;
  sm_move(&l->sm, LINK_RESOLVE);
  if (l->fd < 0)
    link_end(l, LINK_REFUSED, NULL, 0);
  return false;
}

/* The master has dialled, and waits for the greeting. */
static bool begin_given(struct link *l, int64_t now)
{
  l->fd = l->given;
  sm_move(&l->sm, LINK_CONNECT);
  begin_greet(l, now);
  l->given = -1;
  return true;
}

static bool resolved(struct link *l, int64_t now)
{
  l->targets = resolve_take(l->fd, l->target);
  l->fd = -1;
  if (!l->targets)
    link_note(l, LOG_WARN, "unknown-host", "the %sname %s is not known", by_proxy(l) ? "proxy's " : "", dialed(l)->host);
  sm_move(&l->sm, LINK_CONNECT);
  return try_targets(l, now);
}

static bool connected(struct link *l, int64_t now)
{
  int number = 0;
  socklen_t len = sizeof number;

  if (!getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &number, &len) && !number)
    return reached(l, now);
  close(l->fd);
  l->fd = -1;
  l->number = number;
  return try_targets(l, now);
}

/* ---- through a proxy ---- */

static void proxy_failed(struct link *l, const char *why)
{
  link_note(l, LOG_WARN, "proxy", "%s", why);
  link_end(l, LINK_FAILED, NULL, 0);
}

/* The request out, the answer in. True: connected with the master. */
static bool ask_proxy(struct link *l, int64_t now)
{
  char part[1024], why[PROXY_WHY_MAX];
  ssize_t n = 1;

  while (l->out_at < l->out.len && (n = send(l->fd, l->out.data + l->out_at, l->out.len - l->out_at, MSG_NOSIGNAL)) > 0)
    l->out_at += (size_t)n;
  if (l->out_at < l->out.len && errno != EAGAIN && errno != EINTR) {
    proxy_failed(l, "the proxy broke the connection");
    return false;
  }
  while ((n = recv(l->fd, part, sizeof part, 0)) > 0)
    switch (proxy_take(&l->reply, part, (size_t)n, why)) {
    case PROXY_MORE:
      break;
    case PROXY_OPEN:
      drop_out(l);
      begin_greet(l, now);
      return true;
    case PROXY_REFUSED:
    case PROXY_BROKEN:
      proxy_failed(l, why);
      return false;
    }
  if (n == 0 || (errno != EAGAIN && errno != EINTR))
    proxy_failed(l, "the proxy closed the connection before it answered");
  return false;
}

/* ---- bytes ---- */

static void fill(struct link *l, int64_t now)
{
  static char part[READ_SIZE];

  for (int i = 0; i < READS_A_TURN; i++) {
    ssize_t n = l->ops->read(l->tls, part, sizeof part);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (n <= 0) {
      broke(l, n < 0 ? errno : 0);
      return;
    }
    l->heard_at = now;
    wire_feed(l->in, part, (size_t)n);
    mem_wipe(part, (size_t)n); /* it may hold secrets */
    if (n < (ssize_t)sizeof part / 4)
      return; /* that was all, most probably: poll will say */
  }
}

void link_flush(struct link *l)
{
  while (l->tls && l->out_at < l->out.len) {
    ssize_t n = l->ops->write(l->tls, l->out.data + l->out_at, l->out.len - l->out_at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      break; /* EAGAIN, or an end that the next read tells */
    l->out_at += (size_t)n;
    l->said_at = clock_mono_ms();
  }
  if (l->out_at == l->out.len) {
    if (link_is(l, LINK_GREET) || link_is(l, LINK_PROXY))
      drop_out(l);
    buf_reset(&l->out);
    l->out_at = 0;
  } else if (l->out_at > LINK_OUT_FULL) {
    buf_drop(&l->out, l->out_at);
    l->out_at = 0;
  }
}

struct pollfd link_poll(const struct link *l)
{
  struct pollfd p = { l->fd, 0, 0 };

  switch (l->sm.state) {
  case LINK_RESOLVE:
    p.events = POLLIN;
    break;
  case LINK_CONNECT:
    p.events = POLLOUT;
    break;
  case LINK_PROXY:
    p.events = (short)(POLLIN | (link_queued(l) ? POLLOUT : 0));
    break;
  case LINK_GREET:
  case LINK_UP:
    p.events = (short)((link_queued(l) < LINK_OUT_DEAF ? POLLIN : 0) | (link_queued(l) ? POLLOUT : 0) | l->ops->want(l->tls));
    break;
  }
  return p;
}

static void give_up(struct link *l)
{
  bool half = link_is(l, LINK_GREET) || link_is(l, LINK_PROXY);
  char to[LINK_WHY_MAX / 2];

  link_note(l, LOG_WARN, link_is(l, LINK_PROXY) ? "proxy" : half ? "silent" : "unreachable", "%s%s: no answer in time",
            by_proxy(l) && !link_is(l, LINK_GREET) ? "the proxy " : "", address_text(link_is(l, LINK_GREET) ? address(l) : dialed(l), to, sizeof to));
  link_end(l, half ? LINK_FAILED : LINK_REFUSED, NULL, 0);
}

static void stay_alive(struct link *l, int64_t now)
{
  if (now - l->heard_at >= SILENCE_PINGS * l->ping_ms) {
    link_note(l, LOG_WARN, "silent", "the master is silent");
    link_end(l, LINK_LOST, "silence", 0);
  } else if (now - l->said_at >= l->ping_ms) {
    wire_put(&l->out, VERB_ping, "n", ++l->ping_n);
    l->said_at = now;
  }
}

bool link_turn(struct link *l, short revents, int64_t now)
{
  switch (l->sm.state) {
  case LINK_WAIT:
    return now >= l->due && (l->given >= 0 ? begin_given(l, now) : begin(l, now));
  case LINK_RESOLVE:
    if (revents)
      return resolved(l, now);
    break;
  case LINK_CONNECT:
    if (revents)
      return connected(l, now);
    break;
  case LINK_PROXY:
    if (revents && ask_proxy(l, now))
      return true;
    break;
  case LINK_GREET:
  case LINK_UP:
    if (revents & (POLLIN | POLLHUP | POLLERR))
      fill(l, now);
    break;
  }
  if (link_is(l, LINK_UP))
    stay_alive(l, now);
  else if (!link_is(l, LINK_WAIT) && now >= l->due)
    give_up(l);
  if (!l->out.len && l->out.cap > OUT_KEEP && now - l->said_at >= IDLE_MS)
    buf_free(&l->out);
  return false;
}

int64_t link_due(const struct link *l, int64_t now)
{
  int64_t silence = l->heard_at + SILENCE_PINGS * l->ping_ms, ping = l->said_at + l->ping_ms, due = l->due;

  if (link_is(l, LINK_UP))
    due = silence < ping ? silence : ping;
  if (!l->out.len && l->out.cap > OUT_KEEP && due > l->said_at + IDLE_MS)
    due = l->said_at + IDLE_MS;
  return due > now ? due : now;
}

void link_broken(struct link *l, const char *what)
{
  link_note(l, LOG_ERROR, "protocol", "the master broke the protocol: %s", what);
  link_end(l, link_is(l, LINK_UP) ? LINK_LOST : LINK_FAILED, "protocol", 0);
}

/* True: it was a ping or pong. */
static bool answer_ping(struct link *l, struct wire_msg *m)
{
  int64_t n;

  if (m->verb != VERB_ping && m->verb != VERB_pong)
    return false;
  n = wire_num(m, 0);
  if (m->bad)
    link_broken(l, "a ping without a number");
  else if (m->verb == VERB_ping)
    wire_put(&l->out, VERB_pong, "n", n);
  return true;
}

enum err link_next(struct link *l, struct wire_msg *m)
{
  while (l->in && link_queued(l) < LINK_OUT_DEAF) {
    enum err e = wire_next(l->in, m);
    if (e == ERR_UNKNOWN) {
      const char *word = wire_reader_word(l->in);
      wire_put_blob(&l->out, VERB_error, word, strlen(word), "ss", "unknown", "-");
    } else if (e == ERR_AGAIN) {
      return e;
    } else if (e) {
      link_broken(l, wire_reader_word(l->in));
      return e;
    } else if (!answer_ping(l, m)) {
      return ERR_OK;
    }
  }
  return ERR_AGAIN;
}

void link_up(struct link *l, int64_t ping_ms)
{
  wire_reader_trust(l->in);
  l->ping_ms = ping_ms < PING_LEAST_MS ? PING_LEAST_MS : ping_ms > PING_MOST_MS ? PING_MOST_MS : ping_ms;
  l->backoff_ms = 0;
  l->note = (struct link_note){ .count = 0 };
  sm_move(&l->sm, LINK_UP);
}
