package invocation

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/api/value"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// answer is an InvokeResponse whose typed output stays JSON until it is sent.
type answer struct {
	output      []byte
	typed       bool // the caller wants a value, if the output is one
	contentType string
	info        *ruedov1.CallInfo
}

// size is about how many bytes the answer takes when it is encoded.
func (a *answer) size(binary bool) int {
	switch {
	case a.typed && binary:
		return 8 * len(a.output)
	case a.typed || binary:
		return 2 * len(a.output)
	}
	return 3 * len(a.output)
}

// binary encodes the answer. An output that protobuf's values cannot express is
// sent as bytes.
func (a *answer) binary() ([]byte, error) {
	info, err := proto.Marshal(a.info)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(a.contentType)+len(info)+32)
	if a.contentType != "" {
		b = protowire.AppendTag(b, responseContentType, protowire.BytesType)
		b = protowire.AppendString(b, a.contentType)
	}
	b = protowire.AppendTag(b, responseInfo, protowire.BytesType)
	b = protowire.AppendBytes(b, info)
	if a.typed {
		if b, err := value.Append(b, responseOutput, a.output); err == nil {
			return b, nil
		}
	}
	b = slices.Grow(b, len(a.output)+16)
	b = protowire.AppendTag(b, responseBytes, protowire.BytesType)
	return protowire.AppendBytes(b, a.output), nil
}

// json encodes the answer as protobuf's JSON does, except that a typed output
// is exactly what the guest wrote, with every digit.
func (a *answer) json() ([]byte, error) {
	typed := a.typed && utf8.Valid(a.output) && json.Valid(a.output)
	size := len(a.output)
	if !typed {
		size = base64.StdEncoding.EncodedLen(size)
	}
	b := make([]byte, 0, size+base64.StdEncoding.EncodedLen(len(a.info.GetLogs()))+len(a.contentType)+infoSize)
	if typed {
		b = append(append(b, `{"output":`...), a.output...)
	} else {
		b = append(base64.StdEncoding.AppendEncode(append(b, `{"bytes":"`...), a.output), '"')
	}
	if a.contentType != "" {
		var err error
		if b, err = value.AppendString(append(b, `,"contentType":`...), a.contentType); err != nil {
			return nil, err
		}
	}
	b, err := appendInfo(append(b, `,"info":`...), a.info)
	return append(b, '}'), err
}
