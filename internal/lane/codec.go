package lane

import (
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// maxFrames bounds the frames of one message. The shortest frames that either
// end makes have four bytes, and a message with more than one frame has at most
// a segment of them.
const maxFrames = queue.SegmentSize / 4

// codec is protobuf for messages whose decoded size is bounded before they are
// decoded: an empty frame has two bytes on the wire and over a hundred in memory.
type codec struct{}

func (codec) Name() string   { return "proto" }
func (codec) IsBinary() bool { return true }

func (codec) Marshal(message any) ([]byte, error) {
	return codec{}.MarshalAppend(nil, message)
}

// MarshalAppend lets connect encode into its own buffers.
func (codec) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", message)
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

func (codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a message", message)
	}
	switch message.(type) {
	case *runnerv1.AttachRequest, *runnerv1.AttachResponse:
		if err := countFrames(data); err != nil {
			return err
		}
	}
	return proto.Unmarshal(data, m)
}

// countFrames refuses a message of too many frames. Most messages are too short
// to have that many, so they are not even looked at.
func countFrames(data []byte) error {
	if len(data) < 2*maxFrames {
		return nil
	}
	for n := 1; len(data) > 0; n++ {
		_, _, size := protowire.ConsumeField(data)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if n > maxFrames {
			return fmt.Errorf("a message has over %d frames, the limit", maxFrames)
		}
		data = data[size:]
	}
	return nil
}

var _ connect.Codec = codec{}

// handlerOptions come last in every list of options. Nothing between runners
// and cores is compressed, so that no message grows when it is read, and no
// message may be longer than the longest that a runner sends.
func handlerOptions() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if streams(spec.Procedure) {
				return []connect.HandlerOption{connect.WithReadMaxBytes(stream.MaxMessage)}
			}
			return []connect.HandlerOption{connect.WithReadMaxBytes(MaxRequest)}
		}),
		connect.WithCompression("gzip", nil, nil),
		connect.WithCodec(codec{}),
	)
}

// isJSON reports whether a request speaks JSON, which no runner does: a JSON
// message can be many times larger in memory than on the wire.
func isJSON(h http.Header) bool { return strings.Contains(h.Get("Content-Type"), "json") }
