package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxDecodeError bounds the error text about a message that cannot be decoded,
// in bytes.
const maxDecodeError = 512

// jsonCodec is connect's own JSON codec, except that errors are bounded:
// protojson quotes megabytes of a value that it cannot read, and connect
// answers with that before any interceptor runs.
type jsonCodec struct{ name string }

// withJSON returns the codec under all names of JSON.
func withJSON() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	)
}

// Name returns the name of the encoding.
func (c jsonCodec) Name() string { return c.name }

// IsBinary reports whether messages need base64 in a URL.
func (jsonCodec) IsBinary() bool { return false }

// Marshal encodes a message.
func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend allows connect to encode into its own buffers.
func (jsonCodec) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, err := protoMessage(message)
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{}.MarshalAppend(dst, m)
}

// MarshalStable encodes a message the same way each time, for URLs.
func (c jsonCodec) MarshalStable(message any) ([]byte, error) {
	b, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	var stable bytes.Buffer
	err = json.Compact(&stable, b)
	return stable.Bytes(), err
}

// Unmarshal decodes a message. Fields that this program does not know are
// ignored: callers may be newer.
func (jsonCodec) Unmarshal(b []byte, message any) error {
	m, err := protoMessage(message)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errors.New("an empty body is not a JSON object")
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m); err != nil {
		return errors.New(fault.Cut(err.Error(), maxDecodeError))
	}
	return nil
}

func protoMessage(message any) (proto.Message, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", message)
	}
	return m, nil
}

var _ connect.Codec = jsonCodec{}
