/* FIPS 180-4. Blocks go to one of two functions, which is found out once: in plain C, or by the SHA instructions of x86. */
#include "worker/sha256.h"

#include <string.h>

#include "common/str.h"

#if defined __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { BLOCK = 64, LENGTH_AT = 56, ROUNDS = 64 };

static const uint32_t k[ROUNDS] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
  0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
  0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
  0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
  0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
  0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void plain(uint32_t h[8], const unsigned char *p, size_t blocks)
{
  for (; blocks; blocks--, p += BLOCK) {
    uint32_t w[ROUNDS], v[8];
    for (int i = 0; i < 16; i++)
      w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < ROUNDS; i++)
      w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, sizeof v);
    for (int i = 0; i < ROUNDS; i++) {
      uint32_t a = v[0], e = v[4];
      uint32_t t = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
      uint32_t u = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      memmove(v + 1, v, 7 * sizeof *v);
      v[4] += t;
      v[0] = t + u;
    }
    for (int i = 0; i < 8; i++)
      h[i] += v[i];
  }
}

#if defined __x86_64__
/* The instructions hold the state as ABEF and CDGH, and do two rounds at a time. */
__attribute__((target("sha,sse4.1,ssse3"))) static void by_instructions(uint32_t h[8], const unsigned char *p, size_t blocks)
{
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0xb1);
  __m128i u = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(t, u, 8), cdgh = _mm_blend_epi16(u, t, 0xf0);

  for (; blocks; blocks--, p += BLOCK) {
    __m128i m[4], abef_was = abef, cdgh_was = cdgh;
    for (int i = 0; i < 4; i++)
      m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), swap);
    for (int i = 0; i < 16; i++) {
      __m128i w = _mm_add_epi32(m[i & 3], _mm_loadu_si128((const __m128i *)(const void *)(k + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, w);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(w, 0x0e));
      if (i < 12) /* the words of four rounds ahead */
        m[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(m[i & 3], m[(i + 1) & 3]), _mm_alignr_epi8(m[(i + 3) & 3], m[(i + 2) & 3], 4)),
                                        m[(i + 3) & 3]);
    }
    abef = _mm_add_epi32(abef, abef_was);
    cdgh = _mm_add_epi32(cdgh, cdgh_was);
  }
  t = _mm_shuffle_epi32(abef, 0x1b);
  u = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(t, u, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(u, t, 8));
}

static int has_instructions(void)
{
  unsigned a, b, c, d, sha;

  if (!__get_cpuid_count(7, 0, &a, &sha, &c, &d) || !__get_cpuid(1, &a, &b, &c, &d))
    return 0;
  return (sha & bit_SHA) && (c & bit_SSSE3) && (c & bit_SSE4_1);
}
#endif

typedef void take_blocks(uint32_t h[8], const unsigned char *p, size_t blocks);
static take_blocks *take;

void sha256_plainly(void)
{
  take = plain;
}

void sha256_init(struct sha256 *s)
{
  static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

  memcpy(s->h, first, sizeof first);
  s->total = 0;
  if (take)
    return;
  take = plain;
#if defined __x86_64__
  if (has_instructions())
    take = by_instructions;
#endif
}

void sha256_add(struct sha256 *s, const void *data, size_t n)
{
  const unsigned char *p = data;
  size_t have = s->total % BLOCK, first = BLOCK - have;

  s->total += n;
  if (have && n >= first) {
    memcpy(s->part + have, p, first);
    take(s->h, s->part, 1);
    p += first;
    n -= first;
    have = 0;
  }
  if (!have && n >= BLOCK) {
    take(s->h, p, n / BLOCK);
    p += n / BLOCK * BLOCK;
    n %= BLOCK;
  }
  if (n)
    memcpy(s->part + have, p, n);
}

void sha256_end(struct sha256 *s, char hex[SHA256_HEX_LEN + 1])
{
  uint64_t bits = s->total * 8;
  unsigned char tail[2 * BLOCK] = { 0x80 }, sum[32];
  size_t have = s->total % BLOCK, pad = (have < LENGTH_AT ? LENGTH_AT : LENGTH_AT + BLOCK) - have;

  for (int i = 0; i < 8; i++)
    tail[pad + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
  sha256_add(s, tail, pad + 8);
  for (int i = 0; i < 32; i++)
    sum[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
  str_hex(sum, sizeof sum, hex);
}
