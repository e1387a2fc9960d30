package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// invocation is an InvokeRequest whose typed input stays encoded: a
// google.protobuf.Value as an object of Go takes up to seventy times the size of
// its text.
type invocation struct {
	service     string
	input       []byte // bytes, or JSON
	value       []byte // an encoded google.protobuf.Value, in place of input
	typed       bool   // the input is a JSON value
	contentType string
	logs        bool
	binary      bool // it came in protobuf's encoding
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
// is named after. What is on the wire is as ruedo/v1/invoke.proto says.
type invocationCodec string

// Name is the name of the encoding.
func (c invocationCodec) Name() string { return string(c) }

// Unmarshal reads an invocation. It keeps nothing of b.
func (c invocationCodec) Unmarshal(b []byte, message any) error {
	r, ok := message.(*invocation)
	if !ok {
		return fmt.Errorf("%T is not an invocation", message)
	}
	if c.binary() {
		return r.readBinary(b)
	}
	err := r.readJSON(b)
	if errors.Is(err, io.EOF) { // which would say that there is no message
		return errors.New("it ends in the middle")
	}
	return err
}

// Marshal writes an answer.
func (c invocationCodec) Marshal(message any) ([]byte, error) {
	switch m := message.(type) {
	case *answer:
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

	responseOutput      protowire.Number = 1
	responseBytes       protowire.Number = 2
	responseContentType protowire.Number = 3
	responseInfo        protowire.Number = 4
)

func (r *invocation) readBinary(b []byte) error {
	*r = invocation{binary: true}
	err := fields(b, func(n protowire.Number, t protowire.Type, field []byte, v uint64) error {
		switch {
		case n == requestLogs && t == protowire.VarintType:
			r.logs = v != 0
		case t != protowire.BytesType:
		case n == requestService:
			r.service = string(field)
		case n == requestInput:
			r.value, r.input, r.typed = append([]byte{}, field...), nil, true
		case n == requestBytes:
			r.value, r.input, r.typed = nil, bytes.Clone(field), false
		case n == requestContentType:
			r.contentType = string(field)
		}
		return nil
	})
	if err == nil && (!utf8.ValidString(r.service) || !utf8.ValidString(r.contentType)) {
		return errUTF8
	}
	return err
}

func (r *invocation) readJSON(b []byte) error {
	*r = invocation{}
	if !utf8.Valid(b) {
		return errUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("the request is not a JSON object")
	}
	seen := make(map[string]bool, 5)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		switch name {
		case "content_type":
			name = "contentType"
		case "input", "bytes":
			if seen["input"] || seen["bytes"] {
				return errors.New("input and bytes exclude each other")
			}
		}
		if seen[name] {
			return fmt.Errorf("the field %.64q stands twice", name)
		}
		seen[name] = true
		if err := r.readField(dec, name); err != nil {
			return fmt.Errorf("field %.64q: %w", name, err)
		}
	}
	if _, err := dec.Token(); err != nil { // the brace
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the request")
	}
	return nil
}

func (r *invocation) readField(dec *json.Decoder, name string) error {
	switch name {
	case "service":
		return dec.Decode(&r.service)
	case "contentType":
		return dec.Decode(&r.contentType)
	case "logs":
		return dec.Decode(&r.logs)
	case "input":
		r.typed = true
		return dec.Decode((*json.RawMessage)(&r.input))
	case "bytes":
		var text *string
		if err := dec.Decode(&text); err != nil || text == nil {
			return err
		}
		var err error
		r.input, err = base64Bytes(*text)
		return err
	}
	return errors.New("there is no such field")
}

// binary encodes the answer. An output that protobuf's values cannot express is
// sent as bytes.
func (a *answer) binary() ([]byte, error) {
	var output []byte
	var err error
	number := responseOutput
	if a.typed {
		output, err = valueOf(a.output)
	}
	if !a.typed || err != nil {
		number, output = responseBytes, a.output
	}
	info, err := proto.Marshal(a.info)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(output)+len(a.contentType)+len(info)+32)
	b = protowire.AppendTag(b, number, protowire.BytesType)
	b = protowire.AppendBytes(b, output)
	if a.contentType != "" {
		b = protowire.AppendTag(b, responseContentType, protowire.BytesType)
		b = protowire.AppendString(b, a.contentType)
	}
	b = protowire.AppendTag(b, responseInfo, protowire.BytesType)
	return protowire.AppendBytes(b, info), nil
}

// json encodes the answer as protobuf's JSON has it, but that a typed output is
// what the guest wrote, every digit of it.
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
