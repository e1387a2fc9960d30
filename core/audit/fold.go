package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// fold counts what is the same.
type fold struct {
	mu      sync.Mutex
	notes   chain.Notes // in the order in which they came
	places  map[what]int
	more    uint32 // that there was no room for
	running bool   // a goroutine writes
	closed  bool
}

// what is the same of notes that are folded.
type what struct {
	principal, from, action, noun, name string
	reason                              fault.Reason
}

// maxText bounds each text that waits to be written.
const maxText = 256

// Denied records that a request was refused, or a login failed. It never waits.
func (a *Audit) Denied(ctx context.Context, action, noun, name string, reason fault.Reason) {
	a.note(chain.Note{First: time.Now(), By: access.Of(ctx), Action: action, Noun: noun, Name: name, Reason: reason, Count: 1})
}

// Seen records that somebody has read something of which that is recorded. It never
// waits.
func (a *Audit) Seen(ctx context.Context, noun, name string) {
	a.note(chain.Note{First: time.Now(), By: access.Of(ctx), Action: "read", Noun: noun, Name: name, Count: 1})
}

func (a *Audit) note(n chain.Note) {
	n.Action, n.Noun, n.Name = fault.Cut(n.Action, maxText), fault.Cut(n.Noun, maxText), fault.Cut(n.Name, maxText)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(n)
	if !a.running && !a.closed {
		a.running = true
		a.wg.Go(a.write)
	}
}

// add folds a note. The caller holds the lock.
func (f *fold) add(n chain.Note) {
	w := what{action: n.Action, noun: n.Noun, name: n.Name, reason: n.Reason}
	if n.By != nil {
		w.from = n.By.From
		if n.By.Principal != nil {
			w.principal = n.By.Name
		}
	}
	if at, ok := f.places[w]; ok {
		f.notes[at].Count += n.Count
		return
	}
	if len(f.notes) == maxFolded {
		f.more += n.Count
		return
	}
	if f.places == nil {
		f.places = map[what]int{}
	}
	f.places[w] = len(f.notes)
	f.notes = append(f.notes, n)
}

// take returns what to write now. All that is beyond [MaxASecond] becomes one note.
func (f *fold) take() chain.Notes {
	f.mu.Lock()
	defer f.mu.Unlock()
	notes, more := f.notes, f.more
	f.notes, f.places, f.more = nil, nil, 0
	if len(notes) > MaxASecond || more > 0 {
		rest := notes[min(len(notes), MaxASecond-1):]
		notes = notes[:len(notes)-len(rest)]
		for _, n := range rest {
			more += n.Count
		}
		notes = append(notes, chain.Note{First: time.Now(), Action: "flood", Summary: fmt.Sprintf("%d more, of others or of other things", more), Count: more})
	}
	if len(notes) == 0 {
		f.running = false
	}
	return notes
}

// refold folds notes again that could not be written.
func (f *fold) refold(notes chain.Notes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	later := f.notes
	f.notes, f.places = nil, nil
	for _, n := range append(notes, later...) {
		f.add(n)
	}
}

// stop lets no goroutine start any more.
func (f *fold) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// write writes what is there, again and again, until nothing is.
func (a *Audit) write() {
	for {
		timer := time.NewTimer(a.cfg.Pause)
		select {
		case <-timer.C:
		case <-a.ctx.Done():
			timer.Stop()
		}
		notes := a.take()
		if len(notes) == 0 {
			return
		}
		ctx, cancel := context.WithCancel(a.ctx)
		if a.ctx.Err() != nil {
			ctx, cancel = context.WithTimeout(context.WithoutCancel(a.ctx), closeTimeout)
		}
		err := a.cfg.Records.Write(ctx, notes)
		cancel()
		switch {
		case err == nil:
		case a.ctx.Err() != nil:
			a.cfg.Logger.Warn("records of the audit are lost, because the store does not accept them", "records", len(notes), "error", err)
			return
		default:
			a.cfg.Logger.Debug("records of the audit cannot be written yet", "records", len(notes), "error", err)
			a.refold(notes)
		}
	}
}
