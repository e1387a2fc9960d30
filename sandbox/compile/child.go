package compile

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
	"github.com/ruedo-dev/ruedo/sandbox/compile/confine"
)

// Exit codes of a child. Its answer describes what happened.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// loadShare is the part of the limits that the parent may need of what the child
// needs: reading the code back must take less than a quarter of each.
const loadShare = 4

// Child is everything that a process does that [Compiler] started with
// Config.Command. It limits itself, reads a module from stdin, compiles it and
// answers on stdout. config must return what the parent's Config.Runtime
// returns. The caller must exit with the result immediately, because the
// compiler can still be running:
//
//	os.Exit(compile.Child(os.Stdin, os.Stdout, config))
//
// It changes limits, priority and signal handling of the whole process.
func Child(stdin io.Reader, stdout io.Writer, config func() wazero.RuntimeConfig) int {
	id, unknown := identifySelf(config) // meanwhile the order comes
	o, err := readOrder(stdin)
	if err != nil {
		answer{Verdict: verdictFault, Text: "this command is started by a runner, not by hand: " + err.Error()}.write(stdout)
		return exitUsage
	}
	wall := time.NewTimer(o.Timeout)
	overCPU, err := confine.Self(confine.Limits{CPU: o.CPU, Memory: o.Memory, FileSize: o.MaxCode, Nice: o.Nice})
	if err != nil {
		return end(stdout, answer{Verdict: verdictFault, Text: "setting limits: " + err.Error()})
	}
	// The garbage collector works harder before the limit ends the process.
	debug.SetMemoryLimit(o.Memory / 4 * 3)
	debug.SetMaxStack(int(min(o.Memory/4, 256<<20)))
	collectLate(min(uncollected, o.Memory/4))
	mem := confine.Watch(o.Memory)

	// From here on, several goroutines can answer, and the first one ends the
	// process.
	done, gone := make(chan answer, 1), make(chan struct{})
	go func() {
		if unknown != nil {
			done <- unidentified(unknown)
			return
		}
		done <- obey(o, id, stdin, stdout, config, mem, gone)
	}()
	select {
	case a := <-done:
		a.Memory = mem.Peak()
		return end(stdout, a)
	case <-mem.Over:
		return end(stdout, answer{Verdict: verdictMemory, Memory: mem.Peak()})
	case <-overCPU:
		return end(stdout, answer{Verdict: verdictCPU, Memory: mem.Peak()})
	case <-wall.C:
		return end(stdout, answer{Verdict: verdictWall, Memory: mem.Peak()})
	case <-gone:
		return exitFail
	}
}

func end(stdout io.Writer, a answer) int {
	if err := a.write(stdout); err != nil || a.Verdict != verdictDone {
		return exitFail
	}
	return exitOK
}

// uncollected is how large the heap gets before garbage is collected. Most modules
// need less, and collecting would take an eighth of their time.
const uncollected = 256 << 20

// collectLate puts the first collection off until the heap has so many bytes. After
// it, the collector works as usual.
func collectLate(bytes int64) {
	const usual, least = 100, 4 << 20 // of GOGC, and the smallest heap that is then collected
	debug.SetGCPercent(int(max(bytes/least, 1) * usual))
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, usual)
}

// identifySelf returns the identity of a child that has no order yet.
func identifySelf(config func() wazero.RuntimeConfig) (identity, error) {
	dir, err := os.MkdirTemp(".", "probe-")
	if err != nil {
		return "", cache.DiskError(err)
	}
	return identify(dir, config)
}

// unidentified is the answer of a child that does not know its identity.
func unidentified(err error) answer {
	if cache.AboutDisk(err) {
		return refusal(err)
	}
	return answer{Verdict: verdictFault, Text: err.Error()}
}

// obey compiles as ordered. It closes gone when the parent is gone.
func obey(o order, id identity, stdin io.Reader, stdout io.Writer, config func() wazero.RuntimeConfig, mem *confine.Memory, gone chan struct{}) answer {
	if id != o.Identity {
		return answer{Verdict: verdictStranger, Text: string(id)}
	}
	if err := (answer{Verdict: verdictReady}).write(stdout); err != nil {
		return answer{Verdict: verdictFault, Text: err.Error()}
	}
	wasm := make([]byte, o.Size)
	if _, err := io.ReadFull(stdin, wasm); err != nil {
		return answer{Verdict: verdictFault, Text: "reading the module: " + err.Error()}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // blocks until the parent closes it
		close(gone)
	}()

	ctx := experimental.WithCompilationWorkers(context.Background(), o.Workers)
	took, err := translate(ctx, config, o.Dir, wasm)
	if err != nil {
		return refusal(err)
	}
	// A rehearsal of what the parent does next without limits.
	cpu, heap := confine.CPUTime(), mem.Allocated()
	if _, err := translate(ctx, config, o.Dir, wasm); err != nil {
		return refusal(err)
	}
	cpu, heap = confine.CPUTime()-cpu, mem.Allocated()-heap
	a := answer{Verdict: verdictDone, Compile: took, Load: cpu}
	if cpu > o.CPU/loadShare {
		a.Verdict = verdictSlow
	} else if heap > uint64(o.Memory/loadShare) {
		a.Verdict = verdictHeavy
	}
	return a
}

// refusal returns the answer to an error. It distinguishes the module's faults
// from all others.
func refusal(err error) answer {
	if p, ok := errors.AsType[*panics.Error](err); ok {
		if outOfMemory(p.Error()) {
			return answer{Verdict: verdictMemory}
		}
		return answer{Verdict: verdictPanic, Text: p.Error()}
	}
	if errors.Is(err, syscall.EFBIG) {
		return answer{Verdict: verdictTooLarge}
	}
	switch {
	case cache.AboutDisk(err):
		return answer{Verdict: verdictDisk, Text: err.Error(), Full: cache.Full(err)}
	case outOfMemory(err.Error()):
		return answer{Verdict: verdictMemory}
	}
	return answer{Verdict: verdictInvalid, Text: err.Error()}
}

// outOfMemory recognizes the last message of Go's runtime, or the error of a
// system call, when memory ran out.
func outOfMemory(text string) bool {
	for _, s := range []string{
		"out of memory", "cannot allocate memory", "failed to create new OS thread",
		"cannot map pages in arena", "goroutine stack exceeds",
		"failed to allocate", "address space collisions", // of the race detector
	} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
