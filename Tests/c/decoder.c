/* Embeds a folder by a job, with a decoder of its own for what libfne does not read.
 *
 *     decoder NETWORK FOLDER JOB
 *
 * The decoder takes images that begin with "GIF": it paints 48 x 64 pixels with the number in byte 6. It says that all
 * others are damaged. Prints each bad image, and then a line for each format and each reason with its number and its
 * count. */
#include <fne.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fne_status decode(void *user, const uint8_t *bytes, uint64_t size, const char *refusal, fne_decoding *decoding) {
    uint8_t *rgb = NULL;
    if (strcmp(user, "user") != 0 || strstr(refusal, "Convert it to JPEG or PNG") == NULL) return FNE_IO_ERROR;
    if (size < 7 || memcmp(bytes, "GIF", 3) != 0) {
        if (fne_decoding_message(decoding, "the host's words") != FNE_OK) return FNE_IO_ERROR;
        return FNE_DAMAGED_IMAGE;
    }
    if (bytes[6] == 255) return fne_decoding_rows(decoding, 1 << 20, 1, &rgb); /* beyond max_side */
    if (bytes[6] == 254) return FNE_OK;                                        /* without pixels */
    if (bytes[6] == 253) return 12345;                                         /* no status of an image */
    fne_status status = fne_decoding_rows(decoding, 48, 64, &rgb);
    if (status != FNE_OK) return status;
    if (fne_decoding_rows(decoding, 48, 64, &rgb) != FNE_INVALID_ARGUMENT) return FNE_IO_ERROR;
    memset(rgb, bytes[6], 48 * 64 * 3);
    return FNE_OK;
}

static void on_image_error(void *user, uint64_t index, fne_status status, const char *message) {
    (void)user;
    printf("%d %s %s\n", (int)index, fne_status_name(status), message);
}

static void need(fne_status status) {
    if (status == FNE_OK) return;
    fprintf(stderr, "%s: %s\n", fne_status_name(status), fne_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    char user[] = "user";
    fne_model *model = NULL;
    fne_job *job = NULL;
    fne_extractor_options options;
    fne_job_options job_options;
    fne_job_reports reports;
    fne_extractor_options_init(&options, sizeof options);
    fne_job_options_init(&job_options, sizeof job_options);
    fne_job_reports_init(&reports, sizeof reports);
    options.height = 48;
    options.width = 64;
    options.decoder = decode;
    options.decoder_user = user;
    job_options.source = argv[2];
    reports.image_error = on_image_error;
    need(fne_model_open(argv[1], NULL, &model));
    need(fne_job_open(argv[3], model, &options, &job_options, &job));
    need(fne_job_run(job, &reports));
    fne_intake_info intake;
    fne_intake_info_init(&intake, sizeof intake);
    need(fne_job_intake_info(job, &intake));
    for (int i = 0; i < 16; ++i) {
        if (intake.taken[i] > 0) printf("taken %d: %d\n", i, (int)intake.taken[i]);
    }
    for (int i = 0; i < 16; ++i) {
        if (intake.left_out[i] > 0) printf("left out %d: %d\n", i, (int)intake.left_out[i]);
    }
    fne_job_close(job);
    fne_model_close(model);
    return 0;
}
