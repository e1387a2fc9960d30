package sandbox

// Held is what an engine holds in memory for its open templates.
type Held struct {
	Templates int
	// Codes is the number of compiled modules that the templates share.
	Codes int
	// Bytes of compiled modules, snapshots and idle instances. It is an estimate,
	// and does not include what calls in flight use.
	Bytes int64
}

// Held returns what the templates of the engine hold at this moment. Each
// compiled module counts once.
func (e *Engine) Held() Held {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := Held{Templates: len(e.templates)}
	h.Codes, h.Bytes = e.modules.Held()
	for t := range e.templates {
		h.Bytes += t.Held()
	}
	return h
}

// templateBytes is roughly what a template takes besides its snapshot.
const templateBytes = 32 << 10

// instanceBytes is roughly what an idle instance takes besides its memory and
// tables: the runtime's objects and the top of its stack.
const instanceBytes = 64 << 10

// CodeKey identifies the template's code in the engine's cache directory; see
// [Config.Needed]. Templates that share code have the same.
func (t *Template) CodeKey() string { return t.code.Key() }

// Held returns how many bytes the template holds for itself: its snapshot and
// its idle instances. It does not include compiled code, which templates share.
func (t *Template) Held() int64 {
	idle, retained := t.pool.held()
	return templateBytes + t.image.Held() + retained + int64(idle)*(instanceBytes+8*int64(t.rewritten.TableMin))
}
