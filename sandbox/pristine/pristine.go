// Package pristine gives a reused WebAssembly instance clean memory at the
// speed of a warm one: whatever a call wrote is put back to a snapshot, at a
// price that depends on how many pages it wrote and not on how much memory
// there is.
//
// Take the snapshot with [NewImage] once a template instance is initialized,
// make a [Memory] over it per instance with [Image.NewMemory], and bracket
// every call:
//
//	image, err := pristine.NewImage(template.Bytes(), pristine.Config{})
//	memory, err := image.NewMemory(limit)
//	module, err := runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, memory), ...)
//	for {
//		memory.Begin()
//		// write the input, call the guest, read the output
//		memory.End()
//		cost, err := memory.Restore(module.Memory())
//	}
//
// # How
//
// The snapshot lies in a sealed memory file. A memory maps it copy-on-write at
// the front of a reserved range and has zeros behind it, so an idle instance
// costs next to nothing and all of them share the snapshot's pages. A page that
// was written is private to its memory from then on. Restore copies the
// snapshot back into the private pages and leaves them private, so that the
// next call, which mostly writes the same pages, takes no page fault. The set
// of private pages is the hot set. It is learnt by asking the kernel
// (PAGEMAP_SCAN, Linux 6.7), and only when it can have changed. See "Why is
// memory copied back instead of mapped again?" in docs/RATIONALE.md.
//
// # Why the hot set is complete
//
// What must hold is: when Restore takes the short way, every private page of
// the range is in the hot set. Were it not so, one caller's bytes would be
// there for the next one. It holds because
//
//   - a memory starts dirty, so its first Restore asks the kernel for all
//     private pages, whoever made them private, as far as the guest was ever
//     given memory (or since all behind the snapshot was dropped);
//   - after that a page becomes private only by a page fault for writing. The
//     kernel counts every completed fault on the thread that took it, exactly
//     and before the instruction that faulted is resumed, in user code as well
//     as in system calls that write to the memory;
//   - Begin ties the goroutine to its thread and End compares the counter. The
//     guest and the host functions it calls run on that goroutine. If the
//     counter moved at all, the next Restore asks the kernel again. What else
//     counts there (the Go heap, stacks, pages that were only read, a page that
//     came back from swap, a page that a fork write-protected) costs a scan and
//     is never wrong;
//   - Restore itself writes only to pages of the hot set.
//
// What the kernel does without a fault does not make pages private: reclaim and
// swap take pages away, migration moves them, same-page merging makes private
// pages read-only, faulting around maps file pages read-only. A fork (os/exec
// shares the address space and is none) write-protects what is private already.
// Huge pages would break it, because khugepaged fills the holes around private
// pages, writable and without a fault; so every range is marked
// MADV_NOHUGEPAGE. Where the mapping cannot be dropped because it is locked
// (mlockall), it is mapped anew and never trusted to be clean again: every
// Restore of that memory asks the kernel.
//
// What remains is the caller's to keep: who writes to the memory outside
// Begin and End, or on another thread, calls [Memory.MarkDirty] before Restore,
// and nobody locks or populates (mlock, MADV_POPULATE_WRITE) a range from
// outside while its instance is in use.
//
// Whether this kernel counts and reports as said is tried out on a small range
// when an image is made. Where it does not (an older Linux, a sandbox that
// imitates one), memories are restored by comparing, if small, or by dropping
// all private pages; elsewhere than on Linux by comparing plain copies. The
// result is the same.
//
// # Promises
//
//   - After Restore the memory has the snapshot's size and bytes, and whatever
//     it grows by reads as zero.
//   - An [Image] is safe for concurrent use, a [Memory] by one goroutine at a
//     time. Memories of one image share nothing that can be written.
//   - Nothing runs in the background.
package pristine
