package password

import (
	"os"
	"time"
)

// Serve is Child with the priority that the process has: the others of tests can take all
// processors for minutes.
var Serve = serve

// Idle returns the processes that wait for a password.
func (h *Hasher) Idle() (all []*os.Process) {
	h.workers.mu.Lock()
	defer h.workers.mu.Unlock()
	for _, w := range h.workers.idle {
		all = append(all, w.cmd.Process)
	}
	return all
}

// SetPatience sets how long a process can take for a hash, and how long others wait at
// least.
func (h *Hasher) SetPatience(d time.Duration) { h.workers.patience, h.maxWait = d, max(d, maxWait) }

// Fake has each hash take so long, and wait for processors for a part of it.
func (h *Hasher) Fake(took, waited time.Duration) {
	h.compute = func(question) answer {
		time.Sleep(took)
		return answer{Waited: waited}
	}
}
