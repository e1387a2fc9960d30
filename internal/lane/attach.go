package lane

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
	"github.com/ruedo-dev/ruedo/internal/pki"
)

type clientStream = connect.BidiStreamForClientSimple[runnerv1.AttachRequest, runnerv1.AttachResponse]

// opening is how the stream of a lane can be opened.
type opening struct {
	api runnerv1connect.RunnerServiceClient
	// upgraded opens it on a connection of its own, which upgrade makes; nil: not
	// now.
	upgraded runnerv1connect.RunnerServiceClient
	upgrade  *upgrade.Client
}

// attach sends the hello and waits for the answer.
func (c *Conn) attach(ctx context.Context, o opening) (*clientStream, []*runnerv1.CoreFrame, error) {
	ctx, stopTimer := context.WithTimeout(ctx, 3*c.cfg.LossTimeout)
	defer stopTimer()
	stop := context.AfterFunc(ctx, c.cancel)
	hello := &runnerv1.Hello{Runner: c.cfg.Runner, ClusterId: c.cfg.Cluster, Registered: c.cfg.Registered, Logs: true}
	c.cfg.speaks.Hello(hello)
	stream, first, err := c.open(o, &runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{{Kind: &runnerv1.RunnerFrame_Hello{Hello: hello}}}})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, nil, c.unreachable(ctx, err)
	}
	var welcome *runnerv1.Welcome
	if len(first.Frames) > 0 {
		welcome = first.Frames[0].GetWelcome()
	}
	if welcome == nil || len(welcome.Lane) > maxName {
		return nil, nil, fault.New(fault.CoreUnreachable, "%s is not a Ruedo core", c.cfg.URL)
	}
	c.core, c.secret = printable(welcome.CoreId, maxName), welcome.Lane
	core := protocol.Range{}
	if c.number, core, err = c.cfg.speaks.Welcomed(welcome); err != nil {
		return nil, nil, err
	}
	if core.Max > c.cfg.speaks.Max {
		c.log.Warn("this runner is older than the core: it works, but lacks what later versions added", "runner", c.cfg.Runner.GetId(), "core", c.cfg.URL,
			"protocol", c.number, "newest", core.Max, "fix", "upgrade the runner")
	}
	return stream, first.Frames[1:], nil
}

// open opens the stream of the lane with a message, and returns the first one that the
// core sends. If nothing on the way takes the upgrade, the stream is one over HTTP/2.
func (c *Conn) open(o opening, hello *runnerv1.AttachRequest) (*clientStream, *runnerv1.AttachResponse, error) {
	if o.upgraded == nil {
		return greet(c.ctx, o.api, hello)
	}
	stream, first, err := greet(c.ctx, o.upgraded, hello)
	refused := o.upgrade.Refused()
	if refused == nil {
		c.own = o.upgrade.Conn()
		if c.own != nil && err != nil && !connect.IsWireError(err) {
			c.cfg.Way.Shut() // it was let through, and then nothing was
		}
		return stream, first, err
	}
	stream, first, err = greet(c.ctx, o.api, hello)
	if err == nil {
		c.cfg.Way.Shut()
		c.log.Info("the lane is a stream over HTTP/2, which takes more processor time: the core, or something on the way to it, takes no upgrade",
			"core", c.cfg.URL, "answer", printable(refused.Error(), maxLine))
	}
	return stream, first, err
}

func greet(ctx context.Context, api runnerv1connect.RunnerServiceClient, hello *runnerv1.AttachRequest) (*clientStream, *runnerv1.AttachResponse, error) {
	stream, err := api.Attach(ctx)
	if err == nil {
		err = stream.Send(hello)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	first, err := stream.Receive()
	return stream, first, err
}

func (c *Conn) unreachable(ctx context.Context, err error) error {
	err = pki.Explain(err)
	if e := faultrpc.FromError(err); ctx.Err() == nil && e.Reason != fault.CoreUnreachable && e.Reason != fault.Internal {
		return cutError(e)
	}
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	text := err.Error()
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		text = ce.Message()
	}
	return fault.Wrap(err, fault.CoreUnreachable, "cannot attach to the core at %s: %s", c.cfg.URL, printable(text, maxLine)).
		WithFix("check that the core runs and that its address is right (runner.cores)")
}
