package limits

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/text"
)

// Unit is how a limit's values are counted and written.
type Unit int

// The units: bytes, nanoseconds and a number.
const (
	Size Unit = iota
	Duration
	Count
)

// Format writes a value exactly: [Unit.Parse] reads back every value that is not
// zero.
func (u Unit) Format(v uint64) string {
	switch u {
	case Size:
		return FormatSize(v)
	case Duration:
		return time.Duration(v).String()
	}
	return strconv.FormatUint(v, 10)
}

// Parse reads a value and reports whether the text is one. Zero sets no limit;
// only sizes and numbers can be zero.
func (u Unit) Parse(text string) (uint64, bool) {
	switch u {
	case Size:
		return ParseSize(text)
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return 0, false
		}
		return uint64(d), true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// Parse reads a value of the limit as [Unit.Parse] does, or the word none if the limit
// can be that.
func (r Row) Parse(text string) (uint64, bool) {
	if r.None && text == none {
		return None, true
	}
	return r.Unit.Parse(text)
}

const none = "none"

// Expected describes what Parse accepts, for errors: "a size such as 64MiB".
func (u Unit) Expected() string {
	switch u {
	case Size:
		return "a size such as 64MiB"
	case Duration:
		return "a duration such as 2s"
	}
	return "a number such as 8"
}

// FormatSize writes a number of bytes exactly: in the largest binary unit that
// divides it, else in bytes. [ParseSize] reads it back, up to twelve digits.
func FormatSize(n uint64) string { return text.Exact(n) }

// RoundSize formats a measured number of bytes, in the largest binary unit that
// it reaches, to one decimal.
func RoundSize(n uint64) string { return text.Size(n) }

var sizePattern = regexp.MustCompile(`^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(?:([KMG]i?)?B?|bytes?)$`)

// ParseSize reads "64MiB", "1.5 GiB", "500kB", "100 bytes" or a bare number of
// bytes. K, M and G are powers of 1000, Ki, Mi and Gi powers of 1024. A size that
// is not a whole number of bytes is refused.
func ParseSize(text string) (uint64, bool) {
	m := sizePattern.FindStringSubmatch(strings.Replace(strings.TrimSpace(text), "k", "K", 1))
	if m == nil {
		return 0, false
	}
	value, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, false
	}
	unit := map[string]int64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[m[2]]
	value.Mul(value, new(big.Rat).SetInt64(unit))
	if !value.IsInt() || !value.Num().IsUint64() {
		return 0, false
	}
	return value.Num().Uint64(), true
}
