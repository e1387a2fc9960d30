// Package pristine gives a reused WebAssembly instance clean memory at the
// speed of a warm one. Whatever a call wrote is restored to a snapshot, at a
// cost that depends on how many pages it wrote and not on the size of the
// memory.
//
// Take the snapshot with [NewImage] once a template instance is initialized,
// make a [Memory] over it for each instance with [Image.NewMemory], and bracket
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
// The snapshot is held in a sealed memory file. A memory maps it copy-on-write
// at the front of a reserved range and has zeros behind it, so an idle instance
// costs almost nothing and all instances share the snapshot's pages. Once a
// page is written, it is private to its memory. Restore copies the snapshot
// back into the private pages and leaves them private, so that the next call,
// which mostly writes the same pages, takes no page fault. The set of private
// pages is the hot set. It is learnt by asking the kernel (PAGEMAP_SCAN, Linux
// 6.7), and only when it can have changed. See "Why is memory copied back
// instead of mapped again?" in docs/RATIONALE.md.
//
// # Why the hot set is complete
//
// The invariant: when Restore takes the short path, every private page of the
// range is in the hot set. Otherwise the next caller would see one caller's
// bytes. It holds because
//
//   - a memory starts dirty, so its first Restore asks the kernel for all
//     private pages, whatever made them private, up to the largest size that
//     the guest was ever given (or was given since everything behind the
//     snapshot was dropped);
//   - after that, a page becomes private only by a page fault for writing. The
//     kernel counts every completed fault on the thread that took it, exactly
//     and before the instruction that faulted is resumed, in user code as well
//     as in system calls that write to the memory;
//   - Begin ties the goroutine to its thread, and End knows whether the counter
//     moved (package thread). The guest and the host functions that it calls run
//     on that goroutine. If the counter moved at all, since Begin or since a window
//     before it on that thread, the next Restore asks the kernel again. Other
//     things that count there (the Go heap, stacks, pages that were only read,
//     a page that came back from swap, a page that a fork write-protected) cost
//     a scan and are never wrong;
//   - Restore itself writes only to pages of the hot set.
//
// What the kernel does without a fault does not make pages private: reclaim and
// swap take pages away, migration moves them, same-page merging makes private
// pages read-only, and faulting around maps file pages read-only. A fork
// write-protects pages that are already private; os/exec shares the address
// space and does not even do that. Huge pages would break the invariant,
// because khugepaged fills the holes around private pages, writable and without
// a fault; so every range is marked MADV_NOHUGEPAGE. If the mapping cannot be
// dropped because it is locked (mlockall), it is mapped again and never trusted
// to be clean: every Restore of that memory asks the kernel.
//
// The rest is up to the caller. Nobody may write to the memory outside Begin and
// End, or on another thread: such a write can be missed. Nobody may lock or
// populate (mlock, MADV_POPULATE_WRITE) a range from outside while its instance
// is in use.
//
// When an image is made, a small range is used to test that this kernel counts
// and reports as described. If it does not (an older Linux, or a sandbox that
// imitates one), small memories are restored by comparing, and others by
// dropping all private pages. On other systems than Linux, plain copies are
// compared. The result is the same.
//
// # Promises
//
//   - After Restore the memory has the snapshot's size and bytes, and whatever
//     it grows by reads as zero.
//   - An [Image] is safe for concurrent use, a [Memory] by one goroutine at a
//     time. Memories of one image share nothing writable.
//   - Nothing runs in the background.
package pristine
