package auth

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// streams are what is open and has not ended: procedures that stream, exchanges of
// services and calls that can last. A goroutine looks whether their callers may still
// have them, from the first one on: in a cluster without login, too, because it can get
// one.
type streams struct {
	down context.Context // ends with close
	stop context.CancelFunc
	wg   sync.WaitGroup
	wake chan struct{} // another one is there, and expires before all others

	mu        sync.Mutex
	open      map[*stream]struct{}
	next      int64 // when the first of them expires, in nanoseconds since 1970
	following bool
}

// stream is one of them.
type stream struct {
	of *access.Principal
	// hash is that of the secret that was shown, if one was.
	hash secretHash
	// still returns why the stream ends when its caller has become another principal;
	// nil if it does not.
	still func(now *access.Principal) error
	// end ends it. It is called once at most, and must not wait.
	end func(why error)
}

// errChanged ends streams of callers who are still welcome.
var errChanged = fault.New(fault.CoreUnreachable, "what the caller may do has changed").WithFix("connect again")

func (s *streams) init() {
	s.down, s.stop = context.WithCancel(context.Background())
	s.wake = make(chan struct{}, 1)
	s.open = make(map[*stream]struct{})
	s.next = math.MaxInt64
}

func (s *streams) close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.wg.Wait()
}

// FollowCall has end called, once at most, when the caller of a context may no longer
// call a service: the credential is not good any more, or the grant is gone. end must
// not wait. Call leave when the call is over.
func (a *Auth) FollowCall(ctx context.Context, service string, end func(why error)) (leave func()) {
	r := access.Of(ctx)
	if r == nil {
		return func() {} // it was not let in
	}
	return a.follow(r.Principal, func(now *access.Principal) error {
		switch {
		case now.Allows(access.Call, access.Service, service):
			return nil
		case now.Name == access.Anonymous:
			return access.Unauthenticated()
		}
		return access.Denied(now, access.Call, access.Service, service)
	}, end)
}

// follow adds a stream of a principal until leave is called.
func (a *Auth) follow(of *access.Principal, still func(*access.Principal) error, end func(error)) (leave func()) {
	if of == a.local {
		return func() {}
	}
	s, one := &a.streams, &stream{of: of, still: still, end: end}
	a.current() // a change before this is seen now, and a later one by judge
	s.mu.Lock()
	defer s.mu.Unlock()
	v := a.now.Load()
	one.hash = v.hashOf(of)
	s.open[one] = struct{}{}
	if until := s.check(a, v, one); until < s.next {
		s.next = until
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.begin(a)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, one)
	}
}

// judge ends the streams whose callers may not go on.
func (s *streams) judge(a *Auth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judgeLocked(a)
}

func (s *streams) judgeLocked(a *Auth) {
	v := a.now.Load() // the newest: a stream is never judged by an older one later
	s.next = math.MaxInt64
	for one := range s.open {
		s.next = min(s.next, s.check(a, v, one))
	}
	s.begin(a)
}

// expire ends the streams that have expired. It returns when the next one does, in
// nanoseconds since 1970.
func (s *streams) expire(a *Auth) (next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next <= time.Now().UnixNano() {
		s.judgeLocked(a)
	}
	return s.next
}

// check ends a stream whose caller may not go on. It returns until when the caller may.
func (s *streams) check(a *Auth, v *view, one *stream) (until int64) {
	until, err := a.holds(v, one)
	if err != nil {
		delete(s.open, one)
		one.end(err)
		return math.MaxInt64
	}
	return until
}

// begin has streams watched, if there are any to watch.
func (s *streams) begin(a *Auth) {
	if !s.following && len(s.open) > 0 && s.down.Err() == nil {
		s.following = true
		s.wg.Go(func() { a.watch() })
	}
}

// holds returns why a stream ends, or until when its caller counts.
func (a *Auth) holds(v *view, one *stream) (until int64, err error) {
	until = math.MaxInt64
	now := one.of
	switch {
	case v.err != nil, !v.login:
		return until, nil
	case one.of == a.everybody:
		return 0, access.Unauthenticated()
	case one.of.Name == access.Anonymous:
		now = v.anonymous
	case one.of.Token != "": // a core's is not stored, and was good when the stream began
		c := v.tokens[one.of.Token]
		s := c.by(one.hash)
		switch {
		case s != nil && s.until > time.Now().UnixNano():
			now, until = s.principal, s.until
		case c != nil && c.current.principal != nil && one.hash == secretHash{}: // changed as the stream began
			return 0, errChanged
		default:
			return 0, access.Unauthenticated()
		}
	}
	if now != one.of {
		err = one.still(now)
		one.of = now
	}
	return until, err
}

// watch judges the streams when something has changed, and when one expires, until
// close.
func (a *Auth) watch() {
	s := &a.streams
	for s.down.Err() == nil {
		changed := a.cfg.Mirror.Changed()
		a.current() // judges, if what somebody may do has changed
		next := s.expire(a)
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
