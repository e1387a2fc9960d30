package labels

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Bounds of a selector.
const (
	MaxSelector     = 1024 // bytes
	MaxRequirements = 16
	MaxValues       = 32 // of one requirement
)

// SelectorExample is a selector with every form, for errors and documents.
const SelectorExample = "zone=eu-1,rack in (7,8),!gpu"

// Selector is a list of requirements, all of which a set of labels has to meet.
// It is immutable. Nil and a selector without requirements match every set.
type Selector struct{ requirements []requirement }

type requirement struct {
	key    string
	op     operator
	values []string
}

type operator uint8

const (
	exists operator = iota
	absent
	equal
	notEqual
	in
	notIn
)

// Nothing returns a selector that no set of labels meets.
func Nothing() *Selector { return &Selector{[]requirement{{key: "nothing", op: in}}} }

// Matches reports whether a set of labels meets all requirements. As in
// Kubernetes, != and notin are also met by a set that does not have the key.
func (s *Selector) Matches(set map[string]string) bool {
	if s == nil {
		return true
	}
	for i := range s.requirements {
		if !s.requirements[i].met(set) {
			return false
		}
	}
	return true
}

// Empty reports whether the selector matches every set.
func (s *Selector) Empty() bool { return s == nil || len(s.requirements) == 0 }

func (r *requirement) met(set map[string]string) bool {
	value, has := set[r.key]
	switch r.op {
	case exists:
		return has
	case absent:
		return !has
	case equal, in:
		return has && slices.Contains(r.values, value)
	default:
		return !has || !slices.Contains(r.values, value)
	}
}

// String returns the selector as it is usually written, without needless spaces.
func (s *Selector) String() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	for i, r := range s.requirements {
		if i > 0 {
			b.WriteByte(',')
		}
		switch r.op {
		case exists:
			b.WriteString(r.key)
		case absent:
			b.WriteString("!" + r.key)
		case equal:
			b.WriteString(r.key + "=" + r.values[0])
		case notEqual:
			b.WriteString(r.key + "!=" + r.values[0])
		case in:
			b.WriteString(r.key + " in (" + strings.Join(r.values, ",") + ")")
		case notIn:
			b.WriteString(r.key + " notin (" + strings.Join(r.values, ",") + ")")
		}
	}
	return b.String()
}

// ParseSelector reads a selector: requirements that are separated by commas, each
// of the form key, !key, key=value (or ==), key!=value, key in (a,b) or
// key notin (a,b). Spaces can stand between words. It fails with REQUEST_INVALID,
// which names the position of the first mistake. A text without requirements makes
// an empty selector.
func ParseSelector(text string) (*Selector, error) {
	if len(text) > MaxSelector {
		return nil, fault.New(fault.RequestInvalid, "the label selector has %d bytes, the maximum is %d", len(text), MaxSelector).
			With("limit", MaxSelector, "actual", len(text)).WithFix("write for example %s", SelectorExample)
	}
	p := &parser{text: text}
	s := &Selector{}
	if p.spaces(); p.at == len(text) {
		return s, nil
	}
	for {
		p.spaces()
		began := p.at
		r, ok := p.requirement()
		if !ok {
			return nil, p.err
		}
		if s.requirements = append(s.requirements, r); len(s.requirements) > MaxRequirements {
			p.fail(began, "at most %d requirements are possible", MaxRequirements)
			return nil, p.err
		}
		if p.spaces(); p.at == len(text) {
			return s, nil
		}
		if !p.accept(",") {
			p.expected(`"," or the end`)
			return nil, p.err
		}
	}
}

// parser reads a selector from left to right. Its first error is kept.
type parser struct {
	text  string
	at    int // offset of the next byte
	began int // offset of the last word
	err   error
}

func (p *parser) requirement() (r requirement, ok bool) {
	if p.accept("!") {
		p.spaces()
		r.op = absent
		r.key, ok = p.key()
		return r, ok
	}
	if r.key, ok = p.key(); !ok {
		return r, false
	}
	p.spaces()
	switch {
	case p.accept("!="):
		r.op = notEqual
	case p.accept("=="), p.accept("="):
		r.op = equal
	default:
		switch before := p.at; p.word() {
		case "in":
			r.op = in
		case "notin":
			r.op = notIn
		case "":
			return r, true // only the key
		default:
			p.at = before
			return r, p.expected(`"," or one of =, !=, in, notin`)
		}
		r.values, ok = p.list()
		return r, ok
	}
	p.spaces()
	value, ok := p.value()
	r.values = []string{value}
	return r, ok
}

// list reads values in parentheses.
func (p *parser) list() (values []string, ok bool) {
	if p.spaces(); !p.accept("(") {
		return nil, p.expected(`"("`)
	}
	for {
		p.spaces()
		value, ok := p.value()
		if !ok {
			return nil, false
		}
		if value == "" {
			return nil, p.expected("a value")
		}
		if values = append(values, value); len(values) > MaxValues {
			return nil, p.fail(p.began, "at most %d values are possible", MaxValues)
		}
		p.spaces()
		switch {
		case p.accept(")"):
			return values, true
		case !p.accept(","):
			return nil, p.expected(`"," or ")"`)
		}
	}
}

func (p *parser) key() (string, bool) {
	key := p.word()
	if key == "" {
		return "", p.expected("a key")
	}
	if why := CheckKey(key); why != "" {
		return "", p.fail(p.began, "%s", why)
	}
	return key, true
}

func (p *parser) value() (string, bool) {
	value := p.word()
	if why := CheckValue(value); why != "" {
		return "", p.fail(p.began, "%s", why)
	}
	return value, true
}

// word reads the characters of keys and values.
func (p *parser) word() string {
	p.began = p.at
	for p.at < len(p.text) && (isAlphanumeric(p.text[p.at]) || strings.IndexByte("-._/", p.text[p.at]) >= 0) {
		p.at++
	}
	return p.text[p.began:p.at]
}

func (p *parser) spaces() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *parser) accept(token string) bool {
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

// expected fails at the next character.
func (p *parser) expected(what string) bool {
	found := "the end"
	if p.at < len(p.text) {
		r, _ := utf8.DecodeRuneInString(p.text[p.at:])
		found = fmt.Sprintf("%q", string(r))
	}
	return p.fail(p.at, "%s is expected, not %s", what, found)
}

// fail records what is wrong at an offset. It returns false.
func (p *parser) fail(at int, format string, args ...any) bool {
	if p.err == nil {
		n := utf8.RuneCountInString(p.text[:at]) + 1
		p.err = fault.New(fault.RequestInvalid, "the label selector %q is not valid at character %d: %s", fault.Cut(p.text, 120), n, fmt.Sprintf(format, args...)).
			With("position", n).WithFix("write for example %s", SelectorExample)
	}
	return false
}
