// The loops for any processor of the architecture.
#define CK_VARIANT ck_loops_baseline
#define CK_VARIANT_NAME "baseline"
#define CK_POPCOUNT CK_POPCOUNT_WORDS
#include "variants.h"
