#ifndef CK_SHA256_H
#define CK_SHA256_H

#include <stddef.h>
#include <stdint.h>

// The constants of FIPS 180-4.
extern const uint32_t ck_sha256_constants[64];

// Takes whole blocks of 64 bytes with the processor's instructions for SHA-256. Call it only where it has them.
void ck_sha256_take_blocks(uint32_t state[8], const uint8_t *bytes, size_t blocks);

#endif
