package session

import (
	"io"
	"sync"
	"time"
)

const (
	// holdTime is how long a line can be held.
	holdTime = 100 * time.Millisecond
	// holdBytes is how many bytes are held. A pipe takes as many in one piece, even
	// if other processes write to it, too.
	holdBytes = 4 << 10
)

// lines writes the lines of loggers, in order. Write does so immediately. Lines
// that are written to held wait for others, so that many take one system call.
// It is safe for concurrent use.
type lines struct {
	w io.Writer

	mu      sync.Mutex
	waiting []byte // lines that are held
	timer   *time.Timer
	timed   bool // the timer will write what waits
	closed  bool // nothing is held any more
}

func newLines(w io.Writer) *lines {
	l := &lines{w: w}
	l.timer = time.AfterFunc(holdTime, l.flush)
	l.timer.Stop()
	return l
}

// Write writes a line, after those that wait.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write()
	return l.w.Write(line)
}

// held is lines whose Write holds a line for holdTime at most.
type held struct{ *lines }

func (h held) Write(line []byte) (int, error) {
	l := h.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+len(line) > holdBytes {
		l.write()
	}
	if l.closed || len(line) > holdBytes {
		return l.w.Write(line)
	}
	l.waiting = append(l.waiting, line...)
	if !l.timed {
		l.timed = true
		l.timer.Reset(holdTime)
	}
	return len(line), nil
}

// close writes what waits. From then on, nothing is held.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.write()
	l.timer.Stop()
}

// flush is called by the timer.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timed = false
	l.write()
}

// write writes what waits. The caller holds l.mu.
func (l *lines) write() {
	if len(l.waiting) > 0 {
		_, _ = l.w.Write(l.waiting) // as with any log, there is nobody to tell
		l.waiting = l.waiting[:0]
	}
}
