//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// longEnough is how long a walk waits for what the page shows. It is far more than
// anything needs on a busy machine.
const longEnough = 90 * time.Second

// walk is a section of a page of docs whose commands a test types. The test can
// only type what the page has next, and what the page shows as output must come,
// so that both always tell the same.
//
// Ports, ids, times and sizes differ from those in the page. A port in the page
// stands for a free one, and an id for the one that comes where the page shows it
// first.
type walk struct {
	terminal
	steps []step
	known map[string]string // by a port or an id in the page: what it is here
}

// step is a command in a page and its output, or a file ("# core.yaml") and its
// lines.
type step struct {
	line  string
	shows []string
}

// newWalk begins the walk of a section. Its directory and its environment are those
// of a user who has just installed the program; nothing reaches a network.
func newWalk(t *testing.T, page, title string) *walk {
	t.Helper()
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the pages use %s: %v", tool, err)
		}
	}
	b, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## "+title+"\n")
	if !found {
		t.Fatalf("docs/%s has no section %q", page, title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	bin := filepath.Dir(binary(t, "ruedo"))
	env := []string{
		"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"HOME=" + t.TempDir(), "NO_COLOR=1",
		"RUEDO_RUNNER_COMPILE_TIME=1m", // a busy machine is no failure
		"GOCACHE=" + goEnv(t, "GOCACHE"), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"),
		"GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=", "GOENV=off", "GOTOOLCHAIN=local",
	}
	return &walk{
		terminal: terminal{t: t, dir: t.TempDir(), env: append(clean(os.Environ()), env...)},
		steps:    steps(section),
		known:    make(map[string]string),
	}
}

// comment is what the page says about a command, on its line.
var comment = regexp.MustCompile(` {2,}# .*$`)

// steps returns the commands and files in the blocks of a section. Each line of a
// block "sh" is a command; in a block "console", commands begin with "$ ".
func steps(section string) (all []step) {
	block := "" // its language, "" between blocks
	for line := range strings.Lines(section) {
		line = strings.TrimRight(line, "\n")
		fence, isFence := strings.CutPrefix(line, "```")
		command, isCommand := strings.CutPrefix(line, "$ ")
		isComment := strings.HasPrefix(line, "# ")
		switch {
		case isFence:
			block = fence
		case line == "":
		case block == "sh" && !isComment, block == "console" && isCommand:
			all = append(all, step{line: comment.ReplaceAllString(command, "")})
		case block == "yaml" && isComment:
			all = append(all, step{line: line})
		case block == "yaml", block == "console" && !isComment:
			last := &all[len(all)-1]
			last.shows = append(last.shows, line)
		}
	}
	return all
}

// next returns the next step of the page, with ports and ids as they are here.
func (w *walk) next(line string) step {
	w.t.Helper()
	if len(w.steps) == 0 {
		w.t.Fatalf("the page ends before\n\t%s", line)
	}
	s := w.steps[0]
	if s.line != line {
		w.t.Fatalf("the page has\n\t%s\nand the test goes on with\n\t%s", s.line, line)
	}
	w.steps = w.steps[1:]
	s.line = w.here(s.line)
	return s
}

// kinds are what differs from the page. A text of one kind stands for any other of
// the same kind, except that ports and ids stand for the same one each time.
var kinds = []string{
	port, id,
	`\.\.\.`,
	`\b20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}Z?`,             // a time
	`\b[a-z]+@[A-Za-z0-9._-]+`,                                  // a user
	`\b[0-9a-f]{12}\b`,                                          // a digest
	`\b[0-9]+(?:\.[0-9]+)? (?:bytes|[KMG]iB)(?: \([0-9]+%\))?`,  // a size, with its share
	`\b[0-9]+(?:\.[0-9]+)?(?:µs|ms|s|m|h|d)(?:[0-9]+[a-z]+)*\b`, // how long
	`\b[0-9]+\.[0-9]\b`,                                         // calls per second
}

const (
	port = `\b(?:78[0-9]{2}|23[0-9]{2})\b`
	id   = `\bcore-[a-z0-9]{8}\b|\brack[0-9]-[a-z0-9]{6}\b|\b[0-9a-f]{13,16}\b`
)

var (
	alias   = regexp.MustCompile(port + "|" + id)
	differs = regexp.MustCompile("(" + strings.Join(kinds, ")|(") + ")")
)

// here returns a command or a file of the page with the ports and ids that it has
// here.
func (w *walk) here(text string) string {
	w.t.Helper()
	return alias.ReplaceAllStringFunc(text, func(s string) string {
		if w.known[s] == "" {
			if !regexp.MustCompile("^" + port + "$").MatchString(s) {
				w.t.Fatalf("the page has not shown %s before it types\n\t%s", s, text)
			}
			w.known[s] = freePort(w.t)
		}
		return w.known[s]
	})
}

// pattern returns what a line of the page's output stands for, and the ids in it
// that are not known yet, one for each group.
func (w *walk) pattern(line string, known map[string]string) (p *regexp.Regexp, unknown []string) {
	var b strings.Builder
	at := 0
	for _, m := range differs.FindAllStringSubmatchIndex(line, -1) {
		b.WriteString(regexp.QuoteMeta(line[at:m[0]]))
		kind := slices.IndexFunc(kinds, func(string) bool { m = m[2:]; return m[0] >= 0 })
		text := line[m[0]:m[1]]
		at = m[1]
		switch {
		case text == "...":
			b.WriteString(".*")
		case known[text] != "":
			b.WriteString(regexp.QuoteMeta(known[text]))
		case kinds[kind] == port:
			b.WriteString(w.here(text))
		case kinds[kind] == id:
			unknown = append(unknown, text)
			b.WriteString("(" + id + ")")
		default:
			b.WriteString("(?:" + kinds[kind] + ")")
		}
	}
	b.WriteString(regexp.QuoteMeta(line[at:]))
	return regexp.MustCompile("^" + b.String() + "$"), unknown
}

// missing returns the first line of the page's output that did not come, "" if all
// did. Other lines can come as well, and the order can differ: lists are sorted by
// ids.
func (w *walk) missing(shows []string, got answer) string {
	rest := strings.Split(got.out+"\n"+got.talk, "\n")
	for i, line := range rest {
		rest[i] = strings.Join(strings.Fields(line), " ")
	}
	known := maps.Clone(w.known)
	for _, line := range shows {
		pattern, unknown := w.pattern(strings.Join(strings.Fields(line), " "), known)
		i := slices.IndexFunc(rest, pattern.MatchString)
		if i < 0 {
			return line
		}
		for n, is := range pattern.FindStringSubmatch(rest[i])[1:] {
			known[unknown[n]] = is
		}
		rest = slices.Delete(rest, i, i+1)
	}
	maps.Copy(w.known, known)
	return ""
}

var (
	export = regexp.MustCompile(`^export (\w+)=(.*)$`)
	// failure is a line of a command that exits with another code than 0.
	failure = regexp.MustCompile(`^error: |^cluster [a-z0-9-]+: (?:warning|bad)$`)
	// asks is a command that changes nothing: people type it until they see what
	// they wait for.
	asks = regexp.MustCompile(`^(?:curl|ruedo(?: --\w+ \S+)* (?:get|describe|inspect|call|logs)) `)
)

// types types the next command of the page and returns what came: what the page
// shows, and a failure if the page shows one. A command that only asks is typed again
// until it does, and until all of the conditions hold.
func (w *walk) types(line string, until ...func(answer) bool) answer {
	w.t.Helper()
	s := w.next(line)
	if m := export.FindStringSubmatch(s.line); m != nil {
		w.env = append(w.env, m[1]+"="+strings.Trim(m[2], `"`))
		return answer{t: w.t, of: s.line}
	}
	fails := slices.ContainsFunc(s.shows, failure.MatchString)
	var got answer
	var lacks string
	began := time.Now()
	holds := testkit.Poll(longEnough, func() bool {
		got = w.run("sh", "-c", s.line)
		got.of = s.line
		switch lacks = w.missing(s.shows, got); {
		case (got.code != 0) != fails:
			lacks = fmt.Sprint("another exit code than ", got.code)
		case lacks == "" && slices.ContainsFunc(until, func(ok func(answer) bool) bool { return !ok(got) }):
			lacks = "what the test waits for"
		}
		return lacks == "" || !asks.MatchString(s.line)
	})
	w.t.Logf("%5.1f s $ %s\n%s%s", time.Since(began).Seconds(), s.line, got.out, got.talk)
	if lacks != "" || !holds {
		w.t.Fatalf("$ %s\nThis does not come:\n\t%s", s.line, lacks)
	}
	return got
}

// starts types the next command of the page in a terminal of its own, where it goes
// on, and waits until it says something.
func (w *walk) starts(line, says string) *process {
	w.t.Helper()
	s := w.next(line)
	p := startIn(w.t, w.dir, w.env, "sh", "-c", "exec env "+s.line)
	w.says(p, says)
	return p
}

// says waits until a process has said something.
func (w *walk) says(p *process, text string) {
	w.t.Helper()
	testkit.Within(w.t, longEnough, "it says "+text, func() bool {
		select {
		case <-p.exited:
			if !strings.Contains(p.output(), text) {
				w.t.Fatalf("it ended without saying %s:\n%s", text, tail(p.output(), 4000))
			}
		default:
		}
		return strings.Contains(p.output(), text)
	})
}

// writes writes the next file of the page.
func (w *walk) writes(name string) {
	w.t.Helper()
	s := w.next("# " + name)
	w.write(name, w.here(strings.Join(s.shows, "\n"))+"\n")
}

// interrupts is Ctrl-C in the terminal of a process, which ends in good order.
func (w *walk) interrupts(p *process) {
	w.t.Helper()
	p.signal(w.t, os.Interrupt)
	if code := p.wait(w.t, longEnough); code != 0 {
		w.t.Errorf("it exits with %d:\n%s", code, tail(p.output(), 4000))
	}
}

// kills is kill -9.
func (w *walk) kills(p *process) {
	w.t.Helper()
	p.signal(w.t, os.Kill)
	<-p.exited
}

// arrives checks that the page has nothing left.
func (w *walk) arrives() {
	w.t.Helper()
	if len(w.steps) > 0 {
		w.t.Errorf("the page goes on with\n\t%s", w.steps[0].line)
	}
}
