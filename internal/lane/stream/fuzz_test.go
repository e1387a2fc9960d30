package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// patient is a response that takes deadlines, as a server's does.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// sent is what a runner sends of an answer, made of any bytes: pairs of what a message
// has and how long that is. The last byte, if it has no partner, breaks it off.
func sent(steps []byte) (msgs []*runnerv1.PushAnswerRequest, wire []byte) {
	for ; len(steps) >= 2; steps = steps[2:] {
		has, some := steps[0], bytes.Repeat(steps[:1], int(steps[1]))
		msg := &runnerv1.PushAnswerRequest{End: has&1 != 0}
		if has&2 != 0 {
			msg.Data = some
		}
		if has&4 != 0 {
			msg.Head = some
		}
		if has&8 != 0 {
			msg.Informational = bytes.Repeat(some, 1+int(has>>4)) // they have a bound together
		}
		msgs = append(msgs, msg)
		b, _ := proto.Marshal(msg) // of bytes and a bool
		wire = append(binary.BigEndian.AppendUint32(append(wire, 0), uint32(len(b))), b...)
	}
	return msgs, append(wire, steps...)
}

// FuzzPieces has a runner send any messages in place of an answer. The caller gets the
// bytes of those up to the first end, and takes nothing else for an end.
func FuzzPieces(f *testing.F) {
	f.Add([]byte{4 + 2, 10, 2, 200, 1, 0})
	f.Add([]byte{8, 3, 8, 5, 4, 1, 2, 9, 2 + 1, 9, 2, 9})
	f.Add([]byte{4, 4, 2, 100, 2, 100, 7})
	f.Add(bytes.Repeat([]byte{0xf8, 255}, 40))
	f.Fuzz(func(t *testing.T, steps []byte) {
		msgs, wire := sent(steps[:min(len(steps), 400)])
		want, ended, heads := []byte(nil), false, 0
		for first := true; len(msgs) > 0 && !ended; msgs = msgs[1:] {
			if first && len(msgs[0].Informational) > 0 {
				heads++
				continue
			}
			first = false
			want, ended = append(want, msgs[0].Data...), msgs[0].End
		}
		var got []byte
		var end error
		informed, answered := 0, false
		c := NewCall(t.Context(), &executor.Exchange{
			Inform: func([]byte) { informed++ },
			Respond: func(_ []byte, body io.Reader) {
				answered = true
				got, end = io.ReadAll(body)
			},
		}, new(breaks))
		h := connect.NewClientStreamHandler("/p", func(_ context.Context, s *connect.ClientStream[runnerv1.PushAnswerRequest]) (*connect.Response[runnerv1.PushAnswerResponse], error) {
			if !s.Receive() {
				return nil, errors.Join(s.Err(), errors.New("no message"))
			}
			return connect.NewResponse(&runnerv1.PushAnswerResponse{}), c.ServeAnswer(http.NewResponseController(patient{httptest.NewRecorder()}), s)
		}, connect.WithReadMaxBytes(MaxMessage))
		req := httptest.NewRequest(http.MethodPost, "/p", bytes.NewReader(wire))
		req.Header.Set("Content-Type", "application/connect+proto")
		h.ServeHTTP(httptest.NewRecorder(), req)
		c.End()
		if heads > executor.MaxInformational && answered || informed > heads || informed > executor.MaxInformational {
			t.Fatalf("%d of %d informational heads passed, and then an answer: %t", informed, heads, answered)
		}
		complete := answered && end == nil
		if complete && (!ended || !bytes.Equal(got, want)) || !bytes.HasPrefix(want, got) {
			t.Errorf("got %d bytes, complete %t; %d were sent, with an end: %t", len(got), complete, len(want), ended)
		}
		if ok := c.Check(true) == nil; ok != complete {
			t.Errorf("complete %t, and the call is good: %t", complete, ok)
		}
		if ok := c.Check(false) == nil; ok == answered {
			t.Errorf("an answer came: %t, and without one the call is good: %t", answered, ok)
		}
	})
}
