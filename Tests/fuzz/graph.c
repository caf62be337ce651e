/* Opens the input as a GraphDef, with unsafe operations allowed and not, and reads its table of tensors. */
#include <fne.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    memcpy(bytes, data, size);
    for (int allow = 0; allow < 2; ++allow) {
        fne_model_options options;
        fne_model_options_init(&options, sizeof options);
        options.allow_unsafe = allow;
        fne_model *model = NULL;
        if (fne_model_open_memory(bytes, size, &options, &model) != FNE_OK) continue;
        uint64_t count = 0;
        // The bodies of functions stand in place of their calls, up to 200,000 nodes.
        if (fne_model_tensor_count(model, &count) != FNE_OK || count > size + 200000) abort();
        for (uint64_t i = 0; i < count; ++i) {
            fne_tensor_info tensor;
            fne_tensor_info_init(&tensor, sizeof tensor);
            if (fne_model_tensor_info(model, i, &tensor) != FNE_OK) abort();
            if (strlen(tensor.name) > 200 * size || tensor.channels < -1) abort();
        }
        fne_model_close(model);
    }
    free(bytes);
    return 0;
}
