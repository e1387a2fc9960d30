package runner

// files are what a plan needs on disk: the digest of its module, and the key of
// its compiled code.
type files struct{ module, code string }

// maxRemembered bounds the services whose plans were closed to make room and
// whose files are still needed.
const maxRemembered = 1 << 14

// remember keeps the files of a plan that is closed only to make room: its next
// call needs them. Called with p.mu held.
func (p *plans) remember(e *prepared) {
	for _, other := range p.table {
		if other.plan.Service == e.plan.Service && other != e {
			return // superseded: the files of the other plan are what is needed
		}
	}
	for service := range p.closed {
		if len(p.closed) < maxRemembered {
			break
		}
		delete(p.closed, service)
	}
	p.closed[e.plan.Service] = e.files
}

// needed returns the files that the plans of live services need, as far as this
// runner knows them: those that are ready, and those that were closed only to
// make room.
func (p *plans) needed(of func(files) string) map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make(map[string]bool, len(p.table)+len(p.closed))
	for _, e := range p.table {
		names[of(e.files)] = true
	}
	for _, f := range p.closed {
		names[of(f)] = true
	}
	return names
}
