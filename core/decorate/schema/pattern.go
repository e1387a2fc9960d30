package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of the patterns of one schema. They are RE2: the time that one takes
// grows with the size of its program times the length of the text, never faster.
const (
	maxPatterns     = 256
	maxPatternBytes = 2 << 10
	// maxProgram bounds the size of the program of one pattern, and maxPrograms
	// that of all. "^.{1,1000}$" has 2,003 instructions; a class like \pL counts
	// for some hundred more.
	maxProgram  = 5_000
	maxPrograms = 25_000
)

// pattern is a regular expression that knows what it costs.
type pattern struct {
	*regexp.Regexp
	instructions int
}

// String returns the pattern as it was written.
func (p *pattern) String() string { return p.Regexp.String() }

// work of a match against n bytes: each byte may meet each instruction.
func (p *pattern) work(n int) int { return 2 + p.instructions + (n+1)*(8+3*p.instructions)/8 }

// patterns compiles the patterns of one schema, each once. It is the regular
// expression engine of the schema's compiler, so that nothing gets past it.
type patterns struct {
	made  map[string]*pattern
	total int
	// over is the first limit that was exceeded.
	over *Refusal
}

func (ps *patterns) compile(text string) (jsonschema.Regexp, error) {
	p, err := ps.get(text)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (ps *patterns) get(text string) (*pattern, error) {
	if ps.over != nil {
		return nil, ps.over // what follows is not worth its cost
	}
	if p, ok := ps.made[text]; ok {
		return p, nil
	}
	if len(ps.made) >= maxPatterns {
		return nil, ps.refuse("patterns", maxPatterns, len(ps.made)+1)
	}
	if len(text) > maxPatternBytes {
		return nil, ps.refuse("bytes in one pattern", maxPatternBytes, len(text))
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if n := atLeast(parsed); n > maxProgram {
		return nil, ps.refuse("instructions in one pattern", maxProgram, n)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	n := len(prog.Inst)
	for i := range prog.Inst {
		n += len(prog.Inst[i].Rune) / 8
	}
	if n > maxProgram {
		return nil, ps.refuse("instructions in one pattern", maxProgram, n)
	}
	if ps.total += n; ps.total > maxPrograms {
		return nil, ps.refuse("instructions in its patterns", maxPrograms, ps.total)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	p := &pattern{Regexp: re, instructions: len(prog.Inst)}
	ps.made[text] = p
	return p, nil
}

// atLeast is how many instructions a pattern compiles to at least, so that a large
// one need not be compiled to be refused.
func atLeast(re *syntax.Regexp) int {
	n := 1
	for _, sub := range re.Sub {
		n += atLeast(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max) // each at most 1,000
	}
	return min(n, 1_000_000)
}

func (ps *patterns) refuse(what string, limit, actual int) error {
	if ps.over == nil {
		ps.over = overLimit(what, limit, actual)
	}
	return ps.over
}

// validRegexp reports whether an input is a regular expression, without making
// the program: (x{1000}){1000} must not cost its size.
func validRegexp(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("invalid UTF-8")
	}
	_, err := syntax.Parse(s, syntax.Perl)
	return err
}

// formatWork is what checking the format of a string of n bytes costs.
func formatWork(name string, n int) int {
	if name == "regex" {
		return 64 + 512*n // classes of Unicode have hundreds of ranges
	}
	return 8 + n
}
