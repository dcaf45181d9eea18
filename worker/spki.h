/* The public key of a certificate: what the join token's pins are the hashes of. Pure. */
#ifndef WORKER_SPKI_H
#define WORKER_SPKI_H
#include <stdbool.h>
#include <stddef.h>

#define SPKI_P256_POINT_LEN 65 /* uncompressed */

/* Where the SubjectPublicKeyInfo of the certificate (DER, n bytes, from anybody) is: [*start, *start + *size), within it. False: it is none. */
bool spki_find(const unsigned char *cert, size_t n, size_t *start, size_t *size);
/* The point of a SubjectPublicKeyInfo that is a key of P-256, SPKI_P256_POINT_LEN bytes in `spki`; NULL: it is another kind of key. */
const unsigned char *spki_p256(const unsigned char *spki, size_t n);
#endif
