package admission

import (
	"regexp"
	"regexp/syntax"
)

// Bounds of the patterns of one schema. They are RE2: the time of a match grows
// at most with the size of the program times the length of the text.
const (
	maxPatterns = 256
	maxPattern  = 2 << 10
	// maxProgram bounds the size of the program of one pattern, and maxPrograms
	// the total of all. "^.{1,1000}$" has 2,003 instructions; a class like \pL
	// counts for a few hundred more.
	maxProgram  = 5_000
	maxPrograms = 25_000
)

// Pattern is a regular expression with a known cost.
type Pattern struct {
	*regexp.Regexp
	instructions int
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.Regexp.String() }

// Work returns what a match against n bytes costs: each byte can run every
// instruction.
func (p *Pattern) Work(n int) int { return 2 + p.instructions + (n+1)*(8+3*p.instructions)/8 }

// Patterns compiles the patterns of one schema, each once. The zero value is
// ready to use. [Patterns.Compile] is the regular expression engine of the
// schema's compiler, so that no pattern bypasses it.
type Patterns struct {
	made    map[string]*Pattern
	total   int
	refused *Refusal // the first
}

// Refused returns why the patterns are refused, or nil if they are not.
func (ps *Patterns) Refused() *Refusal { return ps.refused }

// Compile compiles a pattern. After the first one that is over a limit, no other is
// compiled.
func (ps *Patterns) Compile(text string) (*Pattern, error) {
	if ps.refused != nil {
		return nil, ps.refused // compiling more is not worth the cost
	}
	if p, ok := ps.made[text]; ok {
		return p, nil
	}
	if len(ps.made) >= maxPatterns {
		return nil, ps.refuse("patterns", maxPatterns, len(ps.made)+1)
	}
	if len(text) > maxPattern {
		return nil, ps.refuse("bytes in one pattern", maxPattern, len(text))
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
	if ps.made == nil {
		ps.made = make(map[string]*Pattern)
	}
	p := &Pattern{Regexp: re, instructions: len(prog.Inst)}
	ps.made[text] = p
	return p, nil
}

// atLeast returns the minimum number of instructions that a pattern compiles
// to, so that a large one can be refused without compiling it.
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

func (ps *Patterns) refuse(what string, limit, actual int) error {
	if ps.refused == nil {
		ps.refused = OverLimit(what, limit, actual)
	}
	return ps.refused
}
