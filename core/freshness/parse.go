package freshness

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// maxLength bounds the field [headers.MinRevision], in bytes.
const maxLength = 512

// parse returns the highest revision of the mirror's store that is required,
// zero if there is none. It allocates nothing unless the field is not valid.
func parse(required []string, m Mirror) (int64, error) {
	if len(required) > 1 || len(required[0]) > maxLength {
		return 0, invalid(required)
	}
	var highest int64
	for rest := required[0]; rest != ""; {
		var item string
		if at := strings.IndexAny(rest, ", "); at >= 0 {
			item, rest = rest[:at], rest[at+1:]
		} else {
			item, rest = rest, ""
		}
		if item == "" {
			continue
		}
		number, store, named := strings.Cut(item, "@")
		revision, err := strconv.ParseInt(number, 10, 64)
		if err != nil || revision < 0 || named && store == "" {
			return 0, invalid(required)
		}
		if !named || store == m.StoreID() {
			highest = max(highest, revision)
		}
	}
	return highest, nil
}

func invalid(required []string) error {
	e := fault.New(fault.RequestInvalid, "the header field %s is %.64q (%d bytes): revisions such as 1234 or 1234@k3j5x2m7qa are expected, in one field of at most %d bytes",
		headers.MinRevision, required[0], len(required[0]), maxLength).
		With("limit", maxLength).WithFix("send the field %s of the answer to a write, or leave the field out", headers.StoreRevision)
	e.NotStarted = true
	return e
}

// grpcUnits are the units of the field Grpc-Timeout.
var grpcUnits = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// timeout returns how long the caller waits, as the header says in the field of
// Connect, gRPC or /call; [MaxWait] if it does not say it. Those who handle the
// request report a field that is not valid.
func timeout(h http.Header) time.Duration {
	if d, err := time.ParseDuration(h.Get(headers.Timeout)); err == nil && d > 0 {
		return d
	}
	if ms, err := strconv.ParseUint(h.Get("Connect-Timeout-Ms"), 10, 32); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	if text := h.Get("Grpc-Timeout"); text != "" {
		n, err := strconv.ParseUint(text[:len(text)-1], 10, 27)
		if unit, ok := grpcUnits[text[len(text)-1]]; err == nil && ok {
			return time.Duration(n) * unit
		}
	}
	return MaxWait
}
