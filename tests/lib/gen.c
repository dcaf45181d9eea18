/* Writes numbered records of 64 bytes to both streams, MIB in all, and the SHA-256 of each stream to a file, as lines "name digest length". usage: gen MIB SUMS

   A record is "<channel> <number of 12 digits> <the number four times>\n": whoever reads it knows what belongs there. Each write is 4096 bytes, which a pipe takes whole. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD = 64, BATCH = 4096, CHANNELS = 2 };

struct sha {
  uint32_t h[8];
  uint64_t len;
};

static const uint32_t k[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
  0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
  0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
  0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void block(struct sha *s, const unsigned char *p)
{
  uint32_t w[64], v[8];

  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + w[i - 7] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t a = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
    uint32_t b = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += a;
    v[0] = a + b;
  }
  for (int i = 0; i < 8; i++)
    s->h[i] += v[i];
}

/* Only whole blocks come: BATCH is a multiple of 64. */
static void take(struct sha *s, const unsigned char *p, size_t n)
{
  s->len += n;
  for (; n; p += 64, n -= 64)
    block(s, p);
}

static void end(struct sha *s, char hex[65])
{
  unsigned char last[64] = { 0x80 };

  for (int i = 0; i < 8; i++)
    last[56 + i] = (unsigned char)(s->len * 8 >> (56 - 8 * i));
  block(s, last);
  for (int i = 0; i < 8; i++)
    sprintf(hex + 8 * i, "%08x", s->h[i]);
}

static void put_all(int fd, const unsigned char *p, size_t n)
{
  while (n) {
    ssize_t got = write(fd, p, n);
    if (got < 0)
      exit(3);
    p += got;
    n -= (size_t)got;
  }
}

static void record(unsigned char *to, char channel, uint64_t number)
{
  to[0] = (unsigned char)channel;
  to[1] = to[14] = ' ';
  for (int i = 13; i > 1; i--, number /= 10)
    to[i] = (unsigned char)('0' + number % 10);
  for (int i = 15; i < 63; i += 12)
    memcpy(to + i, to + 2, 12);
  to[63] = '\n';
}

int main(int argc, char **argv)
{
  struct sha s[CHANNELS];
  uint64_t number[CHANNELS] = { 0 };
  unsigned char batch[BATCH];
  long batches;
  FILE *f;

  if (argc != 3 || (batches = atol(argv[1]) * 1024 * 1024 / BATCH) <= 0)
    return 2;
  for (int c = 0; c < CHANNELS; c++)
    s[c] = (struct sha){ { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }, 0 };
  for (long i = 0; i < batches; i++) {
    int c = (i >> (i % 5)) & 1; /* runs of different lengths */
    for (int at = 0; at < BATCH; at += RECORD)
      record(batch + at, c ? 'e' : 'o', number[c]++);
    take(&s[c], batch, BATCH);
    put_all(c ? 2 : 1, batch, BATCH);
  }
  f = fopen(argv[2], "w");
  for (int c = 0; f && c < CHANNELS; c++) {
    char hex[65];
    end(&s[c], hex);
    fprintf(f, "%s %s %llu\n", c ? "err" : "out", hex, (unsigned long long)s[c].len);
  }
  return f && !fclose(f) ? 0 : 4;
}
