package socket

import (
	"encoding/binary"

	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// Types of events of poll_oneoff for streams.
const (
	EventRead  = 1
	EventWrite = 2
)

// hangup is the flag of an event whose other side is gone, or has ended.
const hangup = 1

// Interest is what a guest waits for, each stream and direction once: a guest can
// ask for one thousands of times.
type Interest struct {
	seen  [2][stream.MaxFiles]bool
	files []polled
}

type polled struct {
	file *stream.File
	kind byte
}

// Add adds a kind of event of the stream with a number.
func (w *Interest) Add(f *stream.File, fd uint32, kind byte) {
	if seen := &w.seen[kind-EventRead][fd-stream.FirstFile]; !*seen {
		*seen = true
		w.files = append(w.files, polled{f, kind})
	}
}

// Ready reports whether there is an event.
func (w *Interest) Ready() bool {
	for _, p := range w.files {
		if _, ready, _ := p.state(); ready {
			return true
		}
	}
	return false
}

func (p polled) state() (n int, ready, over bool) {
	if p.kind == EventRead {
		return p.file.Readable()
	}
	return p.file.Writable()
}

// Event fills an event in, except for what it has of its subscription, and reports
// whether there is one.
func Event(f *stream.File, kind byte, event []byte) bool {
	n, ready, over := polled{f, kind}.state()
	if !ready {
		return false
	}
	clear(event)
	binary.LittleEndian.PutUint64(event[16:], uint64(n))
	if over {
		event[24] = hangup
	}
	return true
}
