package invocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/core/api/value"
)

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

// string reads a string. ok is false for null.
func (s *scanner) string() (text string, ok bool, err error) {
	s.space()
	rest := s.text[s.at:]
	if n := value.StringSize(rest); len(rest) > 1 && rest[0] == '"' && n > 1 && rest[n-1] == '"' && value.Verbatim(rest[1:n-1]) {
		s.at += n
		return string(rest[1 : n-1]), true, nil
	}
	var decoded *string
	if err := s.decode(&decoded); err != nil || decoded == nil {
		return "", false, err
	}
	return *decoded, true, nil
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
