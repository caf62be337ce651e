// The library's malloc, and a reserve for when the system gives no memory.
//
// Swift's arrays, strings and dictionaries cannot report a failed allocation: the runtime ends the process. So the
// Makefile links libfne.so with --wrap. Calls of malloc and its kin inside of it, also those of its static Swift
// runtime, come to the functions of this room. They ask the system. Where it gives nothing, they take memory of a
// reserve, and note it in the call's scope. Swift asks for that note at places where it can throw an error.
//
// The reserve has two parts. A block of 8 MiB is part of the library and serves everyone. Its pages cost nothing until
// they are used. A call that builds much takes a region of its own beforehand, of a size that follows from its input.
//
// Nothing outside of libfne.so comes here. Where the library is linked without --wrap, as for the Swift tests and with
// AddressSanitizer, the system's functions are called and there is no reserve.
#ifndef CMEMORY_H
#define CMEMORY_H

#include <stdbool.h>
#include <stddef.h>

// A call into the library, on one thread and on those that it starts. It lies in the caller's frame.
typedef struct cm_scope {
    struct cm_region *region; // the call's own region; NULL without one. It is not touched before it is used
    size_t size;              // that region's size in bytes
    struct cm_scope *outer;   // the call that this one was made from, as a progress function may
    bool failed;              // the system gave no memory since the call began
} cm_scope;

// Begins a call on this thread. False where the system keeps no more of it; then the call has no scope.
bool cm_enter(cm_scope *scope);

// Ends the call that this thread began last. Memory of its region that is still in use stays until it is freed.
void cm_leave(cm_scope *scope);

// This thread's call; NULL outside of one.
cm_scope *cm_current(void);

// Makes a thread part of a call. The call must outlive the thread.
void cm_join(cm_scope *scope);

// Whether the system has given this thread's call no memory since it began.
bool cm_failed(void);

// Sees to it that the reserve can give this thread's call so many bytes. False where the system does not give them, or
// did not give others before.
bool cm_prepare(size_t size);

// Memory of the system alone, aligned to 64 bytes; NULL where it gives none. It is freed with free().
void *cm_system_memory(size_t size);

// The same for a picture, which is going to be filled as a whole. A large one lies in pages of 2 MiB, where the system
// has them. A first touch of a page costs a fault: 36 MB in pages of 4 KiB take half as long to touch as a JPEG of 12
// megapixels takes to decode.
void *cm_picture_memory(size_t size);

#endif
