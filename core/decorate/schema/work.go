package schema

// Work is counted in units: a value or 16 bytes of it read, a member or an item
// passed, half a rule visited, 32 bytes of a name compared, 8 bytes of a string
// counted, a few instructions of a pattern run over one byte. A unit takes 5 to 17
// ns on an AMD EPYC, see BenchmarkWork; what takes longer counts as several.
const (
	// maxWork is the budget of one input, over all schemas of its service: 50 ms.
	maxWork = 3_000_000
	// pollEvery is the work after which the checker looks at the context again.
	pollEvery = 2_000
	// maxFrames bounds the rules that are visited within each other.
	maxFrames = 8_192
)

// Bounds of what a schema may cost for one value, whatever the value is.
const (
	// maxVisit bounds the work of all rules about one value, with the rules that
	// they refer to. Doubling references reach it after a dozen steps; a choice
	// between 1,000 forms does not.
	maxVisit = 10_000
	// maxChain bounds how many rules may refer to each other in a row about one
	// value.
	maxChain = 64
)

// cost computes the most that visiting a rule costs for one value, without its
// members and items, and how many rules refer to each other in a row.
type cost struct {
	known map[*rule]visit
	open  map[*rule]bool
}

type visit struct{ work, chain int }

// of returns the cost of r; ok is false if r refers to itself about the same value,
// so that a check would never end.
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
	for _, list := range append(append([][]*rule{r.all}, r.any...), r.one...) {
		for _, sub := range list {
			f(sub)
		}
	}
	for _, d := range r.dependents {
		f(d.rule)
	}
	f(r.not)
	f(r.cond)
	f(r.then)
	f(r.otherwise)
}
