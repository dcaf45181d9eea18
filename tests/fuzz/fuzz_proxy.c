/* Arbitrary bytes as a proxy's answer and as its URL. The answer is read the same however it is cut. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "worker/proxy.h"

static void printable(const char *why)
{
  must(strlen(why) > 0 && strlen(why) < PROXY_WHY_MAX);
  for (; *why; why++)
    must(*why >= ' ' && *why < 127);
}

static void reply(const char *p, size_t n)
{
  struct proxy_reply whole = { .len = 0 }, cut = { .len = 0 };
  char why[PROXY_WHY_MAX] = "", other[PROXY_WHY_MAX] = "";
  enum proxy_answer a = proxy_take(&whole, p, n, why), b = PROXY_MORE;
  size_t i = 0;

  if (a == PROXY_REFUSED || a == PROXY_BROKEN)
    printable(why);
  while (i < n && b == PROXY_MORE)
    b = proxy_take(&cut, p + i++, 1, other);
  if (b == PROXY_OPEN && i < n)
    must(a == PROXY_BROKEN); /* more in the same piece than the answer */
  else
    must(a == b && !strcmp(why, other));
  must(n <= PROXY_HEAD_MAX || a != PROXY_MORE);
}

static void url(const char *s)
{
  struct token_address to = { .host = (char *)(uintptr_t)"h", .port = "1" };
  struct proxy x;
  const char *why;
  struct buf b;

  if (proxy_parse(s, &x, &why)) {
    must(why && !x.credentials && !x.address.host);
    return;
  }
  buf_init(&b, PROXY_REQUEST_MAX);
  proxy_request(&b, &x, &to);
  must(!b.failed && b.len > 4 && !memcmp(b.data + b.len - 4, "\r\n\r\n", 4));
  must(strstr(b.data, "\r\n\r\n") == b.data + b.len - 4); /* nothing of the URL makes a header */
  buf_free(&b);
  proxy_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *s = malloc(n + 1);

  memcpy(s, p, n);
  s[n] = 0;
  reply(s, n);
  url(s);
  free(s);
  return 0;
}
