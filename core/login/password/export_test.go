package password

import "os"

// Idle returns the processes that wait for a password.
func (h *Hasher) Idle() (all []*os.Process) {
	h.workers.mu.Lock()
	defer h.workers.mu.Unlock()
	for _, w := range h.workers.idle {
		all = append(all, w.cmd.Process)
	}
	return all
}
