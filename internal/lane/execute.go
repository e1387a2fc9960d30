package lane

import (
	"context"
	"errors"
	"io"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// execute executes one call. It fetches the input and pushes the output and
// logs if they are too long for the lane.
func (c *Conn) execute(ctx context.Context, a *active) *runnerv1.RunnerFrame {
	id, e := a.id, a.execute
	if err := checkRequest(e); err != nil {
		return failed(notStarted(faultrpc.FromError(err)))
	}
	req := e.GetRequest()
	if e.Detached {
		// Older cores do not send the length of the input.
		room := int64(e.GetInputBytes())
		if room == 0 {
			room = MaxBody
		}
		waiting := time.Now()
		leave, err := c.enter(ctx, id, req, room)
		if err != nil {
			return failed(err)
		}
		defer leave()
		// The rest of its time is for a slot of the runner.
		req.MaxWaitNanos = int64(max(executor.MaxWait(req)-time.Since(waiting), 1))
		input, err := c.fetch(ctx, id, int(e.GetInputBytes()))
		if err != nil {
			return failed(notStarted(fault.Wrap(err, fault.InputBroken, "the input could not be fetched from the core")))
		}
		req.Input = input
	}
	res, err := c.call(ctx, a)
	if err != nil {
		f := failed(err)
		if info := f.GetFailure().GetInfo(); info != nil && len(info.Logs) > MaxInline {
			if perr := c.push(ctx, id, nil, info.Logs); perr != nil {
				// The failure matters more than its log.
				info.LogsDropped += uint64(len(info.Logs))
			}
			info.Logs = nil
		}
		return f
	}
	var output, logs []byte
	if len(res.Output) > MaxInline {
		output = res.Output
	}
	if len(res.GetInfo().GetLogs()) > MaxInline {
		logs = res.Info.Logs
	}
	if output != nil || logs != nil {
		if err := c.push(ctx, id, output, logs); err != nil {
			return failed(c.unpushed(ctx, err))
		}
		// The response belongs to this end, so parts of it can be removed.
		if logs != nil {
			res.Info.Logs = nil
		}
		if output != nil {
			res.Output = nil
			return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_ExecutedDetached{ExecutedDetached: res}}
		}
	}
	return executed(res)
}

// call calls the runner. What streams in a call of kind http is carried meanwhile.
func (c *Conn) call(ctx context.Context, a *active) (*runnerv1.ExecuteResponse, error) {
	e := a.execute
	if len(e.Request.Head) == 0 || c.number < protocol.Streams {
		return c.runner.Execute(ctx, e.Request)
	}
	r := &stream.Remote{API: c.streams, Lane: c.secret, ID: a.id, Room: int(min(e.AnswerRoom, stream.Room)), Sender: a}
	return r.Result(c.runner.Execute(executor.WithExchange(ctx, r.Exchange(ctx, e.Streams)), e.Request))
}

// enter waits for a slot for a call with a large body, and for room for its
// input. Queued calls must not pile up bodies, so a call fetches its input only
// then. The caller must call leave.
func (c *Conn) enter(ctx context.Context, id uint64, req *runnerv1.ExecuteRequest, room int64) (leave func(), err error) {
	within, cancel := context.WithTimeout(ctx, executor.MaxWait(req))
	defer cancel()
	refused := func() error {
		if ctx.Err() != nil {
			return notStarted(fault.FromError(ctx.Err()))
		}
		return executor.QueueTimeout(req.Service, "room for its input on runner "+c.cfg.Runner.GetId(), executor.MaxWait(req))
	}
	select {
	case c.outOfBand <- struct{}{}:
	case <-within.Done():
		return nil, refused()
	}
	if !c.inputs.Acquire(within, nil, id, room) {
		<-c.outOfBand
		return nil, refused()
	}
	return func() {
		c.inputs.Release(id, room)
		<-c.outOfBand
	}, nil
}

func (c *Conn) unpushed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.FromError(ctx.Err())
	}
	if e := faultrpc.FromError(err); e.Reason == fault.GuestOutputLimit {
		return e
	}
	return fault.Wrap(err, fault.Internal, "the call was executed, but its output could not be sent to the core")
}

// fetch returns the input of a call. announced is its length in bytes, if the
// core has sent it.
func (c *Conn) fetch(ctx context.Context, id uint64, announced int) ([]byte, error) {
	limit := MaxBody
	if announced > 0 {
		limit = announced
	}
	ctx = protocol.WithSecret(ctx, c.secret)
	stream, err := c.bodies.FetchInput(ctx, &runnerv1.FetchInputRequest{Lane: c.secret, Id: id})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	input := make([]byte, 0, announced)
	for stream.Receive() {
		data := stream.Msg().Data
		if len(input)+len(data) > limit {
			return nil, fault.New(fault.InputTooLarge, "the input is over the limit of %d bytes", limit)
		}
		input = append(input, data...)
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if announced > 0 && len(input) != announced {
		return nil, fault.New(fault.InputBroken, "the core announced an input of %d bytes and sent %d", announced, len(input))
	}
	return input, nil
}

// push sends the output and logs of a call to the core.
func (c *Conn) push(ctx context.Context, id uint64, output, logs []byte) error {
	stream, err := c.bodies.PushOutput(protocol.WithSecret(ctx, c.secret))
	if err != nil {
		return err
	}
	msg := &runnerv1.PushOutputRequest{Lane: c.secret, Id: id, OutputBytes: uint64(len(output)), LogBytes: uint64(len(logs))}
	for first := true; first || len(output) > 0 || len(logs) > 0; first = false {
		if !first {
			msg.Data, output = chunk(output)
			msg.Logs, logs = chunk(logs)
		}
		if err := stream.Send(msg); err != nil {
			if errors.Is(err, io.EOF) {
				break // the answer says why
			}
			return err
		}
		msg.Lane, msg.Id, msg.OutputBytes, msg.LogBytes = "", 0, 0, 0
	}
	_, err = stream.CloseAndReceive()
	return err
}

func chunk(b []byte) (piece, rest []byte) {
	n := min(len(b), chunkSize)
	return b[:n], b[n:]
}
