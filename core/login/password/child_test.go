//go:build unix

package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// These arguments make this test the process that hashes passwords, at the lowest
// priority or at that of the test.
const (
	lowArg  = "__hash"
	sameArg = "__serve"
)

func TestMain(m *testing.M) {
	switch {
	case slices.Equal(os.Args[1:], []string{lowArg}):
		os.Exit(password.Child(os.Stdin, os.Stdout))
	case slices.Equal(os.Args[1:], []string{sameArg}):
		os.Exit(password.Serve(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// newHasher returns a hasher with processes of its own.
func newHasher(t *testing.T) *password.Hasher {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := password.New(password.Config{Command: []string{self, sameArg}})
	h.SetPatience(testkit.Patience)
	t.Cleanup(h.Close)
	return h
}

// A flood of logins must not take the processors from calls, so who hashes passwords gets
// what others leave.
func TestAChildHasTheLowestPriority(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, lowArg)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its priority is that of its group
	stdin, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "all threads have the lowest priority", func() bool {
		// The system call returns 20 minus the niceness on Linux.
		got, err := syscall.Getpriority(syscall.PRIO_PROCESS, child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range policies(t, child.Process.Pid) {
			if policy != "5" { // SCHED_IDLE
				return false
			}
		}
		return got == 20-19 || got == 19
	})
	if err := errors.Join(stdin.Close(), child.Wait()); err != nil {
		t.Errorf("without questions it ends: %v", err)
	}
}

func TestProcessesHash(t *testing.T) {
	h := newHasher(t)
	const odd = "correct \xff horse" // not a text
	hash, err := h.Hash(t.Context(), odd)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{odd: true, "correct \ufffd horse": false} {
		if got, err := h.Matches(t.Context(), text, hash, password.Stranger); got != want || err != nil {
			t.Errorf("%q: %t, %v", text, got, err)
		}
	}
	if got, err := h.Matches(t.Context(), odd, "damaged", password.Stranger); got || err != nil {
		t.Errorf("a damaged hash: %t, %v", got, err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := h.Matches(t.Context(), odd, hash, password.Stranger); !got || err != nil {
				t.Errorf("among others: %t, %v", got, err)
			}
		})
	}
	all.Wait()
	children := h.Idle()
	if len(children) == 0 || len(children) > 2 {
		t.Fatalf("%d processes", len(children))
	}
	h.Close()
	for _, c := range children {
		if err := c.Signal(syscall.Signal(0)); err == nil {
			t.Errorf("process %d is still there", c.Pid)
		}
	}
}

// policies returns how Linux schedules each thread of a process.
func policies(t *testing.T, pid int) map[string]string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]string{}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) { // the thread has ended
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		all[filepath.Base(filepath.Dir(file))] = fields[41-3] // the first one is the third
	}
	return all
}

func TestAnotherProcessTakesThePlaceOfOneThatEnded(t *testing.T) {
	h := newHasher(t)
	hash, err := h.Hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	first := h.Idle()[0]
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the process ends", func() bool { return first.Signal(syscall.Signal(0)) != nil })
	if got, err := h.Matches(t.Context(), good, hash, password.Stranger); !got || err != nil {
		t.Errorf("%t, %v", got, err)
	}
	if next := h.Idle(); len(next) != 1 || next[0].Pid == first.Pid {
		t.Errorf("the processes are %v, the one before was %d", next, first.Pid)
	}
}

// People have to get in, whatever else the machine does.
func TestThisProcessHashesIfNoOtherCan(t *testing.T) {
	for name, command := range map[string][]string{"does not exist": {"/nowhere/ruedo"}, "is not for this": {"true"}, "does not answer in time": {"sleep", "60"}} {
		h := password.New(password.Config{Command: command})
		h.SetPatience(50 * time.Millisecond)
		hash, err := h.Hash(t.Context(), good)
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := h.Matches(t.Context(), good, hash, password.Stranger); !got || err != nil {
			t.Errorf("the program %s: %t, %v", name, got, err)
		}
		h.Close()
	}
}
