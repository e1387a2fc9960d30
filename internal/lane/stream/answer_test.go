package stream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// breaks counts how often a call was broken off.
type breaks int

func (b *breaks) Break(uint64) { *b++ }

// A runner that sends what must not come on the lane loses the call. The caller does not
// take what came before for all of the answer.
func TestWhatMustNotComeOnTheLane(t *testing.T) {
	head := &runnerv1.AnswerPiece{Head: []byte("head"), Data: []byte("some")}
	long := func(n int) *runnerv1.AnswerPiece { return &runnerv1.AnswerPiece{Data: make([]byte, n)} }
	for name, pieces := range map[string][]*runnerv1.AnswerPiece{
		"too much at once": {long(Room + 1)},
		"too much in all":  {head, long(Room - len("headsome")), long(1)},
		"a long head":      {{Head: []byte(strings.Repeat("x", Room+1))}},
		"two heads":        {head, head},
		"nothing":          {head, nil},
	} {
		ended := make(chan error, 1)
		broke := new(breaks)
		c := NewCall(t.Context(), &executor.Exchange{Respond: func(_ []byte, body io.Reader) {
			_, err := io.Copy(io.Discard, body)
			ended <- err
		}}, broke)
		for _, p := range pieces {
			c.Take(p, func() { t.Errorf("%s: the caller wants the rest", name) })
		}
		if *broke != 1 {
			t.Errorf("%s: the call goes on", name)
		}
		if err := c.Check(true); !errors.Is(err, fault.StreamBroken) {
			t.Errorf("%s: the call ends with %v", name, err)
		}
		c.End()
		if len(pieces) > 1 && <-ended == nil {
			t.Errorf("%s: the caller takes the answer for complete", name)
		}
	}
}

// An answer comes one way: what begins on a stream of its own does not go on on the lane.
func TestAnAnswerThatBeganElsewhere(t *testing.T) {
	for name, respond := range map[string]func([]byte, io.Reader){"on a stream": func([]byte, io.Reader) {}, "nowhere": nil} {
		broke := new(breaks)
		c := NewCall(t.Context(), &executor.Exchange{Respond: respond}, broke)
		c.answer.began = respond != nil
		c.Take(&runnerv1.AnswerPiece{Head: []byte("head")}, func() {})
		if *broke != 1 || !errors.Is(c.Failed(errors.New("canceled")), fault.StreamBroken) {
			t.Errorf("%s: the call goes on", name)
		}
		c.End()
	}
}

// unhurried is a response whose deadlines nobody needs.
type unhurried struct{ http.ResponseWriter }

func (unhurried) SetReadDeadline(time.Time) error  { return nil }
func (unhurried) SetWriteDeadline(time.Time) error { return nil }

// A runner that has said that the answer is whole cannot let it go on: the call would wait
// for a stream that need not end.
func TestAnAnswerDoesNotGoOnAfterItsEnd(t *testing.T) {
	read := make(chan struct{})
	c := NewCall(t.Context(), &executor.Exchange{Respond: func(_ []byte, body io.Reader) {
		<-read
		_, _ = io.Copy(io.Discard, body)
	}}, new(breaks))
	defer c.End()
	c.Take(&runnerv1.AnswerPiece{Data: []byte("some")}, func() {})
	c.Answered(true)
	from := new(connect.ClientStream[runnerv1.PushAnswerRequest])
	from.Msg().After = 1
	served := make(chan error, 1)
	go func() { served <- c.ServeAnswer(http.NewResponseController(unhurried{}), from) }()
	select {
	case err := <-served:
		if !errors.Is(err, ErrNoCall) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the core waits for more")
	}
	close(read)
	if err := c.Check(true); err != nil {
		t.Error(err)
	}
}

// The end comes with the last bytes if both came on the lane, so that nobody sends them
// one by one.
func TestTheEndComesWithTheLastBytes(t *testing.T) {
	type read struct {
		n   int
		err error
	}
	reads, more := make(chan read), make(chan struct{})
	c := NewCall(t.Context(), &executor.Exchange{Respond: func(_ []byte, body io.Reader) {
		for buf := make([]byte, 10); ; <-more {
			n, err := body.Read(buf)
			reads <- read{n, err}
			if err != nil {
				return
			}
		}
	}}, new(breaks))
	defer c.End()
	c.Take(&runnerv1.AnswerPiece{Data: []byte("first")}, func() {})
	if r := <-reads; r != (read{5, nil}) {
		t.Errorf("got %+v", r)
	}
	c.Take(&runnerv1.AnswerPiece{Data: []byte("last")}, func() {})
	c.Answered(true)
	more <- struct{}{}
	if r := <-reads; r != (read{4, io.EOF}) {
		t.Errorf("got %+v", r)
	}
	if err := c.Check(true); err != nil {
		t.Error(err)
	}
}

// A caller who leaves when the answer is almost there has left: nothing broke.
func TestACallerWhoLeavesAtTheEnd(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	c := NewCall(ctx, &executor.Exchange{Respond: func(_ []byte, body io.Reader) { _, _ = io.Copy(io.Discard, body) }}, new(breaks))
	defer c.End()
	c.Take(&runnerv1.AnswerPiece{Data: []byte("some")}, func() {})
	leave()
	if err := c.Check(true); !errors.Is(err, fault.Canceled) {
		t.Errorf("the call ends with %v", err)
	}
}
