/* Reads packed codes (docs/codes.md) without libfne, and prints the dot product of two of them:
 *     cc -std=c11 -O2 read_packed_codes.c -o read_packed_codes && ./read_packed_codes codes_packed.npy 0 1 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bits(uint64_t word) {
    int count = 0;
    for (; word != 0; word &= word - 1) ++count;
    return count;
}

int main(int argc, char **argv) {
    char header[129] = {0}; /* of the .npy file: libfne and NumPy write 128 bytes for such arrays */
    size_t rows, words;
    FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || fread(header, 1, 128, file) != 128 || memcmp(header, "\x93NUMPY\x01\x00\x76\x00", 10) != 0 ||
        strstr(header + 10, "'<u8'") == NULL ||
        sscanf(strstr(header + 10, "'shape': ("), "'shape': (%zu, 2, %zu)", &rows, &words) != 2) {
        fprintf(stderr, "usage: read_packed_codes codes_packed.npy ROW ROW\n");
        return 1;
    }
    uint64_t *row[2]; /* each: words of "is not 0", then words of "is -1" */
    for (int i = 0; i < 2; ++i) {
        size_t number = strtoul(argv[2 + i], NULL, 10);
        row[i] = malloc(16 * words);
        if (number >= rows || row[i] == NULL || fseek(file, (long)(128 + 16 * words * number), SEEK_SET) != 0 ||
            fread(row[i], 16, words, file) != words)
            return 1;
    }
    int dot = 0;
    for (size_t w = 0; w < words; ++w) {
        uint64_t both = row[0][w] & row[1][w], opposite = both & (row[0][words + w] ^ row[1][words + w]);
        dot += bits(both) - 2 * bits(opposite);
    }
    printf("%d\n", dot);
    return 0;
}
