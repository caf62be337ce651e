// Embeds images with libfne and counts the codes of each:
//
//	embed-go network.pb HEIGHTxWIDTH image...
//
// prints a line for each image: its name, and how many of its codes are -1, 0 and 1, with tabs between them. Mean and
// standard deviation are those of these images.
//
// Build, from the project's folder after `make build`:
//
//	go build -o build/embed-go examples/languages/embed.go
//
// Run; libfne looks for TensorFlow on the system's library path and where FNE_TENSORFLOW says:
//
//	FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow build/embed-go network.pb 224x224 *.jpg
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../build/include
#cgo LDFLAGS: -L${SRCDIR}/../../build/lib -lfne -Wl,-rpath,${SRCDIR}/../../build/lib
#include <fne.h>
#include <stdlib.h>
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// check makes an error of a status. The message belongs to the thread of the failed call: see LockOSThread below.
func check(status C.fne_status) error {
	if status == C.FNE_OK {
		return nil
	}
	return fmt.Errorf("%s: %s", C.GoString(C.fne_status_name(status)), C.GoString(C.fne_last_error()))
}

func embed(network string, height, width uint32, images []string) error {
	// Go may move a goroutine to another thread between two calls, where fne_last_error would have another message.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	path := C.CString(network) // a copy in C's memory, which the garbage collector does not free
	defer C.free(unsafe.Pointer(path))
	var model *C.fne_model
	if err := check(C.fne_model_open(path, nil, &model)); err != nil {
		return err
	}
	defer C.fne_model_close(model)

	// cgo reads the struct's layout from fne.h; sizeof is told to the init function. A string or an array that a struct
	// points to has to be in C's memory: cgo refuses a pointer to Go memory that holds pointers to Go memory.
	var options C.fne_extractor_options
	C.fne_extractor_options_init(&options, C.sizeof_fne_extractor_options)
	options.height, options.width = C.uint32_t(height), C.uint32_t(width)
	var extractor *C.fne_extractor
	if err := check(C.fne_extractor_open(model, &options, &extractor)); err != nil {
		return err
	}
	defer C.fne_extractor_close(extractor)
	var features C.uint64_t
	if err := check(C.fne_extractor_feature_count(extractor, &features)); err != nil {
		return err
	}

	paths := make([]*C.char, len(images))
	for i, image := range images {
		paths[i] = C.CString(image)
		defer C.free(unsafe.Pointer(paths[i]))
	}
	count := C.uint64_t(len(paths))
	pooled := make([]C.float, count*features)
	var run C.fne_extract_run // its callbacks stay nil: Go functions would need //export
	C.fne_extract_run_init(&run, C.sizeof_fne_extract_run)
	if err := check(C.fne_extract_files(extractor, &paths[0], count, &pooled[0], count*features, &run)); err != nil {
		return err
	}

	rows := run.rows_done
	var statistics *C.fne_statistics
	if err := check(C.fne_statistics_open(features, &statistics)); err != nil {
		return err
	}
	defer C.fne_statistics_close(statistics)
	if err := check(C.fne_statistics_update(statistics, &pooled[0], rows, features)); err != nil {
		return err
	}
	mean, std := make([]C.double, features), make([]C.double, features)
	if err := check(C.fne_statistics_moments(statistics, &mean[0], &std[0], features, 0)); err != nil {
		return err
	}
	codes := make([]C.int8_t, count*features)
	if err := check(C.fne_ternarize(&pooled[0], rows, features, &mean[0], &std[0], nil, &codes[0],
		count*features)); err != nil {
		return err
	}

	out := bufio.NewWriter(os.Stdout) // keeps the first error of a write for Flush
	for i, image := range images[:rows] {
		var number [3]int
		for _, code := range codes[C.uint64_t(i)*features:][:features] {
			number[code+1]++
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\n", image, number[0], number[1], number[2])
	}
	return out.Flush()
}

// side reads a side in pixels; 0 for what is none.
func side(text string) uint32 {
	pixels, err := strconv.ParseUint(text, 10, 32)
	if err != nil || pixels > 16384 {
		return 0
	}
	return uint32(pixels)
}

func main() {
	var height, width uint32
	if len(os.Args) > 3 {
		first, second, _ := strings.Cut(os.Args[2], "x")
		height, width = side(first), side(second)
	}
	if height == 0 || width == 0 {
		fmt.Fprintln(os.Stderr, "usage: embed-go network.pb HEIGHTxWIDTH image... (sides of 1 to 16384 pixels)")
		os.Exit(2)
	}
	if err := embed(os.Args[1], height, width, os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "embed-go:", err)
		os.Exit(1)
	}
}
