package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/api/value"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// invocation is an InvokeRequest whose typed input is JSON, never objects of Go:
// a google.protobuf.Value takes up to seventy times the size of its text.
type invocation struct {
	service     string
	input       []byte // bytes, or JSON
	typed       bool   // the input is a JSON value
	contentType string
	logs        bool
	revision    uint64 // 0 means the live one
	binary      bool   // it came in protobuf's encoding

	call    invoke.Call // begun, unless refused or the name is not valid
	refused error       // why it is not begun

	wrong error // what is wrong with the typed input, which is then not set
	size  int   // of a typed input that is too long, in bytes; 0 if not known
}

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

// invocationCodec reads invocations and writes answers, in the encoding that it
// is named after. The format on the wire is that of ruedo/v1/invoke.proto.
type invocationCodec struct {
	name  string
	turns middleware.Turns
	// begin resolves the service, whose limit decides how much of an input is
	// retained.
	begin func(service string) (invoke.Call, error)
}

// Name is the name of the encoding.
func (c invocationCodec) Name() string { return c.name }

// binary reports whether the encoding is protobuf's own.
func (c invocationCodec) binary() bool { return !strings.HasPrefix(c.name, "json") }

// Unmarshal reads an invocation. It does not retain b.
func (c invocationCodec) Unmarshal(b []byte, message any) error {
	r, ok := message.(*invocation)
	if !ok {
		return fmt.Errorf("%T is not an invocation", message)
	}
	defer c.turns.Take(len(b))()
	*r = invocation{binary: c.binary()}
	if r.binary {
		return r.readBinary(b, c.begin)
	}
	return r.readJSON(b, c.begin)
}

// Marshal writes an answer.
func (c invocationCodec) Marshal(message any) ([]byte, error) {
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

func (r *invocation) readBinary(b []byte, begin func(service string) (invoke.Call, error)) error {
	var typed []byte
	err := value.Fields(b, func(n protowire.Number, t protowire.Type, field []byte, v uint64) error {
		switch {
		case n == requestLogs && t == protowire.VarintType:
			r.logs = v != 0
		case n == requestRevision && t == protowire.VarintType:
			r.revision = v
		case t != protowire.BytesType:
		case n == requestService:
			r.service = string(field)
		case n == requestInput:
			typed, r.input, r.typed = field, nil, true
		case n == requestBytes:
			typed, r.input, r.typed = nil, bytes.Clone(field), false
		case n == requestContentType:
			r.contentType = string(field)
		}
		return nil
	})
	if err == nil && (!utf8.ValidString(r.service) || !utf8.ValidString(r.contentType)) {
		return value.ErrUTF8
	}
	if err != nil {
		return err
	}
	limit := r.begin(begin)
	if r.typed {
		r.input, r.wrong = value.JSON(typed, limit)
	}
	return nil
}

// begin resolves the service, once per call, and returns the size of its
// largest input, in bytes; 0 if it cannot be called.
func (r *invocation) begin(begin func(service string) (invoke.Call, error)) (limit uint64) {
	if !names.Valid(r.service) {
		return 0 // check refuses it
	}
	target := r.service
	if r.revision > 0 {
		target += "@" + strconv.FormatUint(r.revision, 10)
	}
	if r.call, r.refused = begin(target); r.refused != nil {
		return 0
	}
	return r.call.InputLimit()
}

// errNoJSON says that a typed input is not a JSON value.
var errNoJSON = errors.New("it is not a JSON value")

// readJSON reads the fields of the request. A typed input is taken verbatim.
func (r *invocation) readJSON(b []byte, begin func(service string) (invoke.Call, error)) error {
	s := &scanner{text: b}
	if !s.skip('{') {
		return errors.New("it is not a JSON object")
	}
	seen := make(map[string]bool, 6)
	for first := true; !s.skip('}'); first = false {
		if !first && !s.skip(',') {
			return s.unexpected()
		}
		var name string
		if err := s.decode(&name); err != nil {
			return err
		}
		if !s.skip(':') {
			return s.unexpected()
		}
		if name == "content_type" {
			name = "contentType"
		}
		if seen[name] || name == "input" && seen["bytes"] || name == "bytes" && seen["input"] {
			return fmt.Errorf("the field %.64q is given twice, or both input and bytes are", name)
		}
		seen[name] = true
		if err := r.readField(s, name); err != nil {
			return fmt.Errorf("field %.64q: %w", name, err)
		}
	}
	if s.space(); s.at < len(b) {
		return errors.New("there is data after the request")
	}
	limit := r.begin(begin)
	if !r.typed {
		return nil
	}
	typed := r.input
	r.input = nil
	switch {
	case uint64(len(typed)) > limit:
		r.wrong, r.size = value.ErrTooLong, len(typed)
	case !json.Valid(typed) || !utf8.Valid(typed):
		r.wrong = errNoJSON
	default:
		r.input = bytes.Clone(typed) // b is not ours
	}
	return nil
}

func (r *invocation) readField(s *scanner, name string) error {
	switch name {
	case "service":
		return s.decode(&r.service)
	case "contentType":
		return s.decode(&r.contentType)
	case "logs":
		return s.decode(&r.logs)
	case "revision": // protobuf's JSON writes 64 bits as text and reads both
		var number json.Number
		if err := s.decode(&number); err != nil || number == "" {
			return err
		}
		var err error
		r.revision, err = strconv.ParseUint(string(number), 10, 64)
		return err
	case "input":
		r.typed, r.input = true, s.value()
		return nil
	case "bytes":
		var text *string
		if err := s.decode(&text); err != nil || text == nil {
			return err
		}
		var err error
		r.input, err = base64Bytes(*text)
		return err
	}
	return errors.New("there is no such field")
}

// scanner finds values in JSON without parsing them.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) && bytes.IndexByte([]byte(" \t\r\n"), s.text[s.at]) >= 0 {
		s.at++
	}
}

