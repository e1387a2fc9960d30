package schema

// Work is counted in units. One unit reads a value or 16 bytes of it, passes a
// member or an item, visits half a rule, compares 32 bytes of a name, counts 8
// bytes of a string, or runs a few instructions of a pattern over one byte. A
// unit takes 5 to 17 ns on an AMD EPYC (see BenchmarkWork); anything slower
// counts as several.
const (
	// maxWork is the budget of one input, over all schemas of its service: 50 ms.
	maxWork = 3_000_000
	// pollEvery is the work after which the checker checks the context again.
	pollEvery = 2_000
	// maxFrames bounds how deep visits of rules nest.
	maxFrames = 8_192
)

// Bounds of what a schema can cost for one value, whatever the value is.
const (
	// maxVisit bounds the work of all rules about one value, including the
	// rules that they refer to. Doubling references reach it after a dozen
	// steps; a choice between 1,000 forms does not.
	maxVisit = 10_000
	// maxChain bounds the length of a chain of rules that refer to each other
	// about one value.
	maxChain = 64
)

// cost computes the maximum cost of visiting a rule for one value, without its
// members and items, and the length of its longest chain.
type cost struct {
	known map[*rule]visit
	open  map[*rule]bool
}

type visit struct{ work, chain int }

// of returns the cost of r. ok is false if r refers to itself about the same
// value, so that a check would never end.
func (k *cost) of(r *rule) (v visit, ok bool) {
	if r == nil {
		return visit{}, true
	}
	if v, done := k.known[r]; done {
		return v, true
	}
	if k.open[r] {
		return visit{}, false
	}
	k.open[r] = true
	defer delete(k.open, r)
	v = visit{work: r.work, chain: 1}
	ok = true
	r.eachInPlace(func(sub *rule) {
		w, ends := k.of(sub)
		ok = ok && ends
		v.work = min(v.work+w.work, maxVisit*maxVisit) // no overflow
		v.chain = max(v.chain, w.chain+1)
	})
	k.known[r] = v
	return v, ok
}

// eachInPlace calls f with all rules that r refers to about the same value.
func (r *rule) eachInPlace(f func(*rule)) {
	for _, d := range r.dependents {
		f(d.rule)
	}
	p := r.inPlace
	if p == nil {
		return
	}
	for _, list := range append(append([][]*rule{p.all}, p.any...), p.one...) {
		for _, sub := range list {
			f(sub)
		}
	}
	f(p.not)
	f(p.cond)
	f(p.then)
	f(p.otherwise)
}
