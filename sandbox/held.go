package sandbox

// Held is what an engine has in memory for its open templates.
type Held struct {
	Templates int
	// Codes is the number of compiled modules that the templates share.
	Codes int
	// Bytes of compiled modules, snapshots and idle instances. It is an estimate;
	// what calls in flight use is not in it.
	Bytes int64
}

// Held returns what the templates of the engine hold at this moment. Each
// compiled module counts once.
func (e *Engine) Held() Held {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := Held{Templates: len(e.templates)}
	h.Codes, h.Bytes = e.shared.Held()
	for t := range e.templates {
		h.Bytes += t.Held()
	}
	return h
}

// templateBytes is about what a template takes besides its snapshot.
const templateBytes = 32 << 10

// instanceBytes is about what an idle instance takes besides its memory and
// tables: the runtime's objects and the top of its stack.
const instanceBytes = 64 << 10

// Held returns how many bytes the template has for itself: its snapshot and
// its idle instances. Compiled code, which templates share, is not in it.
func (t *Template) Held() int64 {
	idle, retained := t.pool.held()
	return templateBytes + t.image.Held() + retained + int64(idle)*(instanceBytes+8*int64(t.rewritten.TableMin))
}
