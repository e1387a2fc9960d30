package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

const (
	// maxLines is how many refusals of a call are told to its guest's log.
	maxLines = 4
	// maxLine bounds each of them, in bytes.
	maxLine = 500
	// piece is how much is copied at a time. It holds any datagram.
	piece = 64 << 10
)

// Call opens the streams of one call, within its limits. It is safe for concurrent
// use.
type Call struct {
	policy *Policy
	about  []slog.Attr

	open, asked    atomic.Int32
	sent, received atomic.Int64

	mu     sync.Mutex
	report Report // but for its bytes
}

var _ stream.Opener = (*Call)(nil)

// Open opens a stream; see [stream.Opener].
func (c *Call) Open(ctx context.Context, o *stream.Outbound, p *stream.Peer) error {
	e, err := grant.TargetOf(o.URL, o.Method)
	if err == nil {
		err = c.admit(func() error { return c.carry(ctx, e, o, p) })
	}
	if _, ours := errors.AsType[*fault.Error](err); err == nil || ctx.Err() != nil && !ours {
		c.note(e, nil) // the guest or its call ended it
		return err
	}
	failed := failure(err, e)
	c.note(e, failed)
	return failed
}

// admit calls open within the limits on streams.
func (c *Call) admit(open func() error) error {
	if c.asked.Add(1) > MaxStreams {
		return limited("the call has opened %d outbound streams, which is the limit", MaxStreams)
	}
	defer c.open.Add(-1)
	if c.open.Add(1) > MaxOpen {
		return limited("the call has %d outbound streams open, which is the limit: close those that are not needed", MaxOpen)
	}
	runner := &c.policy.egress.open
	defer runner.Add(-1)
	if runner.Add(1) > MaxRunnerStreams {
		return limited("the calls of this runner have %d outbound streams open, which is the limit", MaxRunnerStreams)
	}
	return open()
}

func limited(format string, args ...any) *fault.Error {
	return fault.New(fault.EgressLimit, format, args...)
}

// carry connects a stream and carries its bytes.
func (c *Call) carry(ctx context.Context, e grant.Target, o *stream.Outbound, p *stream.Peer) error {
	t, err := c.policy.admit(ctx, e)
	if err != nil {
		return err
	}
	ctx = withTarget(ctx, t)
	if e.Scheme == grant.HTTP || e.Scheme == grant.HTTPS {
		return c.request(ctx, t, o, p)
	}
	return c.connection(ctx, t, p)
}

// note counts how a stream ended, and logs the first refusal of the call.
func (c *Call) note(e grant.Target, failed *fault.Error) {
	c.mu.Lock()
	c.report.Streams++
	r, first := &c.report, false
	switch {
	case failed == nil:
	case failed.Reason == fault.EgressFailed:
		r.Failed++
	default:
		if failed.Reason == fault.EgressLimit {
			r.Limited++
		} else {
			r.Blocked++
		}
		first = r.Blocked+r.Limited == 1
		line := fault.Cut(fmt.Sprintf("%s %s", failed.Reason, failed.Message), maxLine)
		if a := failed.Meta[factAddress]; a != "" {
			line += " (" + a + ")"
		}
		if len(r.Lines) < maxLines {
			r.Lines = append(r.Lines, line)
		}
	}
	c.mu.Unlock()
	if !first {
		return
	}
	attrs := append([]slog.Attr{slog.String("reason", string(failed.Reason)), slog.String("to", e.String()), slog.String("error", failed.Message)}, c.about...)
	if a := failed.Meta[factAddress]; a != "" {
		attrs = append(attrs, slog.String("address", a))
	}
	c.policy.egress.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "refused a service the network", attrs...)
}

// failure returns the error that the guest reads: a reason, and a cause that says
// nothing of the runner's own network.
func failure(err error, e grant.Target) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	why := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		why = op.Err
	}
	text := why.Error()
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		text = dns.Err
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		text, err = "no answer in time", os.ErrDeadlineExceeded
	}
	return fault.Wrap(err, fault.EgressFailed, "%s: %s", e, text)
}

// sends and receives count bytes, and fail at the limit of the call.
func (c *Call) sends(n int) error    { return c.count(&c.sent, n, "sent") }
func (c *Call) receives(n int) error { return c.count(&c.received, n, "received") }

func (c *Call) count(of *atomic.Int64, n int, what string) error {
	limit := c.policy.egress.cfg.maxBytes
	if of.Add(int64(n)) > limit {
		return limited("the call has %s %d bytes over the network, which is the limit", what, limit)
	}
	return nil
}

// errStopped means that one side wants no more; it is no failure.
var errStopped = errors.New("the reader stopped")

// up carries what the guest writes until it has ended.
func (c *Call) up(p io.Reader, to io.Writer) error {
	buf := make([]byte, piece)
	for {
		n, err := p.Read(buf)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = c.sends(n)
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

// down carries what the other side sends until it has ended.
func (c *Call) down(from io.Reader, p io.Writer) error {
	buf := make([]byte, piece)
	for {
		n, err := from.Read(buf)
		if n > 0 || err == nil {
			if err := c.receives(n); err != nil {
				return err
			}
			if _, err := p.Write(buf[:n]); err != nil {
				return errStopped
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
