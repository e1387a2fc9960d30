package invocation

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ruedo-dev/ruedo/core/api/value"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// maxGrowth is how many bytes of JSON a byte of a typed input can take. It is what
// requests are charged for.
const maxGrowth = 4

// maxContentType bounds the media type of an input, in bytes.
const maxContentType = 255

// request is an InvokeRequest whose typed input is JSON, never objects of Go:
// a google.protobuf.Value takes up to seventy times the size of its text.
type request struct {
	service     string
	input       []byte // bytes, or JSON
	typed       bool   // the input is a JSON value
	contentType string
	logs        bool
	revision    uint64 // 0 means the live one
	binary      bool   // it came in protobuf's encoding

	wrong error // what is wrong with the typed input, which is then not set
	size  int   // of a typed input that is too long, in bytes; 0 if not known
}

func (r *request) readBinary(b []byte, limit func(service string) uint64) error {
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
	if r.typed {
		r.input, r.wrong = value.JSON(typed, r.limit(b, limit))
	}
	return nil
}

// limit returns how much is retained of a typed input. Who asks is not known yet, so
// nothing is read from the store: the limit of a revision is checked when it is
// called.
func (r *request) limit(b []byte, of func(service string) uint64) uint64 {
	switch {
	case !names.Valid(r.service):
		return 0 // check refuses it
	case r.revision > 0:
		return maxGrowth * uint64(len(b))
	}
	return of(r.service)
}

// target names what is called.
func (r *request) target() string {
	if r.revision > 0 {
		return r.service + "@" + strconv.FormatUint(r.revision, 10)
	}
	return r.service
}

// errNoJSON says that a typed input is not a JSON value.
var errNoJSON = errors.New("it is not a JSON value")

// readJSON reads the fields of the request. A typed input is taken verbatim.
func (r *request) readJSON(b []byte, limit func(service string) uint64) error {
	s := &scanner{text: b}
	if !s.skip('{') {
		return errors.New("it is not a JSON object")
	}
	seen := make(map[string]bool, 6)
	for first := true; !s.skip('}'); first = false {
		if !first && !s.skip(',') {
			return s.unexpected()
		}
		name, _, err := s.string()
		if err != nil {
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
	if !r.typed {
		return nil
	}
	typed := r.input
	r.input = nil
	switch {
	case uint64(len(typed)) > r.limit(b, limit):
		r.wrong, r.size = value.ErrTooLong, len(typed)
	case !json.Valid(typed) || !utf8.Valid(typed):
		r.wrong = errNoJSON
	default:
		r.input = bytes.Clone(typed) // b is not ours
	}
	return nil
}

func (r *request) readField(s *scanner, name string) (err error) {
	switch name {
	case "service":
		r.service, _, err = s.string()
		return err
	case "contentType":
		r.contentType, _, err = s.string()
		return err
	case "logs":
		return s.decode(&r.logs)
	case "revision": // protobuf's JSON writes 64 bits as text and reads both
		var number json.Number
		if err := s.decode(&number); err != nil || number == "" {
			return err
		}
		r.revision, err = strconv.ParseUint(string(number), 10, 64)
		return err
	case "input":
		r.typed, r.input = true, s.value()
		return nil
	case "bytes":
		text, ok, err := s.string()
		if err != nil || !ok {
			return err
		}
		r.input, err = base64Bytes(text)
		return err
	}
	return errors.New("there is no such field")
}

// refusal returns what is wrong with a typed input, or nil.
func (r *request) refusal(call invoke.Call) error {
	switch {
	case r.wrong == nil:
		return nil
	case errors.Is(r.wrong, value.ErrTooLong) && r.size > 0:
		return call.TooLarge(strconv.Itoa(r.size) + " bytes")
	case errors.Is(r.wrong, value.ErrTooLong):
		return call.TooLarge("more than " + strconv.FormatUint(call.InputLimit(), 10) + " bytes")
	case errors.Is(r.wrong, errNoJSON):
		return fault.New(fault.RequestInvalid, "the request is not valid: its input is not a JSON value")
	}
	return fault.Wrap(r.wrong, fault.InputInvalid, "the input of service %s is not a value: %s", r.service, r.wrong)
}

// check checks a request against the rules of its message.
func (r *request) check() error {
	var wrong []fault.Field
	if !names.Valid(r.service) {
		wrong = append(wrong, fault.Field{Path: "service", Description: "does not match the pattern " + names.Pattern})
	}
	if n := utf8.RuneCountInString(r.contentType); n > maxContentType {
		wrong = append(wrong, fault.Field{Path: "content_type", Description: "must be at most " + strconv.Itoa(maxContentType) + " characters"})
	}
	if len(wrong) == 0 {
		return nil
	}
	e := fault.New(fault.RequestInvalid, "the request is not valid")
	e.Fields = wrong
	return e
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
