/* Embeds a folder of images into another folder with libfne:
 *
 *     job model.pb HEIGHTxWIDTH images output
 *
 * output receives features, statistics and codes as NumPy files (docs/jobs.md). After an interruption, the same command
 * resumes the job.
 *
 * Build, from the project's folder after `make build`:
 *
 *     gcc -O2 -Ibuild/include bindings/c/job.c -Lbuild/lib -lfne -Wl,-rpath,"$PWD/build/lib" -o build/job
 */
#include <fne.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void check(fne_status status) {
    if (status == FNE_OK) return;
    fprintf(stderr, "job: %s: %s\n", fne_status_name(status), fne_last_error());
    exit(1);
}

static int32_t progress(void *user, int32_t phase, uint64_t done, uint64_t total) {
    (void)user;
    if (phase == FNE_PHASE_EMBEDDING) fprintf(stderr, "\r%" PRIu64 " of %" PRIu64, done, total);
    if (phase == FNE_PHASE_EMBEDDING && done == total) fprintf(stderr, "\n");
    return 0; /* another value stops the job, which can be resumed later */
}

static void skipped(void *user, uint64_t image, fne_status status, const char *reason) {
    (void)user;
    (void)status;
    fprintf(stderr, "\nimage %" PRIu64 " is skipped: %s\n", image, reason);
}

int main(int argc, char **argv) {
    unsigned height, width;
    char rest;
    if (argc != 5 || sscanf(argv[2], "%5ux%5u%c", &height, &width, &rest) != 2) { /* five digits: no wrapping around */
        fprintf(stderr, "usage: job model.pb HEIGHTxWIDTH images output\n");
        return 2;
    }
    fne_model *model = NULL;
    check(fne_model_open(argv[1], NULL, &model));

    fne_extractor_options network;
    fne_extractor_options_init(&network, sizeof network);
    network.height = height;
    network.width = width;

    fne_job_options options;
    fne_job_options_init(&options, sizeof options);
    options.source = argv[3];
    options.codes = FNE_CODES_INT8 | FNE_CODES_PACKED;

    fne_job *job = NULL;
    check(fne_job_open(argv[4], model, &network, &options, &job));
    fne_job_reports reports;
    fne_job_reports_init(&reports, sizeof reports);
    reports.progress = progress;
    reports.image_error = skipped;
    check(fne_job_run(job, &reports));

    fne_progress_info info;
    fne_progress_info_init(&info, sizeof info);
    check(fne_job_progress_info(job, &info));
    printf("%" PRIu64 " images, %" PRIu64 " skipped, %" PRIu64 " features of %" PRIu64 " layers\n", info.image_count,
           info.failed_images, info.feature_count, info.layer_count);
    fne_job_close(job);
    fne_model_close(model);
    return 0;
}