// skip skips white space and then the byte c, if it is next.
func (s *scanner) skip(c byte) bool {
	if s.space(); s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// value returns what may be the next value: everything up to the comma or
// bracket after it.
func (s *scanner) value() []byte {
	s.space()
	from, depth := s.at, 0
	for at := from; at < len(s.text); at++ {
		if depth > 0 {
			at += value.Plain(s.text[at:])
		}
		if at == len(s.text) {
			break
		}
		switch c := s.text[at]; {
		case c == '"':
			at += value.StringSize(s.text[at:]) - 1
		case c == '[' || c == '{':
			depth++
		case depth > 0 && (c == ']' || c == '}'):
			depth--
		case depth == 0 && (c == ',' || c == ']' || c == '}'):
			s.at = at
			return s.text[from:at]
		}
	}
	s.at = len(s.text)
	return s.text[from:]
}

// decode reads a value that is not nested.
func (s *scanner) decode(to any) error {
	s.space()
	from := s.at
	if from < len(s.text) && s.text[from] == '"' {
		s.at += value.StringSize(s.text[from:])
	} else {
		s.value()
	}
	if s.at == from {
		return s.unexpected()
	}
	if text := s.text[from:s.at]; utf8.Valid(text) {
		return json.Unmarshal(text, to)
	}
	return value.ErrUTF8
}

func (s *scanner) unexpected() error {
	if s.at >= len(s.text) {
		return errors.New("it ends in the middle")
	}
	return fmt.Errorf("byte %d is unexpected", s.at)
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
	info, err := protojson.Marshal(a.info)
	if err != nil {
		return nil, err
	}
	contentType, err := json.Marshal(a.contentType)
	if err != nil {
		return nil, err
	}
	typed := a.typed && utf8.Valid(a.output) && json.Valid(a.output)
	size := len(a.output)
	if !typed {
		size = base64.StdEncoding.EncodedLen(size)
	}
	b := make([]byte, 0, size+len(info)+len(contentType)+64)
	if typed {
		b = append(append(b, `{"output":`...), a.output...)
	} else {
		b = append(base64.StdEncoding.AppendEncode(append(b, `{"bytes":"`...), a.output), '"')
	}
	if a.contentType != "" {
		b = append(append(b, `,"contentType":`...), contentType...)
	}
	b = append(append(b, `,"info":`...), info...)
	return append(b, '}'), nil
}

// base64Bytes reads base64 as protobuf's JSON does: in either alphabet, with or
// without padding.
func base64Bytes(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}
