package invocation

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/middleware"
)

// codec reads requests and writes answers, in the encoding that it is named
// after.
type codec struct {
	name  string
	turns middleware.Turns
	// limit returns the size of the largest input of a service, in bytes, which
	// decides how much of an input is retained; zero if it cannot be called.
	limit func(service string) uint64
}

// Name is the name of the encoding.
func (c codec) Name() string { return c.name }

// binary reports whether the encoding is protobuf's own.
func (c codec) binary() bool { return !strings.HasPrefix(c.name, "json") }

// Unmarshal reads a request. It does not retain b.
func (c codec) Unmarshal(b []byte, message any) error {
	r, ok := message.(*request)
	if !ok {
		return fmt.Errorf("%T is not a request", message)
	}
	defer c.turns.Take(len(b))()
	*r = request{binary: c.binary()}
	if r.binary {
		return r.readBinary(b, c.limit)
	}
	return r.readJSON(b, c.limit)
}

// Marshal writes an answer.
func (c codec) Marshal(message any) ([]byte, error) {
	switch m := message.(type) {
	case *answer:
		defer c.turns.Take(len(m.output))()
		if c.binary() {
			return m.binary()
		}
		return m.json()
	case proto.Message: // details of an error
		if c.binary() {
			return proto.Marshal(m)
		}
		return protojson.Marshal(m)
	}
	return nil, fmt.Errorf("%T is not an answer", message)
}

// Field numbers of ruedo/v1/invoke.proto.
const (
	requestService     protowire.Number = 1
	requestInput       protowire.Number = 2
	requestBytes       protowire.Number = 3
	requestContentType protowire.Number = 4
	requestLogs        protowire.Number = 5
	requestRevision    protowire.Number = 6

	responseOutput      protowire.Number = 1
	responseBytes       protowire.Number = 2
	responseContentType protowire.Number = 3
	responseInfo        protowire.Number = 4
)
