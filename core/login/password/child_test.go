//go:build unix

package password_test

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// childArg makes this test the process that hashes passwords.
const childArg = "__hash"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArg {
		os.Exit(password.Child(os.Stdin, os.Stdout))
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
	h := password.New(password.Config{Command: []string{self, childArg}})
	t.Cleanup(h.Close)
	return h
}

// A flood of logins must not take the processors from calls, so passwords are hashed in
// processes that get what others leave.
func TestProcessesOfTheLowestPriorityHash(t *testing.T) {
	h := newHasher(t)
	const odd = "correct \xff horse" // not a text
	hash, err := h.Hash(t.Context(), odd)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{odd: true, "correct \ufffd horse": false} {
		if got, err := h.Matches(t.Context(), text, hash); got != want || err != nil {
			t.Errorf("%q: %t, %v", text, got, err)
		}
	}
	if got, err := h.Matches(t.Context(), odd, "damaged"); got || err != nil {
		t.Errorf("a damaged hash: %t, %v", got, err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := h.Matches(t.Context(), odd, hash); !got || err != nil {
				t.Errorf("among others: %t, %v", got, err)
			}
		})
	}
	all.Wait()
	children := h.Idle()
	if len(children) == 0 || len(children) > 2 {
		t.Fatalf("%d processes", len(children))
	}
	for _, c := range children {
		// The system call returns 20 minus the niceness on Linux.
		if got, err := syscall.Getpriority(syscall.PRIO_PROCESS, c.Pid); err != nil || got != 20-19 && got != 19 {
			t.Errorf("priority %d, %v", got, err)
		}
	}
	h.Close()
	for _, c := range children {
		if err := c.Signal(syscall.Signal(0)); err == nil {
			t.Errorf("process %d is still there", c.Pid)
		}
	}
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
	if got, err := h.Matches(t.Context(), good, hash); !got || err != nil {
		t.Errorf("%t, %v", got, err)
	}
	if next := h.Idle(); len(next) != 1 || next[0].Pid == first.Pid {
		t.Errorf("the processes are %v, the one before was %d", next, first.Pid)
	}
}

func TestThisProcessHashesIfNoOtherCan(t *testing.T) {
	h := password.New(password.Config{Command: []string{"/nowhere/ruedo"}})
	defer h.Close()
	hash, err := h.Hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Matches(t.Context(), good, hash); !got || err != nil {
		t.Errorf("%t, %v", got, err)
	}
}
