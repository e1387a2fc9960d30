package output

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Safe makes control characters visible, so that text of others cannot steer
// the terminal. Line ends and tabs become escapes as well, so the result is one
// line.
func Safe(s string) string { return escape(s, "") }

// SafeLines is Safe, but leaves line ends and tabs.
func SafeLines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return unsafeRune(r) && !strings.ContainsRune(keep, r) }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strings.ContainsRune(keep, r), !unsafeRune(r):
			b.WriteString(s[i : i+n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// safeJSON returns JSON with escapes for characters that could steer the
// terminal. They occur only in strings.
func safeJSON(data []byte) []byte {
	unsafe := func(r rune) bool { return unsafeRune(r) && r != '\n' && r != utf8.RuneError }
	if bytes.IndexFunc(data, unsafe) < 0 {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if unsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// unsafeRune is true for control characters (C0, DEL, C1), for characters that
// turn the direction of text around, and for bytes that are not UTF-8.
func unsafeRune(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// Size writes a number of bytes that was measured, rounded: "3.7 MiB". Limits are
// written exactly, by [limits.FormatSize].
func Size(n uint64) string { return limits.RoundSize(n) }

// Age writes how long ago t was: "12s", "5m", "3h", "2d".
func Age(now, t time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return ""
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// Moment writes a time to come: "22 Nov 13:12", with its year if that is another one.
func Moment(t time.Time) string {
	t = t.Local()
	if t.Year() != time.Now().Year() {
		return t.Format("2 Jan 2006 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// Since writes how long ago t was; "" if t is not set.
func Since(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return Age(time.Now(), t.AsTime())
}

// Yes writes a cell that is true or not.
func Yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

// Duration writes a duration, rounded to be read at a glance.
func Duration(d time.Duration) string {
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

// Digest returns the first twelve digits of a digest, for display.
func Digest(d string) string { return d[:min(len(d), 12)] }

// Quote returns an argument as it is typed in a shell.
func Quote(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=@:,+", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	if strings.ContainsAny(arg, "\n\t") {
		return "$'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`).Replace(arg) + "'"
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
