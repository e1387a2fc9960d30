package input

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a path in an error. Each text is cut before it is added, so that
// building an error never costs more than its maximum length.
const (
	maxPath = 160
	// maxName bounds one name in a path.
	maxName = 64
)

// whole is the path of the input itself.
const whole = "(input)"

// Step is one step of the path to a value: an item's index, or the complement
// of the index of a member's name.
type Step int64

// Item returns the step to the i-th item of an array.
func Item(i int) Step { return Step(i) }

// Member returns the step to the member whose name is at an index.
func Member(name uint32) Step { return ^Step(name) }

// Enter adds a step to the document's path, which is empty after Read.
func (d *Document) Enter(s Step) { d.path = append(d.path, s) }

// Leave removes the last step from the document's path.
func (d *Document) Leave() { d.path = d.path[:len(d.path)-1] }

// Path returns the text of the document's path: user.tags[2]. If name is not empty,
// it is the path to that member, which need not exist.
func (d *Document) Path(name string) string { return d.write(d.path, name) }

func (d *Document) write(steps []Step, name string) string {
	var p Path
	for _, s := range steps {
		if !p.Room() {
			return p.String()
		}
		if s >= 0 {
			p.Item(int(s))
			continue
		}
		v := &d.values[^s]
		raw := d.raw[v.from:v.to]
		if v.escaped {
			raw = unescape(nil, raw, 2*maxName)
		}
		p.Name(string(raw[:min(len(raw), 2*maxName)]))
	}
	if name != "" {
		p.Name(name)
	}
	return p.String()
}

// Path builds the text of a path, which is cut when it gets too long. Call
// [Path.Room] before each step.
type Path struct{ b strings.Builder }

// Room reports whether there is room for another step. If not, it marks the path
// as cut.
func (p *Path) Room() bool {
	if p.b.Len() <= maxPath-maxName {
		return true
	}
	p.b.WriteString(".…")
	return false
}

// Item adds the index of an item.
func (p *Path) Item(i int) { p.b.WriteString("[" + strconv.Itoa(i) + "]") }

// Name adds the name of a member, without characters that control a terminal.
func (p *Path) Name(name string) {
	if p.b.Len() > 0 {
		p.b.WriteByte('.')
	}
	p.b.WriteString(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, cut(name, maxName)))
}

func (p *Path) String() string {
	if p.b.Len() == 0 {
		return whole
	}
	return cut(p.b.String(), maxPath)
}

// cut shortens a text to at most n bytes, at the end of a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
