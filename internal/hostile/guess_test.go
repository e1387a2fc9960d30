//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// What a core allows, as docs/security.md says.
const (
	badTokens     = 20 // a minute for an address
	openRequests  = 10 // a second for an address
	loginsFrom    = 5  // a minute for a user and an address
	loginsOf      = 30 // a minute for a user
	failuresFrom  = 10 // a minute for an address
	recordsAtOnce = 50 // a second for a core
	// looks bounds how often the tests themselves read the audit in a move, which is
	// recorded, too.
	looks = 50
)

// guesses are what came of a flood.
type guesses struct {
	mu   sync.Mutex
	n    map[fault.Reason]int
	sent time.Duration // until the last one began
	took time.Duration // until the last one was answered
}

// flood does something n times, so many a second, from several goroutines, each of
// which has a client from open.
func flood(n, rate, workers int, open func() *peer, do func(p *peer, i int) error) *guesses {
	g := &guesses{n: map[fault.Reason]int{}}
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range workers {
		all.Go(func() {
			p := open()
			defer func() { p.close() }()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate)))) // the rate
				g.mu.Lock()
				g.sent = time.Since(began)
				g.mu.Unlock()
				g.add(do(p, i))
			}
		})
	}
	all.Wait()
	g.took = time.Since(began)
	return g
}

func (g *guesses) add(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reason := fault.Reason("none")
	if err != nil {
		reason = faultrpc.FromError(err).Reason
	}
	g.n[reason]++
}

// mostly checks that a flood was one, and that all but a few were refused for now.
func (b *bout) mostly(what string, g *guesses, n, rate, allowed int, first fault.Reason) {
	b.refusal(fault.LoginLimit)
	if g.sent > 2*time.Duration(n)*time.Second/time.Duration(rate) {
		b.tooLate("%s: %d in %s, that is no flood", what, n, g.sent)
	}
	if got := g.n[first]; got == 0 || got > allowed || got+g.n[fault.LoginLimit] != n {
		b.Errorf("%s: %v of %d in %s; want at most %d %s, and %s for all others", what, g.n, n, g.took, allowed, first, fault.LoginLimit)
	}
	b.note("%s: %v in %s", what, g.n, g.took.Round(time.Millisecond))
}

// asks sends a request on a connection that is kept, and returns the error in the
// answer.
func (b *bout) asks(p *peer, method, path string, header http.Header, body string) error {
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	a, err := b.heard(path, res)
	if err != nil {
		return err
	}
	later := a.header.Get("Retry-After") != "" || strings.Contains(string(a.body), "google.rpc.RetryInfo")
	if limited := reasonIs(a.err, fault.LoginLimit); limited != (a.status == http.StatusTooManyRequests) || limited && !later {
		b.Errorf("%s: status %d with Retry-After %q and %v", path, a.status, a.header.Get("Retry-After"), a.err)
	}
	return a.err
}

