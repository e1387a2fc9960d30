// Package token reads and writes the texts by which callers show who they are.
//
//	t := token.New(token.Bearer)
//	fmt.Println(t)          // ruedo_t_7kq2m5x4tb_[redacted]
//	fmt.Println(t.Reveal()) // the text: its owner sees it once
//	store(t.ID(), t.Hash()) // the text itself is not kept
//
// A text has a public id, a secret of 130 bits and check digits, so that a typing
// error is found before anything is sent:
//
//	ruedo_t_7kq2m5x4tb_abcdefghijklmnopqrstuvwxyz1cce6c96
//
// A [Link] carries such a text together with the address of a core. A [Bearer] text
// of a user is looked up; that of a core is verified by a key ([VerifyCore]).
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Kind says what a text is for.
type Kind byte

// The kinds. Bearer texts are shown with each request; an invite lets a user set a
// password; a join text lets a machine enrol.
const (
	Bearer Kind = 't'
	Invite Kind = 'i'
	Join   Kind = 'j'
)

// String returns the word for a kind.
func (k Kind) String() string {
	switch k {
	case Bearer:
		return "token"
	case Invite:
		return "invite"
	case Join:
		return "join token"
	}
	return "unknown token"
}

// prefix is what all texts of a kind begin with.
func (k Kind) prefix() string { return start + string(rune(k)) + "_" }

const (
	start     = "ruedo_"
	idLen     = 10 // 50 public bits
	secretLen = 26 // 130 secret bits
	checkLen  = 8  // CRC-32 of everything before it, in hexadecimal digits

	idAt     = len(start) + len("t_")
	secretAt = idAt + idLen + len("_")
	checkAt  = secretAt + secretLen
	length   = checkAt + checkLen

	redacted = "[redacted]"
)

// Token is a text that is a secret. However it is printed, logged or encoded, only
// its id shows. The zero Token has no text.
type Token struct {
	// A pointer, because fmt shows the strings of unexported fields.
	text *string
}

// New returns a token with a new id and secret.
func New(kind Kind) Token { return secret(kind, strings.ToLower(rand.Text()[:idLen])) }

// Renew returns a token with a new secret and the id of another one. It fails with
// TOKEN_INVALID if no token can have this id.
func Renew(kind Kind, id string) (Token, error) {
	t := secret(kind, id)
	return Parse(kind, t.Reveal())
}

func secret(kind Kind, id string) Token {
	text := kind.prefix() + id + "_" + strings.ToLower(rand.Text()[:secretLen])
	text += check(text)
	return Token{&text}
}

func check(text string) string {
	return fmt.Sprintf("%0*x", checkLen, crc32.ChecksumIEEE([]byte(text)))
}

// Parse reads a text of one kind. It fails with TOKEN_INVALID, and says what is
// wrong without repeating the text.
func Parse(kind Kind, text string) (Token, error) {
	if !strings.HasPrefix(text, start) {
		return Token{}, invalid(kind, "it does not begin with %s", start)
	}
	if len(text) > idAt && text[:idAt] != kind.prefix() {
		for _, other := range []Kind{Bearer, Invite, Join} {
			if text[:idAt] == other.prefix() {
				return Token{}, invalid(kind, "it is a text of another kind (%s)", other)
			}
		}
		return Token{}, invalid(kind, "it does not begin with %s", kind.prefix())
	}
	switch {
	case len(text) < length:
		return Token{}, invalid(kind, "it is cut off after %d of %d characters", len(text), length)
	case len(text) > length:
		return Token{}, invalid(kind, "it has %d characters instead of %d", len(text), length)
	case !wellFormed(text):
		return Token{}, invalid(kind, "it is mistyped: it has a character that it cannot have")
	case !fits(text):
		return Token{}, invalid(kind, "it is mistyped: its check digits do not fit")
	}
	return Token{&text}, nil
}

func invalid(kind Kind, format string, args ...any) *fault.Error {
	return fault.New(fault.TokenInvalid, "this is not a valid %s: %s", kind, fmt.Sprintf(format, args...)).WithFix("copy it again, the whole of it")
}

// wellFormed reports whether a text of the right length has only characters that
// belong where they are.
func wellFormed(text string) bool {
	for i := idAt; i < len(text); i++ {
		c := text[i]
		base32 := 'a' <= c && c <= 'z' || '2' <= c && c <= '7'
		hex := 'a' <= c && c <= 'f' || '0' <= c && c <= '9'
		switch {
		case i == secretAt-1 && c != '_', i != secretAt-1 && i < checkAt && !base32, i >= checkAt && !hex:
			return false
		}
	}
	return true
}

// fits reports whether the check digits of a text are right.
func fits(text string) bool {
	digits, err := strconv.ParseUint(text[checkAt:], 16, 32)
	return err == nil && uint32(digits) == crc32.ChecksumIEEE([]byte(text[:checkAt]))
}

// Reveal returns the text.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// ID returns the public part, by which the token is found.
func (t Token) ID() string {
	if t.text == nil {
		return ""
	}
	return (*t.text)[idAt : secretAt-1]
}

// Hash returns what is stored of the token. Its secret has too many bits to be
// guessed, so this costs no more than it must.
func (t Token) Hash() [sha256.Size]byte { return sum(t.Reveal()) }

// Shown returns the id and the hash of a text that is shown as a token of a kind; false if
// it cannot be one. It does not look at the check digits: a text that is mistyped has a
// hash that is not stored. It allocates nothing.
func Shown(kind Kind, text string) (id string, hash [sha256.Size]byte, ok bool) {
	if len(text) != length || !strings.HasPrefix(text, start) || Kind(text[len(start)]) != kind || text[idAt-1] != '_' {
		return "", hash, false
	}
	return text[idAt : idAt+idLen], sum(text), true
}

// sum returns the hash of a text.
func sum(text string) [sha256.Size]byte {
	var room [length]byte // []byte(text) would be on the heap
	return sha256.Sum256(append(room[:0], text...))
}

// String returns the text without its secret.
func (t Token) String() string {
	if t.text == nil {
		return ""
	}
	return (*t.text)[:secretAt] + redacted
}

// Format prints what String returns, whatever the verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue logs what String returns.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText encodes what String returns.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
