package token_test

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

var pin = strings.Repeat("k3v7", 13)

func TestLinks(t *testing.T) {
	invite := token.New(token.Invite)
	for _, c := range []struct{ core, pin, want string }{
		{"https://core-1:7833", pin, "https://core-1:7833/#" + invite.Reveal() + "." + pin},
		{"https://ruedo.example.com/", "", "https://ruedo.example.com/#" + invite.Reveal()},
		{"https://[2001:db8::1]:7833", pin, "https://[2001:db8::1]:7833/#" + invite.Reveal() + "." + pin},
		{"http://127.0.0.1:7833", "", "http://127.0.0.1:7833/#" + invite.Reveal()},
		{"http://localhost:7833", "", "http://localhost:7833/#" + invite.Reveal()},
	} {
		l, err := token.NewLink(c.core, invite, c.pin)
		if err != nil || l.Reveal() != c.want {
			t.Errorf("%s: %s, %v", c.core, l.Reveal(), err)
		}
		again, err := token.ParseLink(token.Invite, c.want)
		if err != nil || again.Reveal() != c.want || again.URL != strings.TrimSuffix(c.core, "/") || again.Pin != c.pin || again.Token.ID() != invite.ID() {
			t.Errorf("%s is read as %s, %v", c.want, again.Reveal(), err)
		}
	}
	_, err := token.NewLink("http://core-1:7833", invite, "")
	testkit.WantReason(t, err, fault.PlaintextRefused, "over the network without TLS")
	_, err = token.NewLink("core-1:7833", invite, "")
	testkit.WantReason(t, err, fault.ConfigInvalid, "not the URL of a core")
}

func TestLinksThatAreNotValid(t *testing.T) {
	invite := token.New(token.Invite).Reveal()
	for text, want := range map[string]string{
		"":                                  "it is not https://host:port/#ruedo_i_",
		invite:                              "it is not https://host:port/#ruedo_i_",
		"ftp://core:7833/#" + invite:        "it is not https://host:port/#ruedo_i_",
		"https:///#" + invite:               "it is not https://host:port/#ruedo_i_",
		"https://ada:pw@core/#" + invite:    "it is not https://host:port/#ruedo_i_",
		"https://core/login#" + invite:      "it is not https://host:port/#ruedo_i_",
		"https://core/?to=x#" + invite:      "it is not https://host:port/#ruedo_i_",
		"https://core:7833/":                "what follows the # is missing",
		"https://core:7833/#" + invite[:30]: "cut off after 30 of 53",
		"https://core:7833/#" + good:        "another kind (token)",
		"https://core:7833/#" + invite + "." + pin[:51]:      "51 characters instead of 52",
		"https://core:7833/#" + invite + ".":                 "0 characters instead of 52",
		"https://core:7833/#" + invite + "." + "K" + pin[1:]: "cut off or mistyped",
		"http://127.0.0.1:7833/#" + invite + "." + pin:       "it has a pin, but no TLS",
	} {
		_, err := token.ParseLink(token.Invite, text)
		testkit.WantReason(t, err, fault.TokenInvalid, want)
		if err != nil && strings.Contains(err.Error(), invite[20:30]) {
			t.Errorf("the error has the secret: %v", err)
		}
	}
	_, err := token.ParseLink(token.Invite, "http://core-1:7833/#"+invite)
	testkit.WantReason(t, err, fault.PlaintextRefused, "a link to core-1:7833")
}

func FuzzParseLink(f *testing.F) {
	f.Add("https://core-1:7833/#" + token.New(token.Invite).Reveal() + "." + pin)
	f.Add("http://[::1]/#ruedo_i_")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := token.ParseLink(token.Invite, text)
		if err != nil {
			return
		}
		if again, err := token.ParseLink(token.Invite, l.Reveal()); err != nil || again.Reveal() != l.Reveal() {
			t.Errorf("%q is read as %q, and that as %q, %v", text, l.Reveal(), again.Reveal(), err)
		}
	})
}
