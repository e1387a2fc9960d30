package conformance

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// server is what a part of the suite is about.
type server struct{ version, protocol string }

func (s server) compare(other server) int {
	return cmp.Or(cmp.Compare(s.version, other.version), cmp.Compare(s.protocol, other.protocol))
}

// report reads what the suite prints.
type report struct {
	mu                    sync.Mutex
	tls                   string // in the words of the suite; all of its runs have the same
	ran                   map[server]int
	total, passed, failed int
	said                  []string // besides that
}

var (
	running = regexp.MustCompile(`^Running (\d+) tests with .* \{HTTP_VERSION_(\d), PROTOCOL_(\w+), TLS:(.+)\}`)
	totals  = regexp.MustCompile(`^Total cases: (\d+)\n(\d+) passed, (\d+) failed`)
)

func (r *report) Printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	if m := running.FindStringSubmatch(line); m != nil {
		if r.ran == nil {
			r.ran = make(map[server]int)
		}
		r.ran[server{"HTTP/" + m[2], m[3]}] += number(m[1])
		r.tls = m[4]
		return
	}
	if m := totals.FindStringSubmatch(line); m != nil {
		r.total, r.passed, r.failed = number(m[1]), number(m[2]), number(m[3])
		return
	}
	r.said = append(r.said, line)
}

func (r *report) PrefixPrintf(prefix, format string, args ...any) {
	r.Printf("%s: %s", prefix, fmt.Sprintf(format, args...))
}

// failures returns what the suite says about cases that fail, but not without end.
func (r *report) failures() string {
	const most = 50
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.said) > most {
		return strings.Join(r.said[:most], "\n") + fmt.Sprintf("\n... and %d more", len(r.said)-most)
	}
	return strings.Join(r.said, "\n")
}

// number parses digits. Those of no number that the suite has make 0, which fails.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}
