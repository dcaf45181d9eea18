/* Where a certificate (DER) has its SubjectPublicKeyInfo, whose hash is the pin. */
#ifndef WORKER_SPKI_H
#define WORKER_SPKI_H
#include <stdbool.h>
#include <stddef.h>

/* It is [*start, *start + *size) of the n bytes; false: that is no certificate. */
bool spki_find(const unsigned char *p, size_t n, size_t *start, size_t *size);
#endif
