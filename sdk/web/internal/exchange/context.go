package exchange

import (
	"context"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// watchInterval is how often the host is asked whether the caller is still
// there, if the stream does not wait for that.
const watchInterval = time.Second

// callContext is the context of a request. It starts neither a timer nor a
// goroutine until somebody calls Done.
type callContext struct {
	x        *exchange
	id       string
	caller   string
	deadline time.Time

	mu      sync.Mutex
	done    chan struct{}
	err     error
	timer   *time.Timer
	after   map[*func()]struct{}
	watched chan struct{} // closed when nobody watches any more; nil before
	unwatch bool
}

var _ context.Context = (*callContext)(nil)

type callKey struct{}

// CallID returns the id of the call that ctx belongs to, which is also in the
// caller's response and in the logs of core and runner. It is empty outside a
// call, and in a server of your own.
func CallID(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*callContext); ok {
		return c.id
	}
	return ""
}

func (c *callContext) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case entry.Caller{}:
		return c.caller
	}
	return nil
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *callContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return c.Err()
	}
	return err
}

func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted()
	return c.done
}

// AfterFunc is what the context package uses for contexts that derive from this
// one, in place of a goroutine for each.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[&f]
		delete(c.after, &f)
		return ok
	}
}

// wanted makes c.done and starts what closes it. c.mu is held.
func (c *callContext) wanted() {
	if c.done != nil {
		return
	}
	c.done = make(chan struct{})
	if c.err != nil {
		close(c.done)
		return
	}
	if !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
	c.watch()
}

// bodyEnded begins to watch for the caller's leaving. As in net/http, it is
// noticed once the body was read; until then the body's Read reports it.
func (c *callContext) bodyEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil && c.err == nil {
		c.watch()
	}
}

// watch ends the context when the caller is gone. c.mu is held, and c.done is
// open.
func (c *callContext) watch() {
	if c.watched != nil || c.unwatch || !c.x.body.atEnd() {
		return
	}
	c.watched = make(chan struct{})
	c.x.work.Go(func() {
		defer close(c.watched)
		s, err := c.x.open()
		if err != nil {
			return
		}
		raw, err := s.Raw()
		if err != nil {
			return
		}
		var probe [1]byte
		for {
			gone, asked := false, false
			_ = raw.Read(func(uintptr) bool {
				gone = c.x.host.InputRead(probe[:]) == abi.ErrBroken
				again := asked
				asked = true
				return gone || again
			})
			if gone {
				c.end(context.Canceled)
				return
			}
			c.mu.Lock()
			unwatch := c.unwatch
			c.mu.Unlock()
			if unwatch {
				return
			}
			// The stream is ready although there is nothing to read, or its read
			// deadline has passed.
			t := time.NewTimer(watchInterval)
			select {
			case <-c.done:
				t.Stop()
				return
			case <-t.C:
			}
		}
	})
}

// stopWatching waits until nobody else reads from s.
func (c *callContext) stopWatching(s *host.Stream) {
	c.mu.Lock()
	c.unwatch = true
	watched := c.watched
	c.mu.Unlock()
	if watched != nil {
		_ = s.SetReadDeadline(time.Unix(1, 0))
		<-watched
	}
	_ = s.SetReadDeadline(time.Time{})
}

// end ends the context, unless it has ended.
func (c *callContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	after := c.after
	c.after = nil
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	for f := range after {
		(*f)()
	}
}
