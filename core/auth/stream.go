package auth

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// streams are the procedures that stream and have not ended. In a cluster with login
// a goroutine looks whether their callers may still have them, from the first one on.
type streams struct {
	down context.Context // ends with close
	stop context.CancelFunc
	wg   sync.WaitGroup
	wake chan struct{} // another one is there

	mu        sync.Mutex
	open      map[*stream]struct{}
	following bool
}

// stream is one of them.
type stream struct {
	of     *access.Principal
	cancel context.CancelCauseFunc
}

// errChanged ends streams of callers who are still welcome.
var errChanged = fault.New(fault.CoreUnreachable, "what the caller may do has changed").WithFix("connect again")

func (s *streams) init() {
	s.down, s.stop = context.WithCancel(context.Background())
	s.wake = make(chan struct{}, 1)
	s.open = make(map[*stream]struct{})
}

func (s *streams) close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.wg.Wait()
}

// follow returns a context that ends with an error as its cause when the principal
// may not go on. Call end when the stream is over.
func (a *Auth) follow(ctx context.Context, of *access.Principal) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	one := &stream{of, cancel}
	s := &a.streams
	s.mu.Lock()
	s.open[one] = struct{}{}
	s.mu.Unlock()
	// After it was added: a change before that is seen now, and a later one by judge.
	s.judge(a, a.current())
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return ctx, func() {
		s.mu.Lock()
		delete(s.open, one)
		s.mu.Unlock()
		cancel(nil)
	}
}

// judge ends the streams whose callers may not go on. It returns when the next one
// expires, in nanoseconds since 1970.
func (s *streams) judge(a *Auth, v *view) (next int64) {
	next = math.MaxInt64
	now := time.Now().UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		until, err := a.holds(v, one.of)
		if err == nil && until <= now {
			err = access.Unauthenticated()
		}
		if err != nil {
			one.cancel(err)
			continue
		}
		next = min(next, until)
	}
	if v.login && !s.following && len(s.open) > 0 && s.down.Err() == nil {
		s.following = true
		s.wg.Go(func() { a.watch() })
	}
	return next
}

// holds returns why a principal does not count any more, or until when it does.
func (a *Auth) holds(v *view, p *access.Principal) (until int64, err error) {
	switch {
	case v.err != nil, p == a.local, !v.login:
		return math.MaxInt64, nil
	case p == a.everybody:
		return 0, access.Unauthenticated()
	case p.Token == "":
		return math.MaxInt64, nil // it was good when the stream began, and has no end
	}
	c := v.tokens[p.Token]
	if c == nil {
		return 0, access.Unauthenticated()
	}
	for _, s := range []*secret{&c.current, &c.previous} {
		if s.principal == p {
			return s.until, nil
		}
	}
	if c.current.principal == nil {
		return 0, access.Unauthenticated()
	}
	return 0, errChanged
}

// watch judges the streams when something has changed, and when one expires, until
// close.
func (a *Auth) watch() {
	s := &a.streams
	for s.down.Err() == nil {
		changed := a.cfg.Mirror.Changed()
		next := s.judge(a, a.current())
		expired := time.NewTimer(time.Duration(next - time.Now().UnixNano()))
		select {
		case <-changed:
		case <-s.wake:
		case <-expired.C:
		case <-s.down.Done():
		}
		expired.Stop()
	}
}
