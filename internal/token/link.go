package token

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
)

// Link is a token with the address of the core that it is for:
//
//	https://core-1:7833/#ruedo_i_7kq2m9x4tb_...k3v7...
//
// Browsers and proxies send neither part of a fragment on. Like a [Token], a link
// shows its secret only if it is asked to.
type Link struct {
	// URL is the core's.
	URL string
	// Token is what the link is about.
	Token Token
	// Pin names the authority of the cluster; "" leaves that to the certificates
	// which the machine trusts.
	Pin string
}

// pinLen is the length of a SHA-256 in base32.
const pinLen = 52

// NewLink returns a link. It fails with PLAINTEXT_REFUSED if the token would travel
// over a network without TLS, and with CONFIG_INVALID if the URL is not one of a core.
func NewLink(core string, t Token, pin string) (Link, error) {
	u, err := url.Parse(core)
	if err != nil || !ofCore(u) || u.Fragment != "" {
		return Link{}, fault.New(fault.ConfigInvalid, "%q is not the URL of a core", fault.Cut(core, 128)).WithFix("use https://host:port")
	}
	if err := secure(u); err != nil {
		return Link{}, err
	}
	return Link{origin(u), t, pin}, nil
}

// ParseLink reads a link of one kind. It fails with TOKEN_INVALID or
// PLAINTEXT_REFUSED, and says what is wrong without repeating the text.
func ParseLink(kind Kind, text string) (Link, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || !ofCore(u):
		return Link{}, invalidLink("it is not https://host:port/#%s...", kind.prefix())
	case u.Fragment == "":
		return Link{}, invalidLink("what follows the # is missing")
	}
	if err := secure(u); err != nil {
		return Link{}, err
	}
	of, pin, pinned := strings.Cut(u.Fragment, ".")
	t, err := Parse(kind, of)
	switch {
	case err != nil:
		return Link{}, err
	case pinned && u.Scheme == "http":
		return Link{}, invalidLink("it has a pin, but no TLS")
	case pinned && !validPin(pin):
		return Link{}, invalidLink("its end, the pin, is cut off or mistyped: it has %d characters instead of %d", len(pin), pinLen)
	}
	return Link{origin(u), t, pin}, nil
}

func invalidLink(format string, args ...any) *fault.Error {
	return fault.New(fault.TokenInvalid, "this is not a valid link: %s", fmt.Sprintf(format, args...)).WithFix("copy it again, the whole of it")
}

// ofCore reports whether a URL, without its fragment, is one of a core.
func ofCore(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == ""
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func secure(u *url.URL) error {
	if u.Scheme == "https" || loopback.Is(u.Host) {
		return nil
	}
	return fault.New(fault.PlaintextRefused, "a link to %s would send its secret over the network without TLS", fault.Cut(u.Host, 128)).
		WithFix("use the https URL of a core, or one of this machine")
}

func validPin(pin string) bool {
	return len(pin) == pinLen && strings.Trim(pin, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Reveal returns the text of the link.
func (l Link) Reveal() string { return l.text(l.Token.Reveal()) }

// String returns the link without its secret.
func (l Link) String() string { return l.text(l.Token.String()) }

func (l Link) text(of string) string {
	if l.Pin != "" {
		of += "." + l.Pin
	}
	return l.URL + "/#" + of
}

// Format prints what String returns, whatever the verb.
func (l Link) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, l.String()) }

// LogValue logs what String returns.
func (l Link) LogValue() slog.Value { return slog.StringValue(l.String()) }