// guessRow is row 29: a thousand guesses a second.
func guessRow() *row {
	const n, rate = 2500, 1000
	var id string
	// guess shows a token that is no good; whoever guesses has found some ids already.
	guess := func(b *bout, p *peer, i int, more ...string) error {
		t := token.New(token.Bearer)
		if i%2 == 0 {
			t, _ = token.Renew(token.Bearer, id)
		}
		h := bearing(t.Reveal())
		for k := 0; k+1 < len(more); k += 2 {
			h.Set(more[k], more[k+1])
		}
		return b.asks(p, http.MethodPost, "/call/"+victimName, h, "{}")
	}
	authenticate := func(r *ruedov1.AuditRecord) bool { return r.GetAction() == "authenticate" }
	anything := func(r *ruedov1.AuditRecord) bool { return r.GetReason() != "" || r.GetAction() == "flood" }
	return &row{
		number: 29, name: "1,000 tokens a second", once: true,
		setup: func(b *bout) {
			_, made := b.principal("guessed", "* * *")
			id = made.GetToken().GetId()
		},
		moves: []move{
			{"from the address of everybody else", func(b *bout) {
				// The victim and the runners come from there, too.
				after := b.latest()
				g := flood(n, rate, 16, func() *peer { return b.from(net.IPv4(127, 0, 0, 1), false) }, func(p *peer, i int) error { return guess(b, p, i) })
				b.mostly("one address", g, n, rate, badTokens+int(g.took/(3*time.Second))+1, fault.Unauthenticated)
				records := b.audited(after, func(list []*ruedov1.AuditRecord) bool { return times(list, authenticate) >= n })
				if got := times(records, authenticate); got != n {
					b.Errorf("%d guesses are recorded as %d", n, got)
				}
				records = slices.DeleteFunc(records, func(r *ruedov1.AuditRecord) bool { return !authenticate(r) })
				if most := 2 * (int(g.took.Seconds()) + 3); len(records) > most {
					b.Errorf("%d guesses are %d records; at most %d are allowed", n, len(records), most)
				}
			}},
			{"from an address that says that it is another", func(b *bout) {
				after := b.latest()
				p := b.stranger(false)
				defer p.close()
				g := &guesses{n: map[fault.Reason]int{}}
				for i := range 3 * badTokens {
					g.add(guess(b, p, i, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i), "Forwarded", fmt.Sprintf("for=192.0.2.%d", i)))
				}
				if got := g.n[fault.Unauthenticated]; got == 0 || got > badTokens+1 {
					b.Errorf("%v: %d are allowed", g.n, badTokens)
				}
				b.audited(after, func(list []*ruedov1.AuditRecord) bool { return times(list, authenticate) >= 3*badTokens })
			}},
			{"from an address for each", func(b *bout) {
				after := b.latest()
				g := flood(n, rate, 16, func() *peer { return b.stranger(false) }, func(_ *peer, i int) error {
					p := b.stranger(false)
					defer p.close()
					return guess(b, p, i)
				})
				// Few share a bucket of the limit with one who has guessed before.
				if got := g.n[fault.Unauthenticated]; got < n-n/50 || got+g.n[fault.LoginLimit] != n {
					b.Errorf("%v, want %d %s", g.n, n, fault.Unauthenticated)
				}
				records := b.audited(after, func(list []*ruedov1.AuditRecord) bool { return times(list, anything) >= n })
				if got := times(records, anything); got > n+looks { // the looks of the tests are among what is not told apart
					b.Errorf("%d guesses are recorded as %d", n, got)
				}
				if most := recordsAtOnce * (int(g.took.Seconds()) + 3); len(records) > most || len(records) < recordsAtOnce {
					b.Errorf("%d guesses are %d records; at most %d are allowed", n, len(records), most)
				}
				b.note("%d guesses from as many addresses: %d records", n, len(records))
			}},
			{"how long it takes", func(b *bout) {
				// What a core knows of a token, and what not, costs the same.
				known, err := token.Renew(token.Bearer, id)
				b.must(known, err)
				kinds := []string{token.New(token.Bearer).Reveal(), known.Reveal(), "garbage"}
				took := make([][]time.Duration, len(kinds))
				for range 50 {
					p := b.stranger(false)
					for i := range badTokens - badTokens%len(kinds) {
						began := time.Now()
						_ = b.asks(p, http.MethodPost, "/call/"+victimName, bearing(kinds[i%len(kinds)]), "")
						if i >= len(kinds) { // when it has a connection
							took[i%len(kinds)] = append(took[i%len(kinds)], time.Since(began))
						}
					}
					p.close()
				}
				b.alike("tokens", 300*time.Microsecond, took...)
			}},
		},
		peakCore: 96 << 20,
	}
}

// alike checks that the medians of several things differ by no more than noise.
func (b *bout) alike(what string, noise time.Duration, took ...[]time.Duration) {
	var medians []time.Duration
	for _, list := range took {
		slices.Sort(list)
		medians = append(medians, list[len(list)/2])
	}
	if least, most := slices.Min(medians), slices.Max(medians); most > least+max(noise, least/3) {
		b.tooLate("%s: the medians are %s", what, medians)
	}
	b.note("%s: medians of %s", what, medians)
}
